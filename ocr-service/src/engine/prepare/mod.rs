//! What is done to a picture before Tesseract sees it: how it is changed, and which parts of it are read, in which mode.
//!
//! Tesseract's own default (mode 3) looks for columns everywhere: it drops lines of receipts and letters, and still reads
//! across the columns of a page. Here the columns are found first; every block is then read as one block (mode 6).
//!
//! Everything is a function of the picture and the options alone, so that engines that share a picture prepare it alike.

mod blocks;
mod geometry;
mod improve;
mod ink;
mod lines;
pub mod picture;

pub use picture::Picture;
use serde::{Deserialize, Serialize};

use self::geometry::Geometry;
use super::Segmentation;

/// Pixels, from the top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A part of a prepared picture that is read by itself. Regions' texts, one after the other, are the page's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub rect: Rect,
    pub segmentation: Segmentation,
}

/// Whether pictures are changed and cut where the caller leaves the segmentation to the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
pub enum Preparation {
    #[default]
    On,
    Off,
}

/// A picture ready to be read.
#[derive(Debug)]
pub struct Prepared {
    pub picture: Picture,
    /// In reading order; never empty.
    pub regions: Vec<Region>,
    /// Known to have no light text on dark ground.
    pub is_dark_on_light: bool,
    geometry: Geometry,
}

impl Prepared {
    /// The part of the sent picture that `rect` of the prepared one shows.
    pub fn to_sent(&self, rect: Rect) -> Rect {
        self.geometry.to_sent(rect)
    }

    /// How many pixels of the prepared picture one of the sent one became, for a resolution that the caller named.
    pub fn scale(&self) -> f32 {
        self.geometry.scale
    }

    fn as_sent(sent: Picture, segmentation: Segmentation) -> Self {
        let whole = sent.whole();
        let geometry = Geometry::unchanged((whole.width, whole.height));
        Self {
            picture: sent,
            regions: vec![Region { rect: whole, segmentation }],
            is_dark_on_light: false,
            geometry,
        }
    }
}

/// A caller that names a segmentation gets exactly that, on the whole picture as it was sent.
///
/// As soon as `stop` says so the picture is left as it is: nobody waits for it.
pub fn prepare(
    sent: Picture,
    segmentation: Option<Segmentation>,
    preparation: Preparation,
    stop: &dyn Fn() -> bool,
) -> Prepared {
    match (segmentation, preparation) {
        (None, Preparation::On) => {
            improve::improved(&sent, stop).unwrap_or_else(|| Prepared::as_sent(sent, Segmentation::AUTO))
        }
        (named, _) => Prepared::as_sent(sent, named.unwrap_or(Segmentation::AUTO)),
    }
}

#[cfg(test)]
mod tests;
