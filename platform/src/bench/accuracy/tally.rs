//! From single pictures to rates.

use serde::Serialize;

use super::set::Layout;
use super::{CHOSEN_ON, Labelled, Read};
use crate::bench::judge::ratio;

/// At most this part of plain Tesseract's errors on pictures of a single block.
const OF_PLAIN: f64 = 0.45;

/// Some pictures of one seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub seed: u64,
    /// Not the seed on which the service's numbers were chosen.
    pub held_out: bool,
    /// "single block" and "columns"; the other rows are kinds of single blocks.
    pub group: String,
    pub images: usize,
    pub characters: usize,
    pub plain: Score,
    pub platen: Score,
    /// Platen's error rate over plain Tesseract's.
    pub ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Edits for each character of the truth, over all pictures together.
    pub error_rate: f64,
    pub seconds_per_image: f64,
}

const BLOCKS: &str = "single block";
const COLUMNS: &str = "columns";

type One = (Labelled, Read, Read);

/// The two layouts, and what the single blocks consist of.
pub fn rows(seed: u64, read: &[One]) -> Vec<Row> {
    let of = |layout| read.iter().filter(move |(labelled, ..)| labelled.layout == layout);
    let mut kinds: Vec<_> = of(Layout::Block).map(|(labelled, ..)| labelled.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut rows = vec![row(seed, BLOCKS, of(Layout::Block))];
    for kind in kinds {
        rows.push(row(seed, kind, of(Layout::Block).filter(|(labelled, ..)| labelled.kind == kind)));
    }
    rows.push(row(seed, COLUMNS, of(Layout::Columns)));
    rows.retain(|row| row.images > 0);
    rows
}

fn row<'a>(seed: u64, group: &str, read: impl Iterator<Item = &'a One>) -> Row {
    let read: Vec<_> = read.collect();
    let plain = score(read.iter().map(|(_, plain, _)| *plain));
    let platen = score(read.iter().map(|(_, _, platen)| *platen));
    Row {
        seed,
        held_out: seed != CHOSEN_ON,
        group: group.to_owned(),
        images: read.len(),
        characters: read.iter().map(|(_, plain, _)| plain.characters).sum(),
        plain,
        platen,
        ratio: platen.error_rate / plain.error_rate.max(f64::MIN_POSITIVE),
    }
}

fn score(read: impl Iterator<Item = Read>) -> Score {
    let (mut images, mut edits, mut characters, mut seconds) = (0, 0, 0, 0.0);
    for one in read {
        images += 1;
        edits += one.edits;
        characters += one.characters;
        seconds += one.seconds;
    }
    Score {
        error_rate: ratio(edits, characters.max(1)),
        seconds_per_image: seconds * ratio(1, images.max(1)),
    }
}

pub fn missed(row: &Row) -> Vec<String> {
    let bound = match row.group.as_str() {
        BLOCKS => OF_PLAIN,
        COLUMNS => 1.0,
        _ => return Vec::new(),
    };
    let of = format!("{} (seed {})", row.group, row.seed);
    let mut missed = Vec::new();
    if row.platen.error_rate > bound * row.plain.error_rate {
        missed.push(format!("{of}: {:.2} of plain Tesseract's errors, at most {bound} wanted", row.ratio));
    }
    let time = row.platen.seconds_per_image / row.plain.seconds_per_image.max(f64::MIN_POSITIVE);
    if time > 1.0 {
        missed.push(format!("{of}: {time:.2} of plain Tesseract's time, at most 1 wanted"));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, layout: Layout, plain: usize, platen: usize) -> One {
        let labelled = Labelled {
            file: String::new(),
            kind: kind.into(),
            layout,
            text: String::new(),
            image: bytes::Bytes::new(),
        };
        let read = |edits| Read { edits, characters: 100, seconds: 0.5 };
        (labelled, read(plain), read(platen))
    }

    #[test]
    fn rates_are_over_all_characters_and_kinds_have_their_rows() {
        let read = [
            one("label", Layout::Block, 10, 2),
            one("letter", Layout::Block, 30, 6),
            one("columns", Layout::Columns, 20, 20),
        ];
        let rows = rows(2, &read);
        let groups: Vec<_> = rows.iter().map(|row| row.group.as_str()).collect();
        assert_eq!(groups, [BLOCKS, "label", "letter", COLUMNS]);
        assert!(rows[0].held_out && rows[0].images == 2);
        assert!((rows[0].plain.error_rate - 0.2).abs() < 1e-9 && (rows[0].ratio - 0.2).abs() < 1e-9);
        assert!(rows.iter().all(|row| missed(row).is_empty()));
    }

    #[test]
    fn half_the_errors_are_too_many_on_single_blocks_and_well_on_columns() {
        let read = [one("label", Layout::Block, 10, 5), one("columns", Layout::Columns, 10, 5)];
        let missed: Vec<_> = rows(1, &read).iter().flat_map(missed).collect();
        assert_eq!(missed.len(), 1);
        assert!(missed[0].starts_with("single block (seed 1)"), "{missed:?}");
    }
}
