//! The names of nutrients, with the spellings and misreadings under which they are met.

use super::amount::Unit;
use super::text::Text;

/// What a number can belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    Calories,
    Sodium,
    Carbohydrates,
    Sugars,
    Fat,
    SaturatedFat,
    TransFat,
    Cholesterol,
    Protein,
    Calcium,
    /// Has a number of its own, which is nobody else's.
    Other,
}

impl Label {
    /// The unit that its amount is answered in.
    pub fn unit(self) -> Option<Unit> {
        match self {
            Self::Calories => Some(Unit::Kilocalorie),
            Self::Sodium | Self::Cholesterol | Self::Calcium => Some(Unit::Milligram),
            Self::Carbohydrates
            | Self::Sugars
            | Self::Fat
            | Self::SaturatedFat
            | Self::TransFat
            | Self::Protein => Some(Unit::Gram),
            Self::Other => None,
        }
    }
}

impl Label {
    /// What a person needs in a day by the Korean labelling standard, in the label's own unit: its 100 %.
    pub fn daily(self) -> Option<f64> {
        match self {
            Self::Sodium => Some(2000.0),
            Self::Carbohydrates => Some(324.0),
            Self::Sugars => Some(100.0),
            Self::Fat => Some(54.0),
            Self::SaturatedFat => Some(15.0),
            Self::Cholesterol => Some(300.0),
            Self::Protein => Some(55.0),
            Self::Calcium => Some(700.0),
            Self::Calories | Self::TransFat | Self::Other => None,
        }
    }
}

/// Whether a name may follow a syllable without a space: 무지방 ("fat-free") is no 지방.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Anywhere,
    OfWord,
}

/// Letters of `kcal`.
const LONGEST_UNIT: usize = 4;

/// Lower case, without spaces; a name that contains another comes before it.
const NAMES: &[(&str, Label, Start)] = &[
    ("불포화지방", Label::Other, Start::Anywhere),
    ("트랜스지방", Label::TransFat, Start::Anywhere),
    ("트렌스지방", Label::TransFat, Start::Anywhere),
    ("트랜스지빙", Label::TransFat, Start::Anywhere),
    ("포화지방", Label::SaturatedFat, Start::Anywhere),
    ("포회지방", Label::SaturatedFat, Start::Anywhere),
    ("포화지빙", Label::SaturatedFat, Start::Anywhere),
    ("콜레스테롤", Label::Cholesterol, Start::Anywhere),
    ("콜레스터롤", Label::Cholesterol, Start::Anywhere),
    ("콜레스태롤", Label::Cholesterol, Start::Anywhere),
    ("탄수화물", Label::Carbohydrates, Start::Anywhere),
    ("탄수회물", Label::Carbohydrates, Start::Anywhere),
    ("단백질", Label::Protein, Start::Anywhere),
    ("딘백질", Label::Protein, Start::Anywhere),
    ("나트륨", Label::Sodium, Start::Anywhere),
    ("나트룸", Label::Sodium, Start::Anywhere),
    ("나트름", Label::Sodium, Start::Anywhere),
    ("첨가당류", Label::Other, Start::Anywhere),
    ("첨가당", Label::Other, Start::Anywhere),
    ("당알코올", Label::Other, Start::Anywhere),
    ("총당류", Label::Sugars, Start::Anywhere),
    ("당류", Label::Sugars, Start::OfWord),
    ("당루", Label::Sugars, Start::OfWord),
    ("총지방", Label::Fat, Start::Anywhere),
    ("지방산", Label::Other, Start::Anywhere),
    ("지방", Label::Fat, Start::OfWord),
    ("칼슘", Label::Calcium, Start::OfWord),
    ("칼숨", Label::Calcium, Start::OfWord),
    ("열량", Label::Calories, Start::OfWord),
    ("칼로리", Label::Calories, Start::OfWord),
    ("에너지", Label::Calories, Start::OfWord),
    ("식이섬유", Label::Other, Start::Anywhere),
    ("알룰로오스", Label::Other, Start::Anywhere),
    ("에리스리톨", Label::Other, Start::Anywhere),
    ("타우린", Label::Other, Start::Anywhere),
    ("카페인", Label::Other, Start::Anywhere),
    ("비타민", Label::Other, Start::Anywhere),
    ("마그네슘", Label::Other, Start::Anywhere),
    ("칼륨", Label::Other, Start::OfWord),
    ("철분", Label::Other, Start::OfWord),
    ("아연", Label::Other, Start::OfWord),
    ("엽산", Label::Other, Start::OfWord),
    ("오메가", Label::Other, Start::OfWord),
    ("내용량", Label::Other, Start::Anywhere),
    ("제공량", Label::Other, Start::Anywhere),
    ("섭취량", Label::Other, Start::Anywhere),
    ("중량", Label::Other, Start::OfWord),
    ("unsaturatedfat", Label::Other, Start::OfWord),
    ("polyunsaturated", Label::Other, Start::OfWord),
    ("monounsaturated", Label::Other, Start::OfWord),
    ("saturatedfat", Label::SaturatedFat, Start::OfWord),
    ("saturates", Label::SaturatedFat, Start::OfWord),
    ("transfat", Label::TransFat, Start::OfWord),
    ("totalfat", Label::Fat, Start::OfWord),
    ("totalcarbohydrate", Label::Carbohydrates, Start::OfWord),
    ("carbohydrate", Label::Carbohydrates, Start::OfWord),
    ("addedsugars", Label::Other, Start::OfWord),
    ("totalsugars", Label::Sugars, Start::OfWord),
    ("sugars", Label::Sugars, Start::OfWord),
    ("cholesterol", Label::Cholesterol, Start::OfWord),
    ("dietaryfiber", Label::Other, Start::OfWord),
    ("fibre", Label::Other, Start::OfWord),
    ("sodium", Label::Sodium, Start::OfWord),
    ("protein", Label::Protein, Start::OfWord),
    ("calcium", Label::Calcium, Start::OfWord),
    ("calories", Label::Calories, Start::OfWord),
    ("energy", Label::Calories, Start::OfWord),
    ("potassium", Label::Other, Start::OfWord),
    ("vitamin", Label::Other, Start::OfWord),
    ("iron", Label::Other, Start::OfWord),
    ("servingsize", Label::Other, Start::OfWord),
    ("netwt", Label::Other, Start::OfWord),
    ("fat", Label::Fat, Start::OfWord),
];

/// The label that begins at `at`, and how many characters it takes: recognisers put a space or a line break between
/// any two syllables.
pub fn at(text: &Text<'_>, at: usize) -> Option<(Label, usize)> {
    let of_word = text.before(at).is_none_or(|before| !before.is_alphabetic() || unit_ends(text, at));
    NAMES.iter().find_map(|(name, label, start)| {
        if *start == Start::OfWord && !of_word {
            return None;
        }
        let length = matched(text, at, name)?;
        let latin = name.is_ascii();
        let after = text.get(at + length);
        // "fatty" is no fat; a plural is.
        let ends = !latin || after.is_none_or(|after| !after.is_ascii_alphabetic() || after == 's');
        ends.then_some((*label, length))
    })
}

/// Whether a unit behind a number ends before `at`: in `6g지방` a new word begins without a space.
pub fn unit_ends(text: &Text<'_>, at: usize) -> bool {
    let letter = |back: &usize| text.before(at - back).is_some_and(|before| before.is_ascii_alphabetic());
    let letters = (0..at.min(LONGEST_UNIT)).take_while(letter).count();
    let begin = at - letters;
    let space = usize::from(text.before(begin) == Some(' '));
    letters > 0 && text.before(begin - space).is_some_and(|before| before.is_ascii_digit())
}

/// How many characters of `text` from `start` on spell `name`, single spaces between them allowed.
fn matched(text: &Text<'_>, start: usize, name: &str) -> Option<usize> {
    let mut at = start;
    for wanted in name.chars() {
        if at > start {
            at = text.skip_space(at);
        }
        (text.get(at)? == wanted).then_some(())?;
        at += 1;
    }
    Some(at - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<(Label, usize)> {
        at(&Text::new(&text.chars().collect::<Vec<_>>()), 0)
    }

    #[test]
    fn the_longer_name_goes_before_the_one_inside_it() {
        assert_eq!(first("포화지방 7 g"), Some((Label::SaturatedFat, 4)));
        assert_eq!(first("불포화지방 7 g"), Some((Label::Other, 5)));
        assert_eq!(first("지방 15 g"), Some((Label::Fat, 2)));
    }

    #[test]
    fn syllables_may_stand_apart() {
        assert_eq!(first("나 트 륨 5mg"), Some((Label::Sodium, 5)));
        assert_eq!(first("saturated fat 1g"), Some((Label::SaturatedFat, 13)));
    }

    #[test]
    fn fat_free_is_no_fat_and_a_name_behind_a_unit_is_one() {
        let text: Vec<_> = "무지방 6g지방".chars().collect();
        let text = Text::new(&text);
        assert_eq!(at(&text, 1), None);
        assert_eq!(at(&text, 6), Some((Label::Fat, 2)));
        assert_eq!(first("fatty"), None);
    }
}
