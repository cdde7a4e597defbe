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
        let none = vec![false; self.width];
        let row = |y: usize| self.row(y, &(0..self.width));
        let mut dark = Vec::with_capacity(self.dark.len());
        for y in 0..self.height {
            let above = if y == 0 { &none } else { row(y - 1) };
            let below = if y + 1 == self.height { &none } else { row(y + 1) };
            let here = row(y);
            let left = [false].iter().chain(here);
            let right = here[1..].iter().chain(&[false]);
            let around = left.zip(right).zip(above.iter().zip(below));
            dark.extend(here.iter().zip(around).map(|(here, ((left, right), (above, below)))| {
                *here && u8::from(*left) + u8::from(*right) + u8::from(*above) + u8::from(*below) >= 2
            }));
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
        let row = |y| long_runs(self.width, across, move |x| self.dark[y * self.width + x]);
        let column = |x| long_runs(self.height, down, move |y| self.dark[y * self.width + x]);
        let rows = (0..self.height).flat_map(|y| row(y).map(move |x| Area { x, y: y..y + 1 }));
        let columns = self.columns_at_each(down).into_iter();
        rows.chain(columns.flat_map(|x| column(x).map(move |y| Area { x: x..x + 1, y }))).collect()
    }

    /// The columns that have ink in any of the rows number `step`, `2 * step` and so on: row by row, as memory lies.
    fn columns_at_each(&self, step: usize) -> Vec<usize> {
        let mut inked = vec![false; self.width];
        for y in (0..self.height).step_by(step.max(1)) {
            for (inked, dark) in inked.iter_mut().zip(self.row(y, &(0..self.width))) {
                *inked |= dark;
            }
        }
        (0..self.width).filter(|x| inked[*x]).collect()
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

/// The runs longer than `longer` among the places before `end` that are `dark`. Each holds a multiple of `longer`, so
/// that most places need not be looked at.
fn long_runs(
    end: usize,
    longer: usize,
    dark: impl Fn(usize) -> bool + Copy,
) -> impl Iterator<Item = Range<usize>> {
    let step = longer.max(1);
    (0..end).step_by(step).filter(move |at| dark(*at)).filter_map(move |at| {
        // Found from the first multiple in it alone.
        let begin = (at.saturating_sub(step)..at).rev().take_while(|at| dark(*at)).last().unwrap_or(at);
        if at >= step && begin == at - step {
            return None;
        }
        let end = (at + 1..end).take_while(|at| dark(*at)).last().map_or(at + 1, |last| last + 1);
        (end - begin > longer).then_some(begin..end)
    })
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
        fn rules_are_the_long_runs_of_all_rows_and_columns(
            width in 1_usize..12,
            light in vec(0_u8..4, 0..150),
            across in 0_usize..6,
            down in 0_usize..6,
        ) {
            let ink = Ink::new(width, light.into_iter().map(|light| light > 0).collect());
            let of = |values: Vec<bool>, least: usize| {
                runs(values.into_iter(), 0).into_iter().filter(move |run| run.len() > least)
            };
            let (columns, rows) = (ink.whole().x, ink.whole().y);
            let across_all = rows.clone().flat_map(|y| {
                of(ink.row(y, &columns).to_vec(), across).map(move |x| Area { x, y: y..y + 1 })
            });
            let down_all = columns.clone().flat_map(|x| {
                let column = rows.clone().map(|y| ink.dark[y * width + x]).collect();
                of(column, down).map(move |y| Area { x: x..x + 1, y })
            });
            prop_assert_eq!(ink.rules(across, down), across_all.chain(down_all).collect::<Vec<_>>());
        }

        #[test]
        fn runs_hold_exactly_what_is_true(values in vec(any::<bool>(), 0..50), start in 0_usize..9) {
            let runs = runs(values.iter().copied(), start);
            let held = (start..).take(values.len()).map(|at| runs.iter().any(|run| run.contains(&at)));
            prop_assert_eq!(held.collect::<Vec<_>>(), values);
        }
    }
}
