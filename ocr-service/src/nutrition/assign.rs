//! Which amount belongs to which label.

use super::amount::{Amount, Unit};
use super::label::Label;
use super::token::Token;

/// Letters between a label and its amount, such as a translation in brackets; more make it a sentence.
const MAX_LETTERS: usize = 24;
/// Shares are printed in whole percent.
const SHARE_ROUNDING: f64 = 0.6;
/// From this many labels in a row, and as many amounts behind them, both are columns.
const COLUMN: usize = 3;

/// Labels with their amounts, each in the label's own unit, in the text's order.
pub fn pairs(tokens: &[Token]) -> Vec<(Label, Amount)> {
    let mut found = Vec::new();
    let mut run = Run::default();
    for token in tokens {
        match *token {
            Token::Label(label) => {
                if !run.amounts.is_empty() || run.bare.is_some() {
                    found.extend(std::mem::take(&mut run).resolve());
                }
                // The same name in another language; of names that are not listed nobody knows.
                if label == Label::Other || run.labels.last() != Some(&label) {
                    run.labels.push(label);
                }
                (run.letters, run.unit, run.bare) = (0, None, None);
            }
            Token::Amount(amount) => run.amount(amount),
            Token::Bare(value) => run.bare(value),
            Token::Percent(share) => run.share(share),
            Token::Unit(unit) => run.unit = Some(unit),
            Token::Letter if run.amounts.is_empty() => {
                run.letters += 1;
                if run.letters > MAX_LETTERS {
                    run = Run::default();
                }
            }
            Token::Basis | Token::Aside | Token::Letter => {}
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
    /// A number whose unit was not read.
    bare: Option<f64>,
    letters: usize,
}

impl Run {
    fn amount(&mut self, amount: Amount) {
        if self.bare.is_some() {
            // The label's own amount is the bare one: this is the next row's, whose name was not read.
            *self = Self::default();
        } else if !self.labels.is_empty() {
            self.amounts.push(amount);
        }
    }

    fn bare(&mut self, value: f64) {
        match self.unit.take() {
            Some(unit) => self.amounts.push(Amount::new(value, unit)),
            None if self.amounts.is_empty() => _ = self.bare.get_or_insert(value),
            None => {}
        }
    }

    /// The share of the daily value behind a number without a unit says whether it is the amount, or the amount with a
    /// `g` that was read as one more digit: `84 26%` and `69 6%` are 84 g and 6 g of carbohydrates and sugars.
    fn share(&mut self, share: f64) {
        let (Some(bare), Some(label)) = (self.bare, self.labels.last()) else { return };
        let (Some(daily), Some(unit)) = (label.daily(), label.unit()) else { return };
        let fits = |value: &f64| (value / daily * 100.0 - share).abs() <= SHARE_ROUNDING;
        let found = [bare, (bare / 10.0).floor()].into_iter().find(fits).filter(|value| *value > 0.0);
        if let Some(value) = found {
            self.amounts.push(Amount::new(value, unit));
            self.bare = None;
        }
    }

    fn resolve(self) -> Vec<(Label, Amount)> {
        let Self { labels, amounts, .. } = self;
        // Names that are not listed may be a table's headings, which have no amounts: however many, they are one.
        let mut names = labels.clone();
        names.dedup();
        if names.len() >= COLUMN && amounts.len() >= COLUMN {
            // One that was not read moves all others to their neighbours.
            if labels.len() != amounts.len() {
                return Vec::new();
            }
            let column = labels.iter().zip(&amounts).map(|(label, amount)| fit(*label, *amount));
            return column.collect::<Option<_>>().unwrap_or_default();
        }
        // Those before it have no amount that could be told apart.
        let Some(label) = labels.last() else { return Vec::new() };
        amounts.iter().find_map(|amount| fit(*label, *amount)).into_iter().collect()
    }
}

/// Labels have their units by law: an amount in another one belongs to a row whose name was not read.
fn fit(label: Label, amount: Amount) -> Option<(Label, Amount)> {
    label.unit().is_none_or(|unit| unit == amount.unit).then_some((label, amount))
}
