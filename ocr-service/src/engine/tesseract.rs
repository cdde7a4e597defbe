//! Tesseract as an engine: one handle for each language that this thread was asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use leptess::{LepTess, Variable};

use super::prepare::Preparation;
use super::{Engine, Factory, Failure, Language, Options, Recognition, Segmentation};
use crate::image::{Image, Limits};

/// Makes engines that have already read [`WARM_UP`] in their default language.
#[derive(Clone, Debug)]
pub struct TesseractFactory {
    /// Where the trained data lie; Tesseract's own place when not given.
    pub data: Option<PathBuf>,
    /// Loaded before the engine counts as ready; others are loaded when first asked for.
    pub language: Language,
}

/// The words "Platen 1": the first recognition allocates what later ones reuse, so it is done before anyone waits.
const WARM_UP: &[u8] = include_bytes!("../../assets/warm-up.png");

impl Factory for TesseractFactory {
    fn build(&self) -> Result<Box<dyn Engine>, Failure> {
        let mut engine = Tesseract { data: self.data.clone(), handles: HashMap::new() };
        let limits = Limits { max_pixels: u64::MAX };
        let image = Image::check(Bytes::from_static(WARM_UP), limits)
            .map_err(|rejected| Failure::Engine(rejected.to_string()))?;
        let options =
            Options { language: self.language.clone(), segmentation: None, preparation: Preparation::Off };
        engine.recognize(&image, &options)?;
        Ok(Box::new(engine))
    }
}

struct Tesseract {
    data: Option<PathBuf>,
    handles: HashMap<Language, LepTess>,
}

impl Engine for Tesseract {
    fn recognize(&mut self, image: &Image, options: &Options) -> Result<Recognition, Failure> {
        let handle = match self.handles.entry(options.language.clone()) {
            Entry::Occupied(handle) => handle.into_mut(),
            Entry::Vacant(place) => place.insert(open(self.data.as_deref(), &options.language)?),
        };
        set(
            handle,
            Variable::TesseditPagesegMode,
            &options.segmentation.unwrap_or(Segmentation::AUTO).to_string(),
        )?;
        handle.set_image_from_mem(image.bytes()).map_err(|_| Failure::Undecodable)?;
        // Asked for first because leptess panics on the null that a failed recognition gives instead of text.
        if handle.recognize() != 0 {
            return Err(Failure::Engine("recognition failed on this image".into()));
        }
        let text = handle.get_utf8_text().map_err(|error| Failure::Engine(error.to_string()))?;
        Ok(Recognition { text })
    }
}

/// A handle for `language`: 0.1 to 0.35 s for two languages.
fn open(data: Option<&Path>, language: &Language) -> Result<LepTess, Failure> {
    let place = data.and_then(Path::to_str);
    let mut handle = LepTess::new(place, language.as_str()).map_err(|_| {
        let place = place.unwrap_or("its default folder");
        Failure::Engine(format!(
            "tesseract found no trained data for {language} in {place}; install tesseract-ocr-kor (Debian), or name their folder with --tessdata"
        ))
    })?;
    // "Estimating resolution as 294" on standard error for every image helps nobody.
    set(&mut handle, Variable::DebugFile, "/dev/null")?;
    Ok(handle)
}

fn set(handle: &mut LepTess, variable: Variable, value: &str) -> Result<(), Failure> {
    let name = format!("{:?}", variable.as_cstr());
    handle
        .set_variable(variable, value)
        .map_err(|_| Failure::Engine(format!("tesseract refuses {name} = {value}")))
}
