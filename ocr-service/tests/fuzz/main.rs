//! What reads bytes of strangers, given bytes that nobody would send: the properties of the fuzz targets (`fuzz/`), driven
//! without libFuzzer. Each starts from whole examples, which it changes, joins and cuts; the same seed makes the same bytes.
//!
//! `PLATEN_FUZZ_SECONDS=180 cargo test -p ocr-service --test fuzz` goes on for longer, from another seed each time.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report, in its helpers too")]

mod form;
mod image_header;
mod nutrition;
mod v2_body;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use ocr_service::random::Random;

/// Without a time.
const CASES: usize = 1000;
/// Of one case; examples are cut to it.
const LONGEST: usize = 1024;

/// Less than `end`; 0 where there is nothing less.
fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.number() % u64::try_from(end.max(1)).unwrap()).unwrap()
}

fn byte(random: &mut Random) -> u8 {
    random.number().to_le_bytes()[0]
}

fn data(name: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    bytes.truncate(LONGEST);
    bytes
}

/// The words of a dictionary of libFuzzer's: one in quotes on each line, with `\xNN`, `\"` and `\\`.
fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let word = |line: &str| {
        let line = line.trim().strip_prefix('"')?.strip_suffix('"')?;
        let (mut word, mut rest) = (Vec::new(), line.bytes());
        while let Some(byte) = rest.next() {
            let escaped = if byte == b'\\' { rest.next()? } else { 0 };
            word.push(match escaped {
                0 => byte,
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                plain => plain,
            });
        }
        Some(word)
    };
    dictionary.lines().filter_map(word).collect()
}

/// One example, changed a few times.
fn case(random: &mut Random, examples: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = examples[below(random, examples.len())].clone();
    for _ in 0..=below(random, 6) {
        let at = below(random, bytes.len() + 1);
        match below(random, 7) {
            0 if !bytes.is_empty() => {
                let at = at.min(bytes.len() - 1);
                bytes[at] = byte(random);
            }
            1 if !bytes.is_empty() => {
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 1 << below(random, 8);
            }
            2 => bytes.truncate(at),
            3 => {
                let end = (at + below(random, 16)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let more: Vec<u8> = (0..below(random, 16)).map(|_| byte(random)).collect();
                bytes.splice(at..at, more);
            }
            5 if !words.is_empty() => {
                let word = words[below(random, words.len())].clone();
                bytes.splice(at..at, word);
            }
            _ => {
                let other = &examples[below(random, examples.len())];
                let from = below(random, other.len() + 1);
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Drives `run` with each example and with cases made of them; a case that fails is shown as Rust writes bytes.
fn drive(name: &str, examples: &[Vec<u8>], words: &[Vec<u8>], run: fn(&[u8])) {
    let seconds: Option<u64> = std::env::var("PLATEN_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = if until.is_some() { RandomState::new().hash_one(name) } else { 1 };
    let mut random = Random::new(seed);
    for example in examples {
        run(example);
    }
    let mut cases = 0_usize;
    while until.map_or(cases < CASES, |until| Instant::now() < until) {
        let bytes = case(&mut random, examples, words);
        let outcome = std::panic::catch_unwind(|| run(&bytes));
        assert!(outcome.is_ok(), "{name}: seed {seed}, case {cases}: b\"{}\"", bytes.escape_ascii());
        cases += 1;
    }
    assert!(cases > 0, "{name}: no time for a single case");
}

#[test]
fn forms() {
    let whole = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\nPNG\r\n--b\r\n\
                 Content-Disposition: form-data; name=\"psm\"\r\n\r\n6\r\n--b--\r\n";
    let examples = [whole.as_bytes().to_vec(), b"q=a&source=en&target=%ED%95%9C".to_vec(), Vec::new()];
    drive("form", &examples, &words(include_str!("../../../fuzz/form.dict")), form::run);
}

#[test]
fn image_headers() {
    let names = [
        "line.png",
        "letter.jpg",
        "line.tif",
        "line.bmp",
        "line.webp",
        "line-lossy.webp",
        "line.gif",
        "nutrition-label.png",
    ];
    // EXIF data in a JPEG: its length, a TIFF header, one directory with the orientation.
    let exif =
        b"\xff\xd8\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let examples: Vec<_> = names.map(data).into_iter().chain([exif.to_vec()]).collect();
    drive("image_header", &examples, &[], image_header::run);
}

#[test]
fn nutrition_labels() {
    let examples: Vec<_> = ["nutrition/labels.txt"].map(data).into();
    let words =
        ["나트륨", "1,480 mg", "5 mg미만", "74%", "총 내용량", "kcal", "트랜스지방", "0.5g", "1 ,480"];
    drive("nutrition", &examples, &words.map(|word| word.as_bytes().to_vec()), nutrition::run);
}

#[test]
fn v2_bodies() {
    let json = br#"{"id":"1","inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["eW91"]}]}"#;
    let head =
        br#"{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":7}}]}"#;
    let length = u16::try_from(head.len()).unwrap().to_le_bytes();
    let names: Vec<_> =
        (0..=ocr_service::v2::bounded::MOST_PARAMETERS).map(|name| format!("\"{name}\":1")).collect();
    let many = format!(r#"{{"parameters":{{{}}},"inputs":[]}}"#, names.join(","));
    let examples = [
        [&b"\xff\xff"[..], json].concat(),
        [&b"\xff\xff"[..], many.as_bytes()].concat(),
        [&length[..], head, b"\x03\0\0\0PNG"].concat(),
        br#"  {"model_name":"m","outputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["a"]}]}"#
            .to_vec(),
    ];
    drive("v2_body", &examples, &words(include_str!("../../../fuzz/v2_body.dict")), v2_body::run);
}
