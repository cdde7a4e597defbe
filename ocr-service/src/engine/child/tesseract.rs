//! Tesseract's C interface, owned: the one place that calls it.
//!
//! leptess wraps less than is needed here (no way to stop a recognition, no boxes) and panics where Tesseract gives a
//! null, so its raw bindings are used.

#![expect(unsafe_code, reason = "Tesseract is a C++ library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{self, NonNull};

use leptess::capi;

use crate::engine::layout::{Found, FoundLine, Word};
use crate::engine::prepare::{Picture, Rect};

const BLOCK: capi::TessPageIteratorLevel = capi::TessPageIteratorLevel_RIL_BLOCK;
const PARAGRAPH: capi::TessPageIteratorLevel = capi::TessPageIteratorLevel_RIL_PARA;
const LINE: capi::TessPageIteratorLevel = capi::TessPageIteratorLevel_RIL_TEXTLINE;
const WORD: capi::TessPageIteratorLevel = capi::TessPageIteratorLevel_RIL_WORD;

/// Keeps Leptonica's complaints about torn images out of the service's log: the caller is told.
pub fn be_quiet() {
    // SAFETY: sets one number, before any other call of Leptonica.
    unsafe { capi::setMsgSeverity(capi::L_SEVERITY_NONE.cast_signed()) };
}

/// A recogniser with its languages loaded.
pub struct Handle(NonNull<capi::TessBaseAPI>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Stopped, or not possible.
    Failed,
}

impl Handle {
    /// Nothing when trained data are missing.
    pub fn open(data: Option<&Path>, languages: &str) -> Option<Self> {
        let data = data.map(|data| CString::new(data.as_os_str().as_encoded_bytes())).transpose().ok()?;
        let languages = CString::new(languages).ok()?;
        let place = data.as_ref().map_or(ptr::null(), |data| data.as_ptr());
        // SAFETY: no arguments; null is caught.
        let handle = Self(NonNull::new(unsafe { capi::TessBaseAPICreate() })?);
        // SAFETY: both are null or strings that outlive the call.
        if unsafe { capi::TessBaseAPIInit3(handle.raw(), place, languages.as_ptr()) } != 0 {
            return None;
        }
        // "Estimating resolution as 294" on standard error for every image helps nobody.
        let (name, value) = (c"debug_file", c"/dev/null");
        // SAFETY: both are constant strings.
        unsafe { capi::TessBaseAPISetVariable(handle.raw(), name.as_ptr(), value.as_ptr()) };
        Some(handle)
    }

    /// Puts `picture` before the recogniser until the result is dropped.
    pub fn show<'a>(&'a mut self, picture: &'a Picture) -> Shown<'a> {
        // SAFETY: the picture is alive and not changed by this.
        unsafe { capi::TessBaseAPISetImage2(self.raw(), picture.as_ptr()) };
        Shown { handle: self, picture: PhantomData }
    }

    fn raw(&self) -> *mut capi::TessBaseAPI {
        self.0.as_ptr()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: this is the handle's only owner.
        unsafe { capi::TessBaseAPIDelete(self.raw()) };
    }
}

/// A recogniser with a picture before it.
pub struct Shown<'a> {
    handle: &'a mut Handle,
    /// Tesseract may keep a reference to it.
    picture: PhantomData<&'a Picture>,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        // The memory of the last picture and its result is given back before the next one comes.
        // SAFETY: the handle is alive.
        unsafe { capi::TessBaseAPIClear(self.raw()) };
    }
}

impl Shown<'_> {
    /// Pixels per inch.
    #[expect(clippy::cast_possible_truncation, reason = "a resolution is a few thousand at most")]
    pub fn set_resolution(&mut self, dpi: f32) {
        // SAFETY: the handle is alive and has a picture.
        unsafe { capi::TessBaseAPISetSourceResolution(self.raw(), dpi.round() as c_int) };
    }

    /// Whether lines that are read badly are read once more as light text on dark ground.
    pub fn try_inverse(&mut self, wanted: bool) {
        let value = if wanted { c"1" } else { c"0" };
        // SAFETY: both are constant strings.
        unsafe { capi::TessBaseAPISetVariable(self.raw(), c"tessedit_do_invert".as_ptr(), value.as_ptr()) };
    }

    /// Recognises what is within `rect`. `stop` is asked between two lines of text.
    pub fn recognize(&mut self, segmentation: u8, rect: Rect, stop: &dyn Fn() -> bool) -> Outcome {
        let [x, y, width, height] =
            [rect.x, rect.y, rect.width, rect.height].map(|side| c_int::try_from(side).unwrap_or(c_int::MAX));
        let mut stop = stop;
        // SAFETY: the handle has a picture, within which Tesseract keeps the rectangle. The monitor is made, used and
        // freed here, and `stop` outlives it.
        unsafe {
            capi::TessBaseAPISetPageSegMode(self.raw(), segmentation.into());
            capi::TessBaseAPISetRectangle(self.raw(), x, y, width, height);
            let monitor = capi::TessMonitorCreate();
            capi::TessMonitorSetCancelFunc(monitor, Some(ask));
            capi::TessMonitorSetCancelThis(monitor, (&raw mut stop).cast());
            let status = capi::TessBaseAPIRecognize(self.raw(), monitor);
            capi::TessMonitorDelete(monitor);
            if status == 0 { Outcome::Done } else { Outcome::Failed }
        }
    }

    /// The text of the last recognition.
    pub fn text(&mut self) -> Option<String> {
        // SAFETY: the text is Tesseract's to make and ours to free.
        unsafe { take_text(capi::TessBaseAPIGetUTF8Text(self.raw())) }
    }

    /// Each word of the last recognition, from the first line to the last.
    pub fn words(&mut self) -> Vec<Found> {
        // SAFETY: the iterator is freed by its owner before the result changes: `self` is borrowed until then.
        let iterator = NonNull::new(unsafe { capi::TessBaseAPIGetIterator(self.raw()) });
        let Some(results) = iterator.map(Results) else { return Vec::new() };
        let mut found = Vec::new();
        loop {
            found.extend(results.word());
            // SAFETY: the iterator is alive.
            if unsafe { capi::TessResultIteratorNext(results.raw(), WORD) } == 0 {
                return found;
            }
        }
    }

    fn raw(&self) -> *mut capi::TessBaseAPI {
        self.handle.raw()
    }
}

/// Tesseract's question whether to stop. A panic would end the process, as any crash in it does.
unsafe extern "C" fn ask(stop: *mut c_void, _words: c_int) -> bool {
    // SAFETY: `recognize` sets this to the address of its reference, which lives as long as the monitor.
    let stop = unsafe { *stop.cast::<&dyn Fn() -> bool>() };
    stop()
}

/// A place among the words of a result.
struct Results(NonNull<capi::TessResultIterator>);

impl Drop for Results {
    fn drop(&mut self) {
        // SAFETY: this is the iterator's only owner.
        unsafe { capi::TessResultIteratorDelete(self.raw()) };
    }
}

impl Results {
    fn raw(&self) -> *mut capi::TessResultIterator {
        self.0.as_ptr()
    }

    /// The word at this place; nothing, or a space, is where the page has a picture instead of text.
    fn word(&self) -> Option<Found> {
        let text = self.text(WORD).filter(|text| !text.trim().is_empty())?;
        // SAFETY: the iterator is alive and at a word.
        let confidence = unsafe { capi::TessResultIteratorConfidence(self.raw(), WORD) };
        let confidence = (confidence.clamp(0.0, 100.0) * 100.0).round() / 100.0;
        let word = Word { text, confidence, bounds: self.bounds(WORD)? };
        let line = self.at_beginning_of(LINE).then(|| self.line()).flatten();
        Some(Found { word, line })
    }

    fn line(&self) -> Option<FoundLine> {
        let outer = |level| if self.at_beginning_of(level) { self.bounds(level) } else { None };
        Some(FoundLine {
            text: self.text(LINE)?,
            bounds: self.bounds(LINE)?,
            paragraph: outer(PARAGRAPH),
            block: outer(BLOCK),
        })
    }

    fn text(&self, level: capi::TessPageIteratorLevel) -> Option<String> {
        // SAFETY: the iterator is alive; the text is Tesseract's to make and ours to free.
        unsafe { take_text(capi::TessResultIteratorGetUTF8Text(self.raw(), level)) }
    }

    fn at_beginning_of(&self, level: capi::TessPageIteratorLevel) -> bool {
        // SAFETY: as for `bounds`.
        unsafe { capi::TessPageIteratorIsAtBeginningOf(self.page(), level) != 0 }
    }

    fn bounds(&self, level: capi::TessPageIteratorLevel) -> Option<Rect> {
        let [mut left, mut top, mut right, mut bottom] = [0; 4];
        // SAFETY: the iterator is alive; the four numbers are ours.
        let is_there = unsafe {
            capi::TessPageIteratorBoundingBox(
                self.page(),
                level,
                &raw mut left,
                &raw mut top,
                &raw mut right,
                &raw mut bottom,
            )
        };
        let side = |from: c_int, to: c_int| u32::try_from(to - from).unwrap_or(0);
        let rect =
            Rect { x: side(0, left), y: side(0, top), width: side(left, right), height: side(top, bottom) };
        (is_there != 0).then_some(rect)
    }

    /// The same iterator, for the questions about its place.
    fn page(&self) -> *const capi::TessPageIterator {
        // SAFETY: the iterator is alive.
        unsafe { capi::TessResultIteratorGetPageIteratorConst(self.raw()) }
    }
}

/// Copies and frees a text of Tesseract's, unless it is null.
///
/// # Safety
/// `text` is null, or a text that Tesseract made and nobody else frees.
unsafe fn take_text(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: Tesseract ends its texts with a zero.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: not used after this.
    unsafe { capi::TessDeleteText(text) };
    Some(copy)
}
