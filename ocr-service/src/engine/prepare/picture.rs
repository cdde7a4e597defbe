//! Leptonica's pictures, owned: the one place that calls Leptonica.

#![expect(unsafe_code, reason = "Leptonica is a C library")]

use std::ptr::NonNull;

use leptess::capi;

use super::Rect;

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
