//! A run of `cargo xtask load`: doors and images found, each image asked for once, the load made, the report written.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use reqwest::Url;

use super::report::{Report, Tally};
use super::{DoorSpec, Fleet, Image, Policy, Schedule, Thresholds, client, files, images, open_watched};
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::report::Folder;
use crate::up;

/// Where a service says whether it serves.
const HEALTH: &str = "/healthz/ready";
/// A line of 220 by 64 that reads "Sodium 74%": what carries it is measured rather than how long a page takes to read.
const SHORT_LINE: &[u8] = include_bytes!("../../stack/short-line.png");

#[derive(Debug, Clone)]
pub struct LoadOptions {
    pub schedule: Schedule,
    /// An image or a folder of them; without it a short line.
    pub images: Option<PathBuf>,
    /// What takes the images; empty: the doors of what `up` made.
    pub targets: Vec<Url>,
    pub policy: Policy,
    /// Of one request with all its tries.
    pub timeout: Duration,
    /// Whether a service may answer from its cache: the same bytes are sent again.
    pub repeats_bytes: bool,
    pub thresholds: Thresholds,
    /// The folder of the report; without it one for this run below `.platen/reports`.
    pub folder: Option<PathBuf>,
}

pub async fn load(host: &Host, options: &LoadOptions) -> Result<(Report, Folder)> {
    let begun = Timestamp::now();
    let folder = Folder::of(host, options.folder.as_deref(), "load", begun);
    folder.ensure_free()?;
    let doors = doors(host, &options.targets)?;
    let mut images = images_or_sample(options.images.as_deref())?;
    let step = host.events.step("ask", "ask once for each image", None);
    learn(&mut images, &doors, options.timeout, &step).await?;
    step.done();
    let fleet = fleet(doors, images, options.policy, options.timeout)?;
    let fleet = if options.repeats_bytes { fleet.with_repeated_bytes() } else { fleet };
    let (begun, begun_at) = (Timestamp::now(), SystemTime::now());
    let title = format!("about {:.0} requests", options.schedule.requests());
    let step = host.events.step("load", title, Some(options.schedule.lasting()));
    let tally = Mutex::new(Tally::new(&options.schedule));
    let clock = tokio::time::Instant::now();
    let fleet = Arc::new(fleet.beginning_at(clock));
    let run = tokio::select! {
        run = open_watched(&fleet, options.schedule.offsets(), |sample| noted(&tally, |tally| tally.note(sample))) => run,
        () = fleet.look_after() => unreachable!("it never ends"),
        () = told(&tally, clock, &step) => unreachable!("it never ends"),
    };
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut report = Report {
        schedule: Some(options.schedule.clone()),
        policy: Some(fleet.policy()),
        doors: fleet.doors(),
        lost_tries: fleet.lost_tries(),
        images: fleet.image_names(),
        repeats_bytes: options.repeats_bytes,
        ..Report::new(begun.to_string(), clock.elapsed(), &run, tally)
    };
    report.thresholds = options.thresholds.check(&report);
    step.done();
    files::write(&folder, &report, &run, begun_at)?;
    Ok((report, folder))
}

fn noted<T>(tally: &Mutex<Tally>, note: impl FnOnce(&mut Tally) -> T) -> T {
    note(&mut tally.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Tells every second how it goes; never ends.
pub(crate) async fn told(tally: &Mutex<Tally>, begun: tokio::time::Instant, step: &Step) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        step.message(noted(tally, |tally| tally.line(begun.elapsed())));
    }
}

pub(crate) fn doors(host: &Host, targets: &[Url]) -> Result<Vec<DoorSpec>> {
    if !targets.is_empty() {
        let named = |url: &Url| {
            let mut health = url.clone();
            health.set_path(HEALTH);
            health.set_query(None);
            DoorSpec { name: url.authority().to_owned(), url: url.clone(), health }
        };
        return Ok(targets.iter().map(named).collect());
    }
    let made = up::endpoints(host)?;
    if made.is_empty() {
        return Err(Error::machine(
            "no way to the gateway is known on this machine",
            "name what takes the images: --target http://127.0.0.1:8001/gateway/ocr",
        ));
    }
    let parsed = |url: String| url.parse::<Url>().map_err(|error| Error::malformed(url, error, ""));
    let door = |endpoint: crate::cluster::Endpoint| {
        Ok(DoorSpec {
            url: parsed(endpoint.ocr_url())?,
            health: parsed(format!("http://{}{HEALTH}", endpoint.address))?,
            name: endpoint.node,
        })
    };
    made.into_iter().map(door).collect()
}

/// `timeout` is a whole request's, with all its tries.
pub(crate) fn fleet(
    doors: Vec<DoorSpec>,
    images: Vec<Image>,
    policy: Policy,
    timeout: Duration,
) -> Result<Fleet> {
    Fleet::new(doors, images, policy, timeout).doing("preparing the HTTP client")
}

/// The images of a file or folder, or a short line.
pub(crate) fn images_or_sample(path: Option<&Path>) -> Result<Vec<Image>> {
    match path {
        Some(path) => images::read(path),
        None => Ok(vec![Image::new("a short line", SHORT_LINE)]),
    }
}

/// What an image is read as while there is no load is what it has to be read as under load, where no file says.
pub(crate) async fn learn(
    images: &mut [Image],
    doors: &[DoorSpec],
    timeout: Duration,
    step: &Step,
) -> Result<()> {
    let client = client(timeout)?;
    for image in images {
        step.message(&image.name);
        let body = ask(&client, doors, image).await?;
        let text = generator::text_of(&body).ok_or_else(|| {
            let what = format!("what takes {} answers without a text", image.name);
            Error::unhealthy(
                what,
                "name the gateway's or the OCR server's address: --target http://HOST:PORT/gateway/ocr",
            )
        })?;
        image.expected.get_or_insert(text);
        if let Err(why) = image.judge(&body) {
            let what = format!("{} is read otherwise than the file beside it says: {why}", image.name);
            return Err(Error::unhealthy(
                what,
                "correct the file, or remove it: then the first answer is held to",
            ));
        }
    }
    Ok(())
}

/// The first door's answer; the next one is asked where it gives none.
async fn ask(client: &reqwest::Client, doors: &[DoorSpec], image: &Image) -> Result<bytes::Bytes> {
    let mut last = String::new();
    for door in doors {
        match generator::post(client, &door.url, &image.payload(None)).await {
            Ok(body) => return Ok(body),
            Err(fault) => last = format!("{} at {}: {fault}", image.name, door.url),
        }
    }
    let hint = "see what is wrong: cargo xtask status; or name another service: --target URL";
    Err(Error::unhealthy(format!("there is nothing to load: {last}"), hint))
}
