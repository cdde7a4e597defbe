//! The text as labels, amounts and the rest.

use super::amount::{Amount, Unit};
use super::label::{self, Label};
use super::text::Text;

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
pub fn scan(text: &Text<'_>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(character) = text.get(at) {
        if character == ' ' {
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
fn number_at(text: &Text<'_>, at: usize) -> Option<(Token, usize)> {
    // A digit inside a word is part of its name: B12, omega3. Asked first: the digits behind it may be many.
    if is_inside_word(text, at) && !label::unit_ends(text, at) {
        return None;
    }
    let (written, mut end) = digits(text, at)?;
    let unit = unit_at(text, text.skip_space(end));
    if let Some((_, unit_end)) = unit {
        end = unit_end;
    }
    let unit = unit.map(|(unit, _)| unit);
    let Some(value) = value(&written, unit.flatten()) else { return Some((Token::Aside, end)) };
    let token = match unit {
        Some(Some(_)) if is_basis(text, end) => Token::Basis,
        Some(Some(unit)) => Token::Amount(Amount::new(value, unit)),
        Some(None) if text.before(end) == Some('%') => Token::Percent(value),
        Some(None) => Token::Aside,
        None if text.get(end).is_some_and(|after| after.is_ascii_alphabetic()) => return None,
        // A count of something: 1일, 6회.
        None if text.get(end).is_some_and(char::is_alphabetic) => Token::Aside,
        None => Token::Bare(value),
    };
    Some((token, end))
}

/// The characters of a number, misread ones put right, without spaces around its comma; and where it ends.
fn digits(text: &Text<'_>, start: usize) -> Option<(String, usize)> {
    let mut written = String::new();
    let mut at = start;
    while let Some(character) = text.get(at) {
        let next = text.get(at + 1);
        match character {
            '0'..='9' => written.push(character),
            // `l,480` and `1O5`: letters that stand for digits only beside real ones.
            'l' | 'i' | '|' if is_one(text, at) => written.push('1'),
            'o' if is_zero(text, at) => written.push('0'),
            ',' | '.' if !written.is_empty() && groups(text, at) => {
                written.push(character);
                at = text.skip_space(at + 1);
                continue;
            }
            '.' if next.is_some_and(|next| next.is_ascii_digit()) => {
                // `.5 g`, but not the last of a row of dots.
                if written.is_empty() {
                    text.before(at).filter(|before| *before == ' ')?;
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
fn groups(text: &Text<'_>, comma: usize) -> bool {
    if text.get(comma) != Some(',') {
        return false;
    }
    let from = text.skip_space(comma + 1);
    let digit = |index: usize| is_digit(text.get(index));
    (from..from + 3).all(digit) && !digit(from + 3)
}

/// A stroke before a digit or a grouping comma, at the beginning of a number or within one.
fn is_one(text: &Text<'_>, at: usize) -> bool {
    text.get(at + 1).is_some_and(|next| next.is_ascii_digit()) || groups(text, at + 1)
}

/// An O between or behind digits, or alone before a unit or a decimal point with digits: `1O5`, `O g`, `O.5 g`.
fn is_zero(text: &Text<'_>, at: usize) -> bool {
    let next = text.get(at + 1);
    let point = next == Some('.') && text.get(at + 2).is_some_and(|c| c.is_ascii_digit());
    let unit = unit_at(text, text.skip_space(at + 1)).is_some();
    unit || point
        || is_digit(next)
        || (is_digit(text.before(at)) && !next.is_some_and(|next| next.is_ascii_alphabetic()))
}

/// A digit, or the letter that it is misread as.
fn is_digit(character: Option<char>) -> bool {
    character.is_some_and(|c| c.is_ascii_digit() || c == 'o')
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

fn unit_at(text: &Text<'_>, at: usize) -> Option<(Option<Unit>, usize)> {
    UNITS.iter().find_map(|(name, unit)| {
        let end = text.end_of(name, at)?;
        let ends = *name == "%" || text.get(end).is_none_or(|after| !after.is_ascii_alphabetic());
        ends.then_some((*unit, end))
    })
}

fn standalone_unit(text: &Text<'_>, at: usize) -> Option<(Option<Unit>, usize)> {
    if is_inside_word(text, at) { None } else { unit_at(text, at) }
}

fn is_inside_word(text: &Text<'_>, at: usize) -> bool {
    text.before(at).is_some_and(|before| before.is_ascii_alphanumeric())
}

/// `기준` and `당` behind an amount, the latter not as the beginning of 당류.
fn is_basis(text: &Text<'_>, end: usize) -> bool {
    let at = text.skip_space(end);
    let at = if text.get(at) == Some(')') { text.skip_space(at + 1) } else { at };
    let starts = |word| text.end_of(word, at).is_some();
    starts("기준") || (starts("당") && label::at(text, at).is_none())
}
