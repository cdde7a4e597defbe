//! Tesseract's library alone, in a loop on each of some threads, with no service around it: what `cargo xtask bench ocr`
//! measures the service against. The result is a JSON document in a file.

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use clap::Parser;
use leptess::{LepTess, Variable};
use serde::Serialize;

type Fault = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Args {
    /// The image, decoded anew each time, as a service has to
    image: PathBuf,
    /// Where to write the result
    #[arg(long)]
    result: PathBuf,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long to begin further recognitions; each thread does at least one
    #[arg(long, default_value_t = 0.0)]
    seconds: f64,
    #[arg(long, default_value = "kor+eng")]
    lang: String,
    /// The page segmentation mode; 3 is what the tesseract program does unless told otherwise
    #[arg(long, default_value_t = 3)]
    psm: u8,
}

#[derive(Serialize)]
struct Report {
    text: String,
    threads: Vec<Thread>,
}

#[derive(Serialize)]
struct Thread {
    /// From the common beginning to this thread's last text.
    elapsed_us: u64,
    latencies_us: Vec<u64>,
}

fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let image = std::fs::read(&args.image)?;
    let together = Barrier::new(args.threads);
    let runs: Vec<Result<(String, Thread), Fault>> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| run(&args, &image, &together));
        let threads: Vec<_> = (0..args.threads).map(|_| start()).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect()
    });
    let (texts, threads): (Vec<_>, Vec<_>) =
        runs.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let text = texts.into_iter().next().unwrap_or_default();
    std::fs::write(&args.result, serde_json::to_vec(&Report { text, threads })?)?;
    Ok(())
}

/// One recognition that is not counted, as a service warms up too, then the loop.
fn run(args: &Args, image: &[u8], together: &Barrier) -> Result<(String, Thread), Fault> {
    let prepared = LepTess::new(None, &args.lang).map_err(Fault::from).and_then(|mut handle| {
        handle.set_variable(Variable::DebugFile, "/dev/null")?;
        handle.set_variable(Variable::TesseditPagesegMode, &args.psm.to_string())?;
        let text = read(&mut handle, image)?;
        Ok((handle, text))
    });
    // Before any error is passed on: the other threads wait for this one.
    together.wait();
    let (mut handle, text) = prepared?;
    let lasting = Duration::from_secs_f64(args.seconds);
    let begun = Instant::now();
    let mut latencies_us = Vec::new();
    loop {
        let started = Instant::now();
        if read(&mut handle, image)? != text {
            return Err("the same image gave two texts".into());
        }
        latencies_us.push(micros(started.elapsed()));
        if begun.elapsed() >= lasting {
            return Ok((text, Thread { elapsed_us: micros(begun.elapsed()), latencies_us }));
        }
    }
}

fn read(handle: &mut LepTess, image: &[u8]) -> Result<String, Fault> {
    handle.set_image_from_mem(image)?;
    if handle.recognize() != 0 {
        return Err("the recognition failed".into());
    }
    Ok(handle.get_utf8_text()?)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
