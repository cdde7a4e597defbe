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
use crate::http::{ApiError, Deadline, body};
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
    // A field of the form could still name another engine; who names two is refused like all others.
    let is_tesseract = matches!(server.nutrition.reader(choice.engine.as_deref()), Ok(Reader::Tesseract));
    let length = body::length(request.headers());
    if let Some(refused) = is_tesseract.then(|| server.cache.refused_unread(&server.pool, length)).flatten() {
        return Err(refused.into());
    }
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
    let texts = server.cache.recognize(&server.pool, vec![image], &options, deadline.0).await?;
    let words = texts.iter().flat_map(|recognition| recognition.text.split_whitespace());
    // In one line, as CLOVA's words are.
    Ok(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use axum::body::Body;

    use super::*;
    use crate::clova::{Client, DEFAULT_PAUSE, Settings, general_url};
    use crate::engine::options::{Allowed, Asked};
    use crate::engine::prepare::Preparation;
    use crate::engine::{Cache, Channel, Failure, Launcher, Pool, PoolSize};
    use crate::metrics::{CacheMetrics, EngineMetrics};
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

    /// Engines that never start: whatever is asked of them keeps its place.
    struct Starting;

    #[async_trait::async_trait]
    impl Launcher for Starting {
        async fn launch(&self) -> Result<Channel, Failure> {
            std::future::pending().await
        }
    }

    /// A server of which the one place is free.
    fn server(engine: NutritionEngine) -> OcrServer {
        let launcher: Arc<dyn Launcher> = Arc::new(Starting);
        let size = PoolSize { engines: NonZeroUsize::MIN, places: 0 };
        let allowed = Allowed::new("eng".parse().unwrap(), Vec::new(), None, Preparation::On);
        OcrServer {
            pool: Pool::start(&launcher, size, EngineMetrics::default()),
            cache: Cache::new(0, CacheMetrics::default()),
            allowed: Arc::new(allowed),
            limits: Limits { max_pixels: 1 },
            nutrition: Arc::new(nutrition(engine, true)),
        }
    }

    /// The status for a request without a form.
    async fn status(server: &OcrServer, uri: &str, deadline: Deadline) -> u16 {
        let request = Request::post(uri).body(Body::empty()).unwrap();
        let answer = read(State(server.clone()), Extension(deadline), request).await;
        answer.unwrap_err().status.as_u16()
    }

    #[tokio::test]
    async fn what_tesseract_has_no_place_for_is_refused_unread() {
        use NutritionEngine::{Auto, Tesseract};
        let deadline = Deadline(Instant::now() + Duration::from_mins(1));
        let cases = [
            (Tesseract, "/", 503),
            (Auto, "/?engine=tesseract", 503),
            (Auto, "/?engine=clova", 400),
            (Auto, "/", 400),
        ];
        for (engine, uri, when_full) in cases {
            let server = server(engine);
            assert_eq!(status(&server, uri, deadline).await, 400, "{engine:?} {uri}");
            let png = Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x01\0");
            let images = vec![Image::check(png, server.limits).unwrap()];
            let options = server.allowed.choose(&Asked::default()).unwrap();
            let mut first = Box::pin(server.pool.recognize(images, &options, deadline.0));
            assert!(futures_util::poll!(&mut first).is_pending());
            assert_eq!(status(&server, uri, deadline).await, when_full, "{engine:?} {uri}");
        }
    }
}
