//! Which amount belongs to which label.

use super::amount::{Amount, Unit};
use super::label::Label;
use super::token::Token;

/// Letters between a label and its amount, such as a translation in brackets; more make it a sentence.
const MAX_LETTERS: usize = 24;
/// From this many labels in a row they are a column, and the amounts behind them its neighbour.
const COLUMN: usize = 3;

/// Labels with their amounts, each in the label's own unit, in the text's order.
pub fn pairs(tokens: &[Token]) -> Vec<(Label, Amount)> {
    let mut found = Vec::new();
    let mut run = Run::default();
    for token in tokens {
        match *token {
            Token::Label(label) => {
                if !run.amounts.is_empty() || run.labels.is_empty() {
                    found.extend(std::mem::take(&mut run).resolve());
                }
                // The same name in another language.
                if run.labels.last() != Some(&label) {
                    run.labels.push(label);
                }
                (run.letters, run.unit) = (0, None);
            }
            Token::Amount(amount) if !run.labels.is_empty() => run.amounts.push(amount),
            Token::Bare(value) => {
                if let Some(unit) = run.unit.take() {
                    run.amounts.push(Amount::new(value, unit));
                }
            }
            Token::Unit(unit) => run.unit = Some(unit),
            Token::Letter if run.amounts.is_empty() => {
                run.letters += 1;
                if run.letters > MAX_LETTERS {
                    run = Run::default();
                }
            }
            Token::Amount(_) | Token::Basis | Token::Aside | Token::Letter => {}
        }
    }
    found.extend(run.resolve());
    found
}

/// The first energy that stands for itself: many labels print it large and without a name.
pub fn unlabelled_calories(tokens: &[Token]) -> Option<Amount> {
    tokens.iter().find_map(|token| match token {
        Token::Amount(amount) if amount.unit == Unit::Kilocalorie => Some(*amount),
        _ => None,
    })
}

/// Labels, and the amounts that came behind them.
#[derive(Default)]
struct Run {
    labels: Vec<Label>,
    amounts: Vec<Amount>,
    /// Of `나트륨(mg)`, for a bare number.
    unit: Option<Unit>,
    letters: usize,
}

impl Run {
    fn resolve(self) -> Vec<(Label, Amount)> {
        let Self { labels, amounts, .. } = self;
        if labels.len() >= COLUMN && labels.len() == amounts.len() {
            let column: Option<Vec<_>> =
                labels.iter().zip(&amounts).map(|(label, amount)| fit(*label, *amount)).collect();
            if let Some(column) = column {
                return column;
            }
        }
        // Those before it have no amount that could be told apart.
        let Some(label) = labels.last() else { return Vec::new() };
        amounts.iter().find_map(|amount| fit(*label, *amount)).into_iter().collect()
    }
}

fn fit(label: Label, amount: Amount) -> Option<(Label, Amount)> {
    match label.unit() {
        Some(unit) => Some((label, amount.in_unit(unit)?)),
        None => Some((label, amount)),
    }
}
