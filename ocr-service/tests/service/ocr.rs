//! What clients see who send images.

use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};

use super::harness::{Answer, Service, data};

#[tokio::test]
async fn the_letter_is_read_through_the_gateway_and_the_answer_says_by_whom() {
    let service = Service::serve(&["--instance=model-a", "--node=node-1"]).await;
    let answer = service.gateway(data("letter.jpg")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().contains("Hello from your child"), "{answer:?}");
    assert_eq!(answer.headers["x-platen-endpoint"], "model-a");
    assert_eq!(answer.headers["x-platen-node"], "node-1");
    assert!(!answer.headers["x-request-id"].is_empty());
}

#[tokio::test]
async fn the_ocr_server_reads_korean() {
    let service = Service::role("ocr-server", &[]).await;
    let answer = service.ocr(data("nutrition-label.png")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().contains("영양정보") && answer.text().contains("505 kcal"), "{answer:?}");
}

#[tokio::test]
async fn the_ocr_servers_errors_are_the_ones_that_clients_know() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    let url = service.url("ocr-server", "/ocr");
    let send = async |form| Answer::of(Client::new().post(&url).multipart(form).send().await.unwrap()).await;
    let other = send(Form::new().part("photo", Part::bytes(vec![1]).file_name("a.png"))).await;
    assert_eq!((other.status, other.error()), (StatusCode::BAD_REQUEST, "No file part"));
    let unnamed = send(Form::new().part("file", Part::bytes(vec![]).file_name(""))).await;
    assert_eq!((unnamed.status, unnamed.error()), (StatusCode::BAD_REQUEST, "No selected file"));
    let bare = Answer::of(Client::new().post(&url).send().await.unwrap()).await;
    assert_eq!((bare.status, bare.error()), (StatusCode::BAD_REQUEST, "No file part"));
}

#[tokio::test]
async fn every_supported_format_is_read() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    for name in ["line.png", "line.tif", "line.bmp", "line.webp", "line-lossy.webp", "line.gif"] {
        let answer = service.ocr(data(name)).await;
        assert_eq!((answer.status, answer.text().trim()), (StatusCode::OK, "Platen 1"), "{name}");
    }
}

#[tokio::test]
async fn a_bad_image_is_the_senders_fault_on_either_way_in() {
    let service = Service::serve(&["--engines=1", "--max-megapixels=1"]).await;
    let torn = data("letter.jpg")[..3000].to_vec();
    let torn_small = data("line.tif")[..120].to_vec();
    for (image, status) in [
        (b"hello".to_vec(), StatusCode::UNPROCESSABLE_ENTITY),
        (Vec::new(), StatusCode::UNPROCESSABLE_ENTITY),
        (torn, StatusCode::PAYLOAD_TOO_LARGE),
        (torn_small, StatusCode::UNPROCESSABLE_ENTITY),
        (data("line.png")[..100].to_vec(), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let through_gateway = service.gateway(image.clone()).await;
        assert_eq!(through_gateway.status, status, "{through_gateway:?}");
        let direct = service.ocr(image).await;
        assert_eq!(direct.status, status, "{direct:?}");
        assert_eq!(direct.error(), through_gateway.error());
    }
}

#[tokio::test]
async fn a_language_or_a_mode_that_is_not_served_is_named() {
    let service = Service::serve(&["--engines=1"]).await;
    for (query, expected) in [("lang=deu", "kor+eng, kor, eng"), ("psm=0", "psm \"0\"")] {
        let form = Form::new().part("image_file", Part::bytes(data("line.png")).file_name("a.png"));
        let url = service.url("gateway", &format!("/gateway/ocr?{query}"));
        let answer = Answer::of(Client::new().post(url).multipart(form).send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.error().contains(expected), "{answer:?}");
    }
}

#[tokio::test]
async fn an_engine_used_before_reads_as_a_new_one() {
    let service = Service::role("ocr-server", &["--engines=1", "--cache-mib=0"]).await;
    let first = service.ocr(data("letter.jpg")).await;
    service.ocr(data("nutrition-label.png")).await;
    let again = service.ocr(data("letter.jpg")).await;
    assert_eq!(first.text(), again.text());
}

#[tokio::test]
async fn many_images_at_once_give_what_each_gives_alone() {
    let service = Service::role("ocr-server", &["--engines=2", "--queue=16", "--cache-mib=0"]).await;
    let names = ["letter.jpg", "line.png", "nutrition-label.png", "line.webp"];
    let mut alone = Vec::new();
    for name in names {
        alone.push(service.ocr(data(name)).await.text().to_owned());
    }
    let together = (0..16).map(|index| service.ocr(data(names[index % names.len()])));
    for (index, answer) in futures_util::future::join_all(together).await.iter().enumerate() {
        assert_eq!(answer.text(), alone[index % names.len()], "{}", names[index % names.len()]);
    }
}

#[tokio::test]
async fn more_than_fits_is_refused_and_told_when_to_come_back() {
    let service = Service::role("ocr-server", &["--engines=1", "--queue=0", "--cache-mib=0"]).await;
    let answers =
        futures_util::future::join_all((0..6).map(|_| service.ocr(data("nutrition-label.png")))).await;
    let (served, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == StatusCode::OK);
    assert!(!served.is_empty() && !refused.is_empty(), "{answers:?}");
    for answer in refused {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after") && answer.error().contains("busy"), "{answer:?}");
    }
}
