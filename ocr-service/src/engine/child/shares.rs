//! Which of an image's regions an engine reads that shares it with others.

use crate::engine::prepare::Region;
use crate::engine::protocol::Share;

/// The regions of `share`: one run of them, so that the shares' texts in order are the image's, with about as many
/// pixels as each other share.
pub fn of(regions: &[Region], share: Share) -> &[Region] {
    let pixels = |region: &Region| u64::from(region.rect.width) * u64::from(region.rect.height);
    let total = regions.iter().map(pixels).sum::<u64>().max(1);
    let of = u64::try_from(share.of).unwrap_or(1).max(1);
    let mut before = 0;
    // A region belongs to the share in which its middle lies.
    let owners: Vec<_> = regions
        .iter()
        .map(|region| {
            let middle = before + pixels(region) / 2;
            before += pixels(region);
            // The middle of an empty region at the end lies at the very end.
            usize::try_from((of * middle / total).min(of - 1)).unwrap_or(0)
        })
        .collect();
    let start = owners.partition_point(|owner| *owner < share.index);
    let end = owners.partition_point(|owner| *owner <= share.index);
    &regions[start..end]
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Segmentation;
    use crate::engine::prepare::Rect;

    fn regions(heights: &[u32]) -> Vec<Region> {
        let region = |(index, height): (usize, &u32)| Region {
            rect: Rect { x: 0, y: u32::try_from(index).unwrap(), width: 100, height: *height },
            segmentation: Segmentation::AUTO,
        };
        heights.iter().enumerate().map(region).collect()
    }

    #[test]
    fn two_engines_get_about_half_each() {
        let regions = regions(&[30, 10, 20, 20, 40]);
        let heights = |index| {
            let share = of(&regions, Share { index, of: 2 });
            share.iter().map(|region| region.rect.height).sum::<u32>()
        };
        assert_eq!((heights(0), heights(1)), (60, 60));
    }

    #[test]
    fn an_empty_region_at_the_end_belongs_to_the_last_share() {
        let regions = regions(&[1, 0]);
        assert_eq!(of(&regions, Share { index: 0, of: 1 }), regions);
    }

    proptest! {
        #[test]
        fn the_shares_in_order_are_all_regions_once(heights in vec(0_u32..3000, 0..30), count in 1_usize..6) {
            let regions = regions(&heights);
            let joined: Vec<_> =
                (0..count).flat_map(|index| of(&regions, Share { index, of: count }).to_vec()).collect();
            prop_assert_eq!(joined, regions);
        }
    }
}
