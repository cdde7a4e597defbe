//! The acceptance case, the corpus of label variants, and what must hold of any text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SAMPLE: &str = include_str!("../../tests/data/nutrition/sample.json");
const LABELS: &str = include_str!("../../tests/data/nutrition/labels.txt");

/// Each nutrient's name in the corpus, and on Korean labels, with its place in the reply and its unit.
const NUTRIENTS: [(&str, &str, &str, &str); 10] = [
    ("calories", "열량", "/calories", "kcal"),
    ("sodium", "나트륨", "/sodium", "mg"),
    ("carbohydrates", "탄수화물", "/carbohydrates/total", "g"),
    ("sugars", "당류", "/carbohydrates/sugars", "g"),
    ("fat", "지방", "/fat/total", "g"),
    ("saturated_fat", "포화지방", "/fat/saturated_fat", "g"),
    ("trans_fat", "트랜스지방", "/fat/trans_fat", "g"),
    ("cholesterol", "콜레스테롤", "/cholesterol", "mg"),
    ("protein", "단백질", "/protein", "g"),
    ("calcium", "칼슘", "/calcium", "mg"),
];

fn parsed(text: &str) -> Value {
    serde_json::to_value(parse(text)).unwrap()
}

#[test]
fn the_acceptance_case_is_exact() {
    let sample: Value = serde_json::from_str(SAMPLE).unwrap();
    assert_eq!(parsed(sample["full_text"].as_str().unwrap()), sample["nutrition"]);
}

#[test]
fn what_a_label_does_not_show_is_null() {
    let expected = json!({
        "calories": null, "sodium": null, "carbohydrates": { "total": null, "sugars": null },
        "fat": { "total": null, "saturated_fat": null, "trans_fat": null },
        "cholesterol": null, "protein": null, "calcium": null,
    });
    assert_eq!(parsed(""), expected);
}

/// The corpus: `# name`, the text, `=> nutrient=value …`.
fn cases() -> Vec<(String, String, String)> {
    let mut cases = Vec::new();
    for block in LABELS.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let (name, rest) = block.trim_start().trim_start_matches("# ").split_once('\n').unwrap();
        let (text, expected) = rest.split_once("\n=>").unwrap();
        cases.push((name.to_owned(), text.to_owned(), expected.trim().to_owned()));
    }
    cases
}

#[test]
fn every_variant_of_the_corpus_is_read() {
    let cases = cases();
    assert!(cases.len() > 30, "the corpus was not found");
    let mut wrong = Vec::new();
    for (name, text, expected) in cases {
        let found = parsed(&text);
        let expected: Vec<_> =
            expected.split_whitespace().map(|pair| pair.split_once('=').unwrap()).collect();
        for (nutrient, _, place, unit) in NUTRIENTS {
            let value = expected.iter().find(|(key, _)| *key == nutrient);
            let wanted = value.map_or(
                Value::Null,
                |(_, value)| json!({ "value": serde_json::from_str::<Value>(value).unwrap(), "unit": unit }),
            );
            let got = found.pointer(place).unwrap();
            if *got != wanted {
                wrong.push(format!("{name}: {nutrient} is {got}, not {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines of a label with these amounts, in the order of `order`.
fn label(amounts: &[u32], order: &[usize], tenths: bool) -> String {
    let line = |index: &usize| {
        let (_, name, _, unit) = NUTRIENTS[*index];
        let tenth = if tenths && unit == "g" { ".5" } else { "" };
        format!("{name} {}{tenth} {unit} 7%\n", amounts[*index])
    };
    order.iter().map(line).collect()
}

fn with_commas(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// How often the parser looks at a character of this text.
fn looks(text: &str) -> usize {
    let characters = normal::characters(text);
    let text = Text::new(&characters);
    token::scan(&text);
    text.looks()
}

#[test]
fn a_text_of_twice_the_length_is_twice_the_work() {
    let parts = [
        "a",
        "l",
        "o",
        "1",
        "|1",
        "i",
        ".",
        ". ",
        ",",
        "1,",
        "1,111,",
        "1 ,480",
        " ",
        "나",
        "나 트 ",
        "6 g",
        "g",
        "kca",
        "1a",
        "당",
        "포화 지방 7 g ",
    ];
    for part in parts {
        for end in ["", "x", " mg"] {
            let work = |times: usize| looks(&(format!("1{}{end}", part.repeat(times))));
            let (once, twice) = (work(500), work(1000));
            assert!(10 * twice <= 22 * once, "{part:?} and {end:?}: {once}, then {twice}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        parse(&text);
    }

    #[test]
    fn no_text_of_a_labels_parts_makes_it_panic(parts in prop::collection::vec(
        prop::sample::select(vec![
            "나트륨", "지방", "당", "류", "kcal", "mg", "g", "%", "0", "1", "o", "l", ",", ".", " ", "\n", "(", ")",
            "기준", "미만", "fat", "트랜스", "㎎", "９",
        ]), 0..40)) {
        parse(&parts.concat());
    }

    #[test]
    fn numbers_come_back_as_they_were_printed(number in 0_u32..1_000_000) {
        let wanted = Some(Amount::new(f64::from(number), Unit::Milligram));
        prop_assert_eq!(parse(&format!("나트륨 {number} mg")).sodium, wanted);
        prop_assert_eq!(parse(&format!("나트륨 {}mg미만", with_commas(number))).sodium, wanted);
    }

    #[test]
    fn decimals_come_back_as_they_were_printed(whole in 0_u32..1000, hundredths in 0_u32..100) {
        let printed = format!("{whole}.{hundredths:02}");
        let wanted = Some(Amount::new(printed.parse().unwrap(), Unit::Gram));
        prop_assert_eq!(parse(&format!("당류 {printed}g")).carbohydrates.sugars, wanted);
    }

    #[test]
    fn the_order_of_the_lines_makes_no_difference(
        amounts in prop::collection::vec(0_u32..3000, 10),
        order in Just((0..10).collect::<Vec<usize>>()).prop_shuffle(),
        tenths in any::<bool>(),
    ) {
        let sorted: Vec<_> = (0..10).collect();
        prop_assert_eq!(parse(&label(&amounts, &order, tenths)), parse(&label(&amounts, &sorted, tenths)));
    }

    #[test]
    fn a_missing_line_changes_no_other(
        amounts in prop::collection::vec(0_u32..3000, 10),
        missing in 1_usize..10,
    ) {
        let order: Vec<_> = (0..10).collect();
        let mut whole = parsed(&label(&amounts, &order, false));
        let rest: Vec<_> = order.into_iter().filter(|index| *index != missing).collect();
        *whole.pointer_mut(NUTRIENTS[missing].2).unwrap() = Value::Null;
        prop_assert_eq!(parsed(&label(&amounts, &rest, false)), whole);
    }
}
