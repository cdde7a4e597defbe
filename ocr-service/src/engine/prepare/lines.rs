//! Lines of text in a picture's ink: how high they are, and where they lie.

use std::ops::Range;

use super::ink::{Area, Ink};

/// Lower runs of rows are specks.
const LOWEST: usize = 5;
/// Strips are at least this wide: some words of small print.
const STRIP: usize = 64;
const STRIPS: usize = 8;

/// How high a line of text is, in pixels from the top of its highest letter to the foot of its lowest.
///
/// Looked for in upright strips of the page, because the lines of two columns need not lie side by side; the median,
/// each line counted by its height, so that specks do not count.
pub fn height(ink: &Ink) -> Option<usize> {
    let page = ink.whole();
    let strips = (page.x.len() / STRIP).clamp(1, STRIPS);
    let strip = |index: usize| {
        let edge = |index| page.x.len() * index / strips;
        Area { x: edge(index)..edge(index + 1), y: page.y.clone() }
    };
    let mut heights: Vec<_> = (0..strips)
        .flat_map(|index| ink.row_runs(&strip(index)))
        .map(|run| run.len())
        .filter(|height| *height >= LOWEST)
        .collect();
    // Runs over a third of the page are frames, unless there is hardly anything else.
    let sum = |heights: &[usize]| heights.iter().sum::<usize>();
    let (low, high): (Vec<_>, Vec<_>) = heights.iter().partition(|height| **height * 3 < page.y.len());
    if 4 * sum(&low) >= sum(&high) {
        heights = low;
    }
    heights.sort_unstable();
    let half = heights.iter().sum::<usize>().div_ceil(2);
    let mut below = 0;
    heights.into_iter().find(|height| {
        below += height;
        below >= half
    })
}

/// The rows of each line of text in `area`, where lines are about `height` high: what is much lower is a rule or dirt.
pub fn find(ink: &Ink, area: &Area, height: usize) -> Vec<Range<usize>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    for run in ink.row_runs(area) {
        match lines.last_mut() {
            // The dot of an i, the foot of a broken letter.
            Some(line) if (run.start - line.end) * 12 < height => line.end = run.end,
            _ => lines.push(run),
        }
    }
    lines.retain(|line| line.len() * 20 >= height * 7);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page with lines of ink at `rows`, over all of its width.
    fn page(height: usize, rows: &[Range<usize>]) -> Ink {
        let dark = (0..height).flat_map(|y| vec![rows.iter().any(|row| row.contains(&y)); 200]).collect();
        Ink::new(200, dark)
    }

    #[test]
    fn a_blank_page_has_no_height_of_line() {
        assert_eq!(height(&page(100, &[])), None);
    }

    #[test]
    fn a_rule_is_no_line_and_a_dot_belongs_to_the_letter_below_it() {
        let page = page(100, &[5..7, 20..22, 23..45, 60..84]);
        assert_eq!(height(&page), Some(24));
        assert_eq!(find(&page, &page.whole(), 24), [20..45, 60..84]);
    }

    proptest! {
        #[test]
        fn every_line_of_even_text_is_found(lines in 1_usize..12, height_of_line in 8_usize..40, gap in 6_usize..30) {
            let rows: Vec<_> = (0..lines).map(|line| {
                let top = 3 + line * (height_of_line + gap);
                top..top + height_of_line
            }).collect();
            let page = page(3 + lines * (height_of_line + gap), &rows);
            prop_assert_eq!(height(&page), Some(height_of_line));
            prop_assert_eq!(find(&page, &page.whole(), height_of_line), rows);
        }
    }
}
