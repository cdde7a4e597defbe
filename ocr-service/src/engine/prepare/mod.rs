//! What is done to a picture before Tesseract sees it: how it is changed, and which parts of it are read, in which mode.
//!
//! Everything here is a function of the picture and the options alone, so that two engines that share a picture prepare
//! it alike.

pub mod picture;

pub use picture::Picture;

use super::Segmentation;

/// Pixels, from the top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
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
}

/// From the prepared picture's coordinates to those of the sent one.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    scale: f32,
}

impl Geometry {
    const SAME: Self = Self { scale: 1.0 };

    #[expect(clippy::unused_self, reason = "nothing is changed yet")]
    fn to_sent(self, rect: Rect) -> Rect {
        rect
    }
}

/// A caller that names a segmentation gets exactly that, on the whole picture as it was sent.
pub fn prepare(sent: Picture, segmentation: Option<Segmentation>, _preparation: Preparation) -> Prepared {
    let region = Region { rect: sent.whole(), segmentation: segmentation.unwrap_or(Segmentation::AUTO) };
    Prepared { picture: sent, regions: vec![region], geometry: Geometry::SAME }
}
