//! `POST /ocr/nutrition`: a label's image in, its numbers out.

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use bytes::Bytes;
use serde_json::{Value, json};

use super::args::NutritionEngine;
use super::{FILE, OcrServer};
use crate::clova;
use crate::http::form::{self, Upload};
use crate::http::{ApiError, Deadline};
use crate::image::{Format, Image, Limits};
use crate::nutrition;

/// The users' clients know this text.
const NOT_SET: &str = "OCR API environment variables are not set.";

/// What reads labels here.
#[derive(Clone, Debug)]
pub struct Nutrition {
    pub engine: NutritionEngine,
    pub clova: Option<clova::Client>,
}

/// What reads the label of one request.
enum Reader<'a> {
    Clova(&'a clova::Client),
    Tesseract,
}

/// The choice of one request, in its query; the form's field goes before it.
#[derive(Debug, Default, serde::Deserialize)]
struct Choice {
    engine: Option<String>,
}

pub async fn read(
    State(server): State<OcrServer>,
    Extension(deadline): Extension<Deadline>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let Query(choice) = Query::<Choice>::try_from_uri(request.uri())
        .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
    let upload = form::read(request, FILE).await?;
    let asked = upload.engine.as_deref().or(choice.engine.as_deref());
    match server.nutrition.reader(asked)? {
        Reader::Clova(client) => {
            let image = for_clova(upload.file, server.limits)?;
            let text = client.read(&image, deadline).await?;
            Ok(Json(json!({ "nutrition": nutrition::parse(&text), "full_text": text })))
        }
        Reader::Tesseract => {
            let text = by_tesseract(&server, upload, deadline).await?;
            Ok(Json(
                json!({ "nutrition": nutrition::parse(&text), "full_text": text, "engine": "tesseract" }),
            ))
        }
    }
}

impl Nutrition {
    fn reader(&self, asked: Option<&str>) -> Result<Reader<'_>, ApiError> {
        match (self.engine, asked) {
            (NutritionEngine::Tesseract, None | Some("tesseract"))
            | (NutritionEngine::Auto, Some("tesseract")) => Ok(Reader::Tesseract),
            // 500 as it always was: a setting of this server is missing, and no repetition mends that, as 503 would say.
            (NutritionEngine::Clova | NutritionEngine::Auto, None | Some("clova")) => self
                .clova
                .as_ref()
                .map(Reader::Clova)
                .ok_or_else(|| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, NOT_SET)),
            (engine, Some(asked)) => {
                let offered = match engine {
                    NutritionEngine::Clova => "clova",
                    NutritionEngine::Tesseract => "tesseract",
                    NutritionEngine::Auto => "clova or tesseract",
                };
                Err(ApiError::bad_request(format!("engine {asked:?} is not offered here; ask for {offered}")))
            }
        }
    }
}

/// Images within the limits of this server, and PDF files, which have no pixels yet.
fn for_clova(file: Bytes, limits: Limits) -> Result<Bytes, ApiError> {
    if Format::of(&file) == Some(Format::Pdf) {
        return Ok(file);
    }
    Ok(Image::check(file, limits)?.bytes().clone())
}

async fn by_tesseract(server: &OcrServer, upload: Upload, deadline: Deadline) -> Result<String, ApiError> {
    let options = server.allowed.choose(&upload.asked)?;
    let image = Image::check(upload.file, server.limits)?;
    let texts = server.pool.recognize(vec![image], &options, deadline.0).await?;
    let words = texts.iter().flat_map(|recognition| recognition.text.split_whitespace());
    // In one line, as CLOVA's words are.
    Ok(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clova::{Client, DEFAULT_PAUSE, Settings, general_url};
    use crate::secret::Secret;

    fn nutrition(engine: NutritionEngine, configured: bool) -> Nutrition {
        let settings = Settings { url: general_url("http://127.0.0.1:9").unwrap(), secret: Secret::new("s") };
        let clova = configured.then(|| Client::new(settings, DEFAULT_PAUSE).unwrap());
        Nutrition { engine, clova }
    }

    fn chosen(engine: NutritionEngine, configured: bool, asked: Option<&str>) -> Result<&'static str, u16> {
        match nutrition(engine, configured).reader(asked) {
            Ok(Reader::Clova(_)) => Ok("clova"),
            Ok(Reader::Tesseract) => Ok("tesseract"),
            Err(error) => Err(error.status.as_u16()),
        }
    }

    #[test]
    fn auto_is_clova_unless_a_request_asks_for_tesseract() {
        use NutritionEngine::Auto;
        assert_eq!(chosen(Auto, true, None), Ok("clova"));
        assert_eq!(chosen(Auto, true, Some("tesseract")), Ok("tesseract"));
        assert_eq!(chosen(Auto, false, Some("tesseract")), Ok("tesseract"));
    }

    #[test]
    fn without_settings_the_error_is_the_users() {
        let nutrition = nutrition(NutritionEngine::Auto, false);
        let Err(error) = nutrition.reader(None) else { panic!("not refused") };
        assert_eq!(
            (error.status.as_u16(), &*error.message),
            (500, "OCR API environment variables are not set.")
        );
    }

    #[test]
    fn an_engine_that_is_not_offered_is_refused() {
        use NutritionEngine::{Auto, Clova, Tesseract};
        assert_eq!(chosen(Clova, true, Some("tesseract")), Err(400));
        assert_eq!(chosen(Tesseract, true, Some("clova")), Err(400));
        assert_eq!(chosen(Auto, true, Some("gpt")), Err(400));
        assert_eq!(chosen(Tesseract, false, None), Ok("tesseract"));
    }
}
