//! Many images at once: each gets its own text, and no engine grows.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use reqwest::StatusCode;

use super::engines::{engines, fork_server, private_memory};
use super::harness::{Service, data, post};

/// Requests under way at once: as many as the service has places.
const AT_ONCE: usize = 16;

/// The line "Platen 1" cut off behind some of its letters: the same picture but for what is white.
fn cut_off(bytes_of_a_row: usize) -> Vec<u8> {
    let mut image = data("line.bmp");
    // One bit for a pixel, 1 is white; 62 bytes before the first row, 28 for each.
    for row in image[62..].chunks_mut(28) {
        row[bytes_of_a_row..].fill(0xff);
    }
    image
}

fn images() -> Vec<Vec<u8>> {
    (4..25).step_by(3).map(cut_off).collect()
}

async fn start() -> Service {
    Service::role("ocr-server", &["--engines=2", "--queue=16", "--cache-mib=0"]).await
}

/// Sends `count` images and gives the text of each.
async fn texts(service: &Service, images: &[Vec<u8>], count: usize) -> Vec<String> {
    let url = service.url("ocr-server", "/ocr");
    let asked = (0..count).map(|index| post(url.clone(), "file", images[index % images.len()].clone()));
    let answers = futures_util::stream::iter(asked).buffered(AT_ONCE);
    let texts = answers.map(|answer| {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.text().to_owned()
    });
    texts.collect().await
}

#[tokio::test]
async fn hundreds_of_mixed_images_at_once_get_the_texts_that_each_gets_alone() {
    let (service, images) = (start().await, images());
    let mut alone = Vec::new();
    for image in &images {
        alone.push(service.ocr(image.clone()).await.text().to_owned());
    }
    let different: BTreeSet<_> = alone.iter().collect();
    assert!(different.len() >= 5, "too much alike to tell them apart: {alone:?}");
    for (index, text) in texts(&service, &images, 500).await.into_iter().enumerate() {
        assert_eq!(text, alone[index % images.len()], "image {index}");
    }
}

/// KiB of memory that belong to the service or one of its engines alone.
fn all_private_memory(service: &Service) -> u64 {
    let pids = [engines(service), vec![fork_server(service), service.pid()]].concat();
    pids.iter().map(|pid| private_memory(pid)).sum()
}

#[tokio::test]
async fn memory_stays_where_it_is_from_some_hundred_requests_to_the_next() {
    let (service, images) = (start().await, images());
    let mut seen = Vec::new();
    for _ in 0..4 {
        texts(&service, &images, 200).await;
        seen.push(all_private_memory(&service));
    }
    // A leak of one such image and its copies in each request would be 10 MiB every time. What the allocator keeps for
    // one more thread comes once.
    let grows = seen.windows(2).all(|pair| pair[1] >= pair[0] + (6 << 10));
    assert!(!grows, "KiB after each 200 requests: {seen:?}");
}
