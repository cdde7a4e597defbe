//! Recognises images: one Tesseract handle for each language that this engine was asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use super::shares;
use super::tesseract::{Handle, Outcome, be_quiet};
use crate::engine::layout::Layout;
use crate::engine::options::{Language, Options, Output};
use crate::engine::prepare::{Picture, Preparation, Rect, Region, prepare};
use crate::engine::protocol::{Reply, Settings, Share, Task};
use crate::engine::{Failure, Recognition, Segmentation};
use crate::image::Orientation;

/// The words "Platen 1": the first recognition allocates what later ones reuse, so it is done before anyone waits.
const WARM_UP: &[u8] = include_bytes!("../../../assets/warm-up.png");

pub struct Recogniser {
    settings: Settings,
    handles: HashMap<Language, Handle>,
}

impl Recogniser {
    /// One that has already read [`WARM_UP`] in its default language.
    pub fn warm(settings: Settings) -> Result<Self, Failure> {
        be_quiet();
        let options = Options {
            language: settings.language.clone(),
            segmentation: Some(Segmentation::AUTO),
            preparation: Preparation::Off,
            dpi: None,
            output: Output::Text,
        };
        let mut recogniser = Self { settings, handles: HashMap::new() };
        let task = Task { id: 0, options, remaining_ms: 0, share: Share::WHOLE };
        recogniser.recognize(WARM_UP, &task, &|| false)?;
        Ok(recogniser)
    }

    /// Reads the task's share of `image`; gives up between two lines of text as soon as `stop` says so.
    pub fn recognize(&mut self, image: &[u8], task: &Task, stop: &dyn Fn() -> bool) -> Reply {
        if stop() {
            return Err(Failure::Stopped);
        }
        let sent = Picture::decode(image).ok_or(Failure::Undecodable)?;
        let sent = sent.upright(Orientation::of(image)).ok_or_else(no_memory)?;
        let (page, options) = (sent.whole(), &task.options);
        let prepared = prepare(sent, options.segmentation, options.preparation, stop);
        if stop() {
            return Err(Failure::Stopped);
        }
        let mut whole = Recognition {
            text: String::new(),
            layout: (options.output != Output::Text).then(|| Layout::empty(page)),
        };
        let regions = shares::of(&prepared.regions, task.share);
        if regions.is_empty() {
            return Ok(whole);
        }
        let mut shown = self.handle(&options.language)?.show(&prepared.picture);
        shown.try_inverse(!prepared.is_dark_on_light);
        if let Some(dpi) = options.dpi {
            shown.set_resolution(f32::from(dpi.number()) * prepared.scale());
        }
        for Region { rect, segmentation } in regions {
            match shown.recognize(segmentation.number(), *rect, stop) {
                Outcome::Done => {}
                Outcome::Failed if stop() => return Err(Failure::Stopped),
                Outcome::Failed => return Err(Failure::Engine("recognition failed on this image".into())),
            }
            whole.text.push_str(&shown.text().ok_or_else(no_text)?);
            if let Some(layout) = &mut whole.layout {
                let found = Layout::assemble(page, shown.words());
                layout.append(found.map(|rect: Rect| prepared.to_sent(rect)));
            }
        }
        Ok(whole)
    }

    fn handle(&mut self, language: &Language) -> Result<&mut Handle, Failure> {
        match self.handles.entry(language.clone()) {
            Entry::Occupied(handle) => Ok(handle.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(open(self.settings.data.as_deref(), language)?)),
        }
    }
}

fn no_memory() -> Failure {
    Failure::Engine("there was no memory to turn this image".into())
}

fn no_text() -> Failure {
    Failure::Engine("tesseract gave no text for this image".into())
}

/// A handle for `language`: 0.1 to 0.35 s for two languages.
fn open(data: Option<&Path>, language: &Language) -> Result<Handle, Failure> {
    Handle::open(data, language.as_str()).ok_or_else(|| {
        let place = data.map_or_else(|| "its default folder".into(), |data| data.display().to_string());
        Failure::Engine(format!(
            "tesseract found no trained data for {language} in {place}; install tesseract-ocr-kor (Debian), or name their folder with --tessdata"
        ))
    })
}
