//! Leptonica's pictures, owned: the one place that calls Leptonica.

#![expect(unsafe_code, reason = "Leptonica is a C library")]

use std::ptr::{self, NonNull};

use leptess::capi;

use super::Rect;
use super::ink::Ink;
use crate::image::Orientation;

/// A picture in Leptonica's memory, freed with its owner. Never changed once made.
#[derive(Debug)]
pub struct Picture(NonNull<capi::Pix>);

// SAFETY: the pointer is the only one to its picture, which is never changed and belongs to no thread.
unsafe impl Send for Picture {}

impl Picture {
    /// The picture in a file's bytes; the first one if there are several.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        // SAFETY: the length is the slice's own; Leptonica copies what it keeps.
        Self::owned(unsafe { capi::pixReadMem(bytes.as_ptr(), bytes.len()) })
    }

    /// As its file says that it is to be shown: from here on, its places are those that people see.
    pub fn upright(self, orientation: Orientation) -> Option<Self> {
        let Orientation { quarters, is_mirrored } = orientation;
        let turned = if quarters == 0 {
            self
        } else {
            // SAFETY: reads the living picture and makes a new one.
            Self::owned(unsafe { capi::pixRotateOrth(self.as_ptr(), quarters.into()) })?
        };
        if !is_mirrored {
            return Some(turned);
        }
        // SAFETY: a null destination makes a new picture.
        Self::owned(unsafe { capi::pixFlipLR(ptr::null_mut(), turned.as_ptr()) })
    }

    /// Takes over a picture that Leptonica made, or its null for "could not".
    ///
    /// # Safety
    /// `raw` is null, or a picture that nobody else frees or changes.
    pub unsafe fn from_raw(raw: *mut capi::Pix) -> Option<Self> {
        Self::owned(raw)
    }

    /// For calls of Tesseract and Leptonica that do not change the picture; valid as long as `self`.
    pub fn as_ptr(&self) -> *mut capi::Pix {
        self.0.as_ptr()
    }

    pub fn width(&self) -> u32 {
        // SAFETY: the picture is alive.
        unsafe { capi::pixGetWidth(self.as_ptr()) }.unsigned_abs()
    }

    pub fn height(&self) -> u32 {
        // SAFETY: as above.
        unsafe { capi::pixGetHeight(self.as_ptr()) }.unsigned_abs()
    }

    pub fn whole(&self) -> Rect {
        Rect { x: 0, y: 0, width: self.width(), height: self.height() }
    }

    /// Eight bits a pixel, without colours; what shines through is white.
    pub(super) fn grey(&self) -> Option<Self> {
        // SAFETY: reads the living picture; the intermediate one is owned.
        let opaque = Self::owned(unsafe { capi::pixRemoveAlpha(self.as_ptr()) })?;
        // SAFETY: as above; 0: without a colour map.
        Self::owned(unsafe { capi::pixConvertTo8(opaque.as_ptr(), 0) })
    }

    /// Light for dark.
    pub(super) fn inverted(&self) -> Option<Self> {
        // SAFETY: a null destination makes a new picture.
        Self::owned(unsafe { capi::pixInvert(ptr::null_mut(), self.as_ptr()) })
    }

    /// The same paper everywhere, at level 200, whatever light fell on it. Of a grey picture.
    pub(super) fn evened(&self) -> Option<Self> {
        // SAFETY: null for "no mask" and "no separate grey picture".
        Self::owned(unsafe { capi::pixBackgroundNormSimple(self.as_ptr(), ptr::null_mut(), ptr::null_mut()) })
    }

    pub(super) fn scaled(&self, factor: f32) -> Option<Self> {
        // SAFETY: reads the living picture.
        Self::owned(unsafe { capi::pixScale(self.as_ptr(), factor, factor) })
    }

    /// Each pixel the mean of the nine around it. Of a grey picture.
    pub(super) fn smoothed(&self) -> Option<Self> {
        // SAFETY: null: the sums are made and freed by the call.
        Self::owned(unsafe { capi::pixBlockconvGray(self.as_ptr(), ptr::null_mut(), 1, 1) })
    }

    /// Turned clockwise by `radians` about its middle, on a canvas that holds all of it.
    pub(super) fn turned(&self, radians: f32) -> Option<Self> {
        let (width, height) = (self.width().cast_signed(), self.height().cast_signed());
        let (how, fill) = (capi::L_ROTATE_AREA_MAP.cast_signed(), capi::L_BRING_IN_WHITE.cast_signed());
        // SAFETY: reads the living picture.
        Self::owned(unsafe { capi::pixRotate(self.as_ptr(), radians, how, fill, width, height) })
    }

    /// By how many degrees the lines of text must be turned clockwise to lie flat, and how sure that is: 3 is good.
    pub(super) fn skew(&self, cutoff: u8) -> Option<(f32, f32)> {
        let binary = self.binary(cutoff)?;
        let (mut degrees, mut confidence) = (0.0, 0.0);
        // SAFETY: writes the two numbers.
        let status = unsafe { capi::pixFindSkew(binary.as_ptr(), &raw mut degrees, &raw mut confidence) };
        (status == 0).then_some((degrees, confidence))
    }

    /// With each of `rects` filled with `level`. Of a grey picture.
    pub(super) fn painted(&self, rects: &[Rect], level: u8) -> Option<Self> {
        // SAFETY: a null destination makes a new picture.
        let copy = Self::owned(unsafe { capi::pixCopy(ptr::null_mut(), self.as_ptr()) })?;
        for rect in rects {
            let [x, y, width, height] =
                [rect.x, rect.y, rect.width, rect.height].map(|side| i32::try_from(side).unwrap_or(i32::MAX));
            // SAFETY: Leptonica cuts the box to the picture; the copy is nobody else's yet; the box is freed.
            unsafe {
                let mut area = capi::boxCreate(x, y, width, height);
                capi::pixSetInRectArbitrary(copy.as_ptr(), area, level.into());
                capi::boxDestroy(&raw mut area);
            }
        }
        Some(copy)
    }

    /// How many pixels have each level. Of a grey picture.
    pub(super) fn histogram(&self) -> [u64; 256] {
        let mut counts = [0; 256];
        self.rows(|row| row.iter().for_each(|level| counts[usize::from(*level)] += 1));
        counts
    }

    /// The pixels that are darker than `cutoff`. Of a grey picture.
    pub(super) fn ink(&self, cutoff: u8) -> Ink {
        let mut dark = Vec::new();
        self.rows(|row| dark.extend(row.iter().map(|level| *level < cutoff)));
        let width = usize::try_from(self.width()).unwrap_or(0);
        Ink::new(width, dark)
    }

    fn binary(&self, cutoff: u8) -> Option<Self> {
        // SAFETY: reads the living picture.
        Self::owned(unsafe { capi::pixThresholdToBinary(self.as_ptr(), cutoff.into()) })
    }

    /// The rows of a grey picture from the top, as levels; of another picture none.
    fn rows(&self, mut each: impl FnMut(&[u8])) {
        // SAFETY: reads numbers of the living picture.
        let (depth, words, data) = unsafe {
            let pix = self.as_ptr();
            (capi::pixGetDepth(pix), capi::pixGetWpl(pix), capi::pixGetData(pix))
        };
        let (Ok(words), Ok(width)) = (usize::try_from(words), usize::try_from(self.width())) else { return };
        let height = usize::try_from(self.height()).unwrap_or(0);
        if depth != 8 || data.is_null() {
            return;
        }
        let mut levels = Vec::with_capacity(words * 4);
        for row in 0..height {
            // SAFETY: a picture's data are `height` rows of `words` words.
            let row = unsafe { std::slice::from_raw_parts(data.add(row * words), words) };
            // Leptonica's first pixel is the highest byte of the first word, on every machine.
            levels.clear();
            levels.extend(row.iter().flat_map(|word| word.to_be_bytes()));
            each(&levels[..width.min(levels.len())]);
        }
    }

    fn owned(raw: *mut capi::Pix) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        let mut raw = self.as_ptr();
        // SAFETY: this is the picture's only owner.
        unsafe { capi::pixDestroy(&raw mut raw) };
    }
}
