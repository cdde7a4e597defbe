//! The page's blocks in reading order: what stands in columns is read column by column, everything else line by line.
//!
//! A white gap alone makes no columns: between a receipt's goods and prices there is one too. Both sides of it must be
//! prose, with several lines that are long and fill their side.

use std::ops::Range;

use super::ink::{Area, Ink, runs};
use super::lines;

/// More lines than on any page; only a picture of something else has them.
const MOST_LINES: usize = 400;

/// Areas that together hold all lines of text; each belongs to its block alone, the white around the text included.
/// Without lines of text, or when `stop` says so before all are found, there are none.
pub fn find(ink: &Ink, height: usize, stop: &dyn Fn() -> bool) -> Vec<Area> {
    let page = ink.whole();
    let lines = lines::find(ink, &page, height);
    if lines.is_empty() || lines.len() > MOST_LINES {
        return Vec::new();
    }
    let inked: Vec<_> =
        lines.iter().map(|y| ink.columns(&Area { x: page.x.clone(), y: y.clone() })).collect();
    let edges = edges(&lines, &page.y);
    let mut blocks: Vec<Area> = Vec::new();
    let (mut line, mut open) = (0, false);
    while line < lines.len() {
        if stop() {
            return Vec::new();
        }
        if let Some((end, cuts)) = columns_from(ink, &lines, &inked, line, height) {
            let y = edges[line]..edges[end];
            let sides: Vec<_> = [&[page.x.start], &cuts[..], &[page.x.end]].concat();
            blocks.extend(sides.windows(2).map(|side| Area { x: side[0]..side[1], y: y.clone() }));
            (line, open) = (end, false);
        } else {
            match blocks.last_mut() {
                Some(block) if open => block.y.end = edges[line + 1],
                _ => blocks.push(Area { x: page.x.clone(), y: edges[line]..edges[line + 1] }),
            }
            (line, open) = (line + 1, true);
        }
    }
    blocks
}

/// Where the page is cut so that each line keeps the white around it: in the middle between two lines.
fn edges(lines: &[Range<usize>], page: &Range<usize>) -> Vec<usize> {
    let between = lines.windows(2).map(|pair| usize::midpoint(pair[0].end, pair[1].start));
    [page.start].into_iter().chain(between).chain([page.end]).collect()
}

/// The longest run of lines from `first` on that stands in columns: its end, and where it is cut.
fn columns_from(
    ink: &Ink,
    lines: &[Range<usize>],
    inked: &[Vec<bool>],
    first: usize,
    height: usize,
) -> Option<(usize, Vec<usize>)> {
    let mut together = vec![false; ink.whole().x.len()];
    // With each further line there are fewer gaps: none is left at some point.
    let mut candidates = Vec::new();
    for end in first + 1..=lines.len() {
        for (all, one) in together.iter_mut().zip(&inked[end - 1]) {
            *all |= one;
        }
        let gaps = gaps(&together, height);
        if gaps.is_empty() {
            break;
        }
        candidates.push((end, gaps));
    }
    candidates.into_iter().rev().find_map(|(end, gaps)| {
        let y = lines[first].start..lines[end - 1].end;
        // The cheap question first: each cut costs a look at all pixels of its sides.
        let cuts = if 2 * y.len() >= 5 * height { cuts(ink, &y, &gaps, height) } else { Vec::new() };
        (!cuts.is_empty()).then_some((end, cuts))
    })
}

/// Inner gaps that are wider than the space between words ever is.
fn gaps(inked: &[bool], height: usize) -> Vec<Range<usize>> {
    let words = runs(inked.iter().copied(), 0);
    let between = words.windows(2).map(|pair| pair[0].end..pair[1].start);
    between.filter(|gap| 10 * gap.len() >= 11 * height).collect()
}

/// The middles of those gaps between which everything is prose.
fn cuts(ink: &Ink, y: &Range<usize>, gaps: &[Range<usize>], height: usize) -> Vec<usize> {
    let page = ink.whole().x;
    let prose = |x: Range<usize>, wide| is_prose(ink, &Area { x, y: y.clone() }, height, wide);
    let mut cuts = Vec::new();
    for gap in gaps {
        let (middle, wide) = (usize::midpoint(gap.start, gap.end), gap.len() >= 2 * height);
        if prose(page.start..middle, wide) && prose(middle..page.end, wide) {
            cuts.push(middle);
        }
    }
    loop {
        let sides: Vec<_> = [&[page.start], &cuts[..], &[page.end]].concat();
        let broken = sides.windows(2).position(|side| !prose(side[0]..side[1], true));
        match broken {
            Some(side) if !cuts.is_empty() => {
                cuts.remove(side.min(cuts.len() - 1));
            }
            _ => return cuts,
        }
    }
}

/// At least three lines (two beside a wide gap), most of them long and nearly as wide as the widest.
fn is_prose(ink: &Ink, area: &Area, height: usize, beside_wide_gap: bool) -> bool {
    let Some(text) = ink.trim(area) else { return false };
    if text.x.len() < 6 * height {
        return false;
    }
    let width = |y| ink.trim(&Area { x: text.x.clone(), y }).map_or(0, |line| line.x.len());
    let mut widths: Vec<_> = lines::find(ink, &text, height).into_iter().map(width).collect();
    widths.sort_unstable();
    let median = widths.get(widths.len().saturating_sub(1) / 2).copied().unwrap_or(0);
    let enough = if beside_wide_gap { 2 } else { 3 };
    widths.len() >= enough && median >= 6 * height && 5 * median >= 3 * text.x.len()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a line of text is a list of runs, often of one")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEIGHT: usize = 10;

    /// A page of lines ten high, each given as the runs of its ink.
    fn page(width: usize, lines: &[&[Range<usize>]]) -> Ink {
        let mut dark = Vec::new();
        for line in lines {
            for y in 0..2 * HEIGHT {
                dark.extend((0..width).map(|x| y >= HEIGHT && line.iter().any(|run| run.contains(&x))));
            }
        }
        Ink::new(width, dark)
    }

    #[test]
    fn two_columns_under_a_title_are_three_blocks() {
        let row: &[Range<usize>] = &[10..190, 220..400];
        let ink = page(420, &[&[10..300], row, row, row, row]);
        let blocks = find(&ink, HEIGHT, &|| false);
        assert_eq!(blocks.len(), 3, "{blocks:?}");
        assert!(blocks[0].x == (0..420) && blocks[1].x.end == 205 && blocks[2].x.start == 205, "{blocks:?}");
    }

    #[test]
    fn goods_and_their_prices_stay_on_one_line() {
        let rows: [&[Range<usize>]; 4] =
            [&[10..90, 360..400], &[10..60, 370..400], &[10..120, 360..400], &[10..70, 350..400]];
        assert_eq!(find(&page(420, &rows), HEIGHT, &|| false).len(), 1);
    }

    #[test]
    fn a_labels_heading_and_its_first_fact_make_no_columns() {
        let rows: [&[Range<usize>]; 5] = [
            &[10..150, 250..400],
            &[10..90],
            &[10..140, 370..400],
            &[10..130, 370..400],
            &[10..150, 370..400],
        ];
        assert_eq!(find(&page(420, &rows), HEIGHT, &|| false).len(), 1);
    }

    #[test]
    fn a_blank_page_has_no_blocks() {
        assert_eq!(find(&page(100, &[&[], &[]]), HEIGHT, &|| false), []);
    }

    #[test]
    fn a_search_that_is_stopped_finds_nothing() {
        let ink = page(100, &[&[10..90]]);
        assert_eq!(find(&ink, HEIGHT, &|| true), []);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_shared(rows in proptest::collection::vec((0_usize..3, 5_usize..190, 210_usize..395), 1..12)) {
            let lines: Vec<Vec<Range<usize>>> = rows.iter().map(|(kind, left, right)| match kind {
                0 => vec![5..*right],
                1 => vec![5..left + 1, 200..right + 1],
                _ => vec![5..left + 1],
            }).collect();
            let ink = page(420, &lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let blocks = find(&ink, HEIGHT, &|| false);
            let held: usize = blocks.iter().map(|block| {
                block.y.clone().map(|y| ink.columns(&Area { x: block.x.clone(), y: y..y + 1 }).into_iter().filter(|dark| *dark).count()).sum::<usize>()
            }).sum();
            prop_assert_eq!(held, ink.count());
        }
    }
}
