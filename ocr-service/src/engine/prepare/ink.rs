//! Which pixels of a picture are ink: runs, profiles, and the straight rules that are no text.

use std::ops::Range;

/// The dark pixels of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ink {
    width: usize,
    height: usize,
    dark: Vec<bool>,
}

/// A part of the picture: columns and rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    pub x: Range<usize>,
    pub y: Range<usize>,
}

impl Ink {
    /// `dark` holds whole rows of `width` pixels; what is over is dropped.
    pub fn new(width: usize, mut dark: Vec<bool>) -> Self {
        let height = dark.len().checked_div(width).unwrap_or(0);
        dark.truncate(width * height);
        Self { width, height, dark }
    }

    pub fn whole(&self) -> Area {
        Area { x: 0..self.width, y: 0..self.height }
    }

    pub fn count(&self) -> usize {
        self.dark.iter().filter(|dark| **dark).count()
    }

    fn row(&self, y: usize, x: &Range<usize>) -> &[bool] {
        &self.dark[y * self.width + x.start..y * self.width + x.end]
    }

    /// Without the pixels that have fewer than two of their four neighbours: what is left of noise.
    pub fn without_specks(&self) -> Self {
        let mut dark = vec![false; self.dark.len()];
        for y in 0..self.height {
            for x in 0..self.width {
                let at = y * self.width + x;
                if !self.dark[at] {
                    continue;
                }
                let neighbours = [
                    x > 0 && self.dark[at - 1],
                    x + 1 < self.width && self.dark[at + 1],
                    y > 0 && self.dark[at - self.width],
                    y + 1 < self.height && self.dark[at + self.width],
                ];
                dark[at] = neighbours.into_iter().filter(|neighbour| *neighbour).count() >= 2;
            }
        }
        Self { dark, ..*self }
    }

    /// The rows of `area` that have ink, as runs.
    pub fn row_runs(&self, area: &Area) -> Vec<Range<usize>> {
        runs(area.y.clone().map(|y| self.row(y, &area.x).contains(&true)), area.y.start)
    }

    /// The columns of `area` that have ink.
    pub fn columns(&self, area: &Area) -> Vec<bool> {
        let mut inked = vec![false; area.x.len()];
        for y in area.y.clone() {
            for (inked, dark) in inked.iter_mut().zip(self.row(y, &area.x)) {
                *inked |= dark;
            }
        }
        inked
    }

    /// The smallest part of `area` with all its ink.
    pub fn trim(&self, area: &Area) -> Option<Area> {
        let rows = self.row_runs(area);
        let y = rows.first()?.start..rows.last()?.end;
        let columns = runs(self.columns(&Area { x: area.x.clone(), y: y.clone() }).into_iter(), area.x.start);
        Some(Area { x: columns.first()?.start..columns.last()?.end, y })
    }

    /// Straight rules: unbroken runs of ink longer than `across` in a row or than `down` in a column, as areas of one
    /// pixel's thickness.
    pub fn rules(&self, across: usize, down: usize) -> Vec<Area> {
        let mut found = Vec::new();
        for y in 0..self.height {
            let row = self.row(y, &(0..self.width));
            let long = runs(row.iter().copied(), 0).into_iter().filter(|run| run.len() > across);
            found.extend(long.map(|x| Area { x, y: y..y + 1 }));
        }
        let mut lengths = vec![0; self.width];
        for y in 0..=self.height {
            for (x, length) in lengths.iter_mut().enumerate() {
                if y < self.height && self.dark[y * self.width + x] {
                    *length += 1;
                } else {
                    if *length > down {
                        found.push(Area { x: x..x + 1, y: y - *length..y });
                    }
                    *length = 0;
                }
            }
        }
        found
    }

    /// Without the ink in `areas`.
    pub fn without(&self, areas: &[Area]) -> Self {
        let mut dark = self.dark.clone();
        for area in areas {
            for y in area.y.clone() {
                dark[y * self.width + area.x.start..y * self.width + area.x.end].fill(false);
            }
        }
        Self { dark, ..*self }
    }
}

/// The runs of true, the first value being number `start`.
pub fn runs(values: impl Iterator<Item = bool>, start: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, inked) in (start..).zip(values) {
        match found.last_mut() {
            _ if !inked => {}
            Some(run) if run.end == at => run.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn drawn(rows: &[&str]) -> Ink {
        Ink::new(rows[0].len(), rows.iter().flat_map(|row| row.bytes().map(|byte| byte == b'#')).collect())
    }

    #[test]
    fn a_single_pixel_is_a_speck_and_a_stroke_is_not() {
        let ink = drawn(&["#....", "..##.", "..##.", "....."]);
        assert_eq!(ink.without_specks(), drawn(&[".....", "..##.", "..##.", "....."]));
    }

    #[test]
    fn a_frame_is_made_of_rules_and_the_word_in_it_is_not() {
        let ink = drawn(&["########", "#......#", "#.##...#", "#......#", "########"]);
        let bare = ink.without(&ink.rules(4, 3));
        assert_eq!(bare, drawn(&["........", "........", "..##....", "........", "........"]));
    }

    #[test]
    fn an_area_is_trimmed_to_its_ink() {
        let ink = drawn(&["......", "..#...", "...#..", "......"]);
        assert_eq!(ink.trim(&ink.whole()), Some(Area { x: 2..4, y: 1..3 }));
        assert_eq!(ink.trim(&Area { x: 0..2, y: 0..4 }), None);
    }

    proptest! {
        #[test]
        fn runs_hold_exactly_what_is_true(values in vec(any::<bool>(), 0..50), start in 0_usize..9) {
            let runs = runs(values.iter().copied(), start);
            let held = (start..).take(values.len()).map(|at| runs.iter().any(|run| run.contains(&at)));
            prop_assert_eq!(held.collect::<Vec<_>>(), values);
        }
    }
}
