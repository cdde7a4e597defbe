//! A nutrition label's numbers from its text, as MISSION.md's Korean labels and their English cousins print them.
//!
//! Pure: text in, numbers out. First the text is cut into tokens (labels, amounts, the rest), then each label takes
//! the amount that follows it. Where a label gives several bases (per serving, per package), the first column counts.

mod amount;
mod assign;
mod label;
mod normal;
mod text;
mod token;

use serde::Serialize;

pub use amount::{Amount, Unit};
use label::Label;
use text::Text;

/// The numbers of one label; what it does not show is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Nutrition {
    /// In kcal.
    pub calories: Option<Amount>,
    /// In mg.
    pub sodium: Option<Amount>,
    pub carbohydrates: Carbohydrates,
    pub fat: Fat,
    /// In mg.
    pub cholesterol: Option<Amount>,
    /// In g.
    pub protein: Option<Amount>,
    /// In mg.
    pub calcium: Option<Amount>,
}

/// In g.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Carbohydrates {
    pub total: Option<Amount>,
    pub sugars: Option<Amount>,
}

/// In g.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fat {
    pub total: Option<Amount>,
    pub saturated_fat: Option<Amount>,
    pub trans_fat: Option<Amount>,
}

/// Reads `text`, as it came from the recogniser: noise, line breaks and full-width characters included.
pub fn parse(text: &str) -> Nutrition {
    let tokens = token::scan(&Text::new(&normal::characters(text)));
    let mut nutrition = Nutrition::default();
    for (label, amount) in assign::pairs(&tokens) {
        let place = match label {
            Label::Calories => &mut nutrition.calories,
            Label::Sodium => &mut nutrition.sodium,
            Label::Carbohydrates => &mut nutrition.carbohydrates.total,
            Label::Sugars => &mut nutrition.carbohydrates.sugars,
            Label::Fat => &mut nutrition.fat.total,
            Label::SaturatedFat => &mut nutrition.fat.saturated_fat,
            Label::TransFat => &mut nutrition.fat.trans_fat,
            Label::Cholesterol => &mut nutrition.cholesterol,
            Label::Protein => &mut nutrition.protein,
            Label::Calcium => &mut nutrition.calcium,
            Label::Other => continue,
        };
        // A second mention is another column or a footnote.
        place.get_or_insert(amount);
    }
    nutrition.calories = nutrition.calories.or_else(|| assign::unlabelled_calories(&tokens));
    nutrition
}

#[cfg(test)]
#[path = "nutrition_tests.rs"]
mod tests;
