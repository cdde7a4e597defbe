//! The text as labels, amounts and the rest.

use super::amount::{Amount, Unit};
use super::label::{self, Label};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token {
    Label(Label),
    Amount(Amount),
    /// An amount that says what others are measured by: `2,000 kcal 기준`, `100 g당`.
    Basis,
    /// A number without a unit.
    Bare(f64),
    /// A unit without a number, as in `나트륨(mg)`.
    Unit(Unit),
    /// A share of the daily value.
    Percent(f64),
    /// A volume, a count, a number too long: never a nutrient's amount.
    Aside,
    /// One character that is none of these.
    Letter,
}

/// Longer numbers are bar codes and telephone numbers.
const MAX_DIGITS: usize = 7;

/// Units as they are printed and misread; the longer first.
const UNITS: &[(&str, Option<Unit>)] = &[
    ("kcal", Some(Unit::Kilocalorie)),
    ("kca1", Some(Unit::Kilocalorie)),
    ("kcai", Some(Unit::Kilocalorie)),
    ("kca|", Some(Unit::Kilocalorie)),
    ("칼로리", Some(Unit::Kilocalorie)),
    ("rng", Some(Unit::Milligram)),
    ("mcg", None),
    ("mg", Some(Unit::Milligram)),
    ("mq", Some(Unit::Milligram)),
    ("ug", None),
    ("kg", None),
    ("kj", None),
    ("ml", None),
    ("cal", Some(Unit::Kilocalorie)),
    ("g", Some(Unit::Gram)),
    ("l", None),
    ("%", None),
];

/// Cuts normalised text into tokens.
pub fn scan(text: &[char]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(character) = text.get(at) {
        if *character == ' ' {
            at += 1;
        } else if let Some((label, length)) = label::at(text, at) {
            tokens.push(Token::Label(label));
            at += length;
        } else if let Some((token, end)) = number_at(text, at) {
            tokens.push(token);
            at = end;
        } else if let Some((Some(unit), end)) = standalone_unit(text, at) {
            tokens.push(Token::Unit(unit));
            at = end;
        } else {
            tokens.push(Token::Letter);
            at += 1;
        }
    }
    tokens
}

/// A number at `at` with what follows it, and where that ends.
fn number_at(text: &[char], at: usize) -> Option<(Token, usize)> {
    // A digit inside a word is part of its name: B12, omega3.
    let inside = at.checked_sub(1).is_some_and(|before| text[before].is_ascii_alphanumeric())
        && !label::unit_ends(text, at);
    let (written, mut end) = digits(text, at).filter(|_| !inside)?;
    let unit = unit_at(text, skip_space(text, end));
    let certain = written.chars().any(|c| c.is_ascii_digit());
    // A lone letter O is a zero only where a unit makes it one.
    if !certain && unit.is_none() {
        return None;
    }
    if let Some((_, unit_end)) = unit {
        end = unit_end;
    }
    let unit = unit.map(|(unit, _)| unit);
    let Some(value) = value(&written, unit.flatten()) else { return Some((Token::Aside, end)) };
    let token = match unit {
        Some(Some(_)) if is_basis(text, end) => Token::Basis,
        Some(Some(unit)) => Token::Amount(Amount::new(value, unit)),
        Some(None) if text.get(end - 1) == Some(&'%') => Token::Percent(value),
        Some(None) => Token::Aside,
        None if text.get(end).is_some_and(char::is_ascii_alphabetic) => return None,
        // A count of something: 1일, 6회.
        None if text.get(end).is_some_and(|after| after.is_alphabetic()) => Token::Aside,
        None => Token::Bare(value),
    };
    Some((token, end))
}

/// The characters of a number, misread ones put right, without spaces around its comma; and where it ends.
fn digits(text: &[char], start: usize) -> Option<(String, usize)> {
    let mut written = String::new();
    let mut at = start;
    while let Some(character) = text.get(at) {
        let next = text.get(at + 1).copied();
        match character {
            '0'..='9' => written.push(*character),
            // `l,480` and `1O5`: letters that stand for digits only beside real ones.
            'l' | 'i' | '|' if is_one(text, at) => written.push('1'),
            'o' if is_zero(text, at) => written.push('0'),
            ',' | '.' if !written.is_empty() && groups(text, at) => {
                written.push(*character);
                at = skip_space(text, at + 1);
                continue;
            }
            '.' if next.is_some_and(|next| next.is_ascii_digit()) => {
                // `.5 g`, but not the last of a row of dots.
                if written.is_empty() {
                    text.get(at.checked_sub(1)?).filter(|before| **before == ' ')?;
                    written.push('0');
                }
                written.push('.');
            }
            ' ' if !written.is_empty() && next == Some(',') && groups(text, at + 1) => {}
            _ => break,
        }
        at += 1;
    }
    (!written.is_empty()).then_some((written, at))
}

/// A comma before exactly three digits, a space between them allowed: `1 ,480`, `1, 480`.
fn groups(text: &[char], comma: usize) -> bool {
    if text.get(comma) != Some(&',') {
        return false;
    }
    let from = skip_space(text, comma + 1);
    let digit = |index: usize| text.get(index).is_some_and(|c| c.is_ascii_digit() || *c == 'o');
    (from..from + 3).all(digit) && !digit(from + 3)
}

/// A stroke before a digit or a grouping comma, at the beginning of a number or within one.
fn is_one(text: &[char], at: usize) -> bool {
    let next = text.get(at + 1).copied();
    next.is_some_and(|next| next.is_ascii_digit()) || groups(text, at + 1)
}

/// An O between or behind digits, or alone before a unit or a decimal point with digits: `1O5`, `O g`, `O.5 g`.
fn is_zero(text: &[char], at: usize) -> bool {
    let digit = |index: Option<usize>| {
        index.and_then(|index| text.get(index)).is_some_and(|c| c.is_ascii_digit() || *c == 'o')
    };
    let point = text.get(at + 1) == Some(&'.') && text.get(at + 2).is_some_and(char::is_ascii_digit);
    let unit = unit_at(text, skip_space(text, at + 1)).is_some();
    unit || point
        || digit(Some(at + 1))
        || (digit(at.checked_sub(1)) && !text.get(at + 1).is_some_and(char::is_ascii_alphabetic))
}

/// The number, or nothing when it is too long or not one: `1.2.3`.
fn value(written: &str, unit: Option<Unit>) -> Option<f64> {
    let plain = written.replace(',', "");
    if plain.chars().filter(char::is_ascii_digit).count() > MAX_DIGITS {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    // Labels round kcal and mg to whole numbers: three decimals are thousands behind a misread comma.
    let decimals = plain.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let thousands =
        decimals == 3 && matches!(unit, Some(Unit::Kilocalorie | Unit::Milligram)) && value >= 1.0;
    Some(if thousands { (value * 1000.0).round() } else { value })
}

fn unit_at(text: &[char], at: usize) -> Option<(Option<Unit>, usize)> {
    UNITS.iter().find_map(|(name, unit)| {
        let end = at + name.chars().count();
        let same = text.get(at..end)?.iter().copied().eq(name.chars());
        let ends = *name == "%" || text.get(end).is_none_or(|after| !after.is_ascii_alphabetic());
        (same && ends).then_some((*unit, end))
    })
}

fn standalone_unit(text: &[char], at: usize) -> Option<(Option<Unit>, usize)> {
    let word = at.checked_sub(1).is_some_and(|before| text[before].is_ascii_alphanumeric());
    if word { None } else { unit_at(text, at) }
}

/// `기준` and `당` behind an amount, the latter not as the beginning of 당류.
fn is_basis(text: &[char], end: usize) -> bool {
    let at = skip_space(text, end);
    let at = if text.get(at) == Some(&')') { skip_space(text, at + 1) } else { at };
    let starts = |word: &str| {
        text.get(at..).is_some_and(|rest| {
            word.chars().zip(rest).filter(|(a, b)| a == *b).count() == word.chars().count()
        })
    };
    starts("기준") || (starts("당") && label::at(text, at).is_none())
}

fn skip_space(text: &[char], at: usize) -> usize {
    at + usize::from(text.get(at) == Some(&' '))
}
