//! The dashboards as `cargo xtask dashboards render` draws them, in a real browser, from a real Prometheus with a made-up
//! half hour. Needs chromium, which `cargo xtask test` installs; left out of a plain `cargo test`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report, in its helpers too")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use platform::config::Config;
use platform::event::Events;
use platform::host::Host;
use platform::observe::render::{self, Page};
use platform::observe::{Prometheus, dashboard};
use platform::tools::{self, Tool};
use platform::wait::{self, Seen};
use serde_json::Value;

/// The end of the half hour: 2023-11-14T22:30:00Z.
const END: u64 = 1_700_001_000;
const LENGTH: u64 = 1800;
const STEP: u64 = 15;

/// What is asked in the page, and noted in the title of the page around it, as JSON.
const QUESTIONS: &str = r"
const plots = [...document.querySelectorAll('.plot')];
plots[0].scrollIntoView({ block: 'center' });
const box = plots[0].getBoundingClientRect();
plots[0].dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width / 2, clientY: box.top + 5 }));
const told = document.querySelector('#told');
const button = document.querySelector('#theme');
const colors = [0, 1, 2].map(() => {
  button.click();
  return getComputedStyle(document.body).backgroundColor;
});
const outside = [...document.querySelectorAll('figure')].filter((it) => it.getBoundingClientRect().right > innerWidth);
const notes = {
  failures, colors, told: told.hidden ? '' : told.innerText, plots: plots.length,
  wide: document.documentElement.scrollWidth > innerWidth, outside: outside.length,
  heat: document.querySelectorAll('.heat').length, rows: document.querySelectorAll('tbody tr').length,
  bands: document.querySelectorAll('.band').length, alerts: document.querySelector('.alerts')?.innerText ?? '',
  values: [...document.querySelectorAll('p.value b')].map((it) => it.innerText),
  empty: document.querySelectorAll('.empty').length,
};
scrollTo(0, 0);
plots[0].dispatchEvent(new PointerEvent('pointerleave'));
parent.document.title = JSON.stringify(notes);
";

/// A value from the begin of the half hour (0) to its end (1), where there is one.
type Course = fn(f64) -> Option<f64>;

/// A half hour in OpenMetrics: two nodes, a busy quarter, a few errors, and a node that is lost near the end.
fn half_hour() -> String {
    let mut series: Vec<(String, Course)> = Vec::new();
    let mut add = |name: &str, value: Course| series.push((name.to_owned(), value));
    let job = r#"job="ocr",instance="a""#;
    add(r#"ALERTS{alertname="OcrNodeDown",alertstate="firing",node="n2"}"#, |t| (t > 0.85).then_some(1.0));
    add(r#"container_memory_usage_bytes{pod="model-server-1",container="model"}"#, |t| Some(2e8 + 1e8 * t));
    add(r#"container_memory_usage_bytes{pod="model-server-2",container="model"}"#, |t| Some(3e8 - 5e7 * t));
    add(r#"kserve_inference_request_count{pod="model-server-1",@}"#, |t| Some(600.0 * t + 300.0 * t * t));
    add(r#"kserve_inference_request_error_count{pod="model-server-1",@}"#, |t| {
        Some(30.0 * (t - 0.7).max(0.0))
    });
    add(r#"kubelet_running_pods{node="n1"}"#, |_| Some(7.0));
    add(r#"kubelet_running_pods{node="n2"}"#, |t| (t < 0.8).then_some(5.0));
    let route = r#"role="gateway",route="/gateway/ocr""#;
    let bucket = |le: &str| format!(r#"ocr_http_request_duration_seconds_bucket{{{route},le="{le}",@}}"#);
    add(&bucket("+Inf"), |t| Some(900.0 * t));
    add(&bucket("0.25"), |t| Some(300.0 * t));
    add(&bucket("0.5"), |t| Some(700.0 * t - 200.0 * t * t));
    add(&bucket("1"), |t| Some(850.0 * t - 150.0 * t * t));
    add(&bucket("2.5"), |t| Some(900.0 * t));
    let status = |code: &str| format!(r#"ocr_http_requests_total{{{route},status="{code}",@}}"#);
    add(&status("200"), |t| Some(850.0 * t));
    add(&status("502"), |t| Some(60.0 * (t - 0.7).max(0.0)));
    add(r#"ocr_queue_length{pod="model-server-1",@}"#, |t| Some((6.0 * (t * 6.0).sin()).max(0.0).floor()));
    add(r#"ocr_queue_length{pod="model-server-2",@}"#, |t| Some((4.0 * (t * 9.0).sin()).max(0.0).floor()));
    add(r#"up{job="kubelet",metrics_path="/metrics",node="n1"}"#, |_| Some(1.0));
    add(r#"up{job="kubelet",metrics_path="/metrics",node="n2"}"#, |t| Some(if t < 0.8 { 1.0 } else { 0.0 }));
    add(r#"up{role="model",pod="model-server-1",node="n1",@}"#, |_| Some(1.0));
    add(r#"up{role="gateway",pod="ocr-gateway-1",node="n1",@}"#, |_| Some(1.0));
    let mut text = String::new();
    for (name, value) in series {
        let name = name.replace('@', job);
        for at in (0..=LENGTH).step_by(usize::try_from(STEP).unwrap()) {
            #[expect(clippy::cast_precision_loss, reason = "half an hour")]
            if let Some(value) = value(at as f64 / LENGTH as f64) {
                writeln!(text, "{name} {value} {}", END - LENGTH + at).unwrap();
            }
        }
    }
    text + "# EOF\n"
}

/// A Prometheus that has the half hour and scrapes nothing; ended when dropped.
struct Running {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn prometheus(host: &Host) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("series.txt"), half_hour()).unwrap();
    std::fs::write(path("prometheus.yml"), "global: {}\n").unwrap();
    let promtool = tools::ensure(host, Tool::Promtool).await.unwrap();
    let made = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([path("series.txt"), path("data")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(tools::ensure(host, Tool::Prometheus).await.unwrap())
        .arg(format!("--config.file={}", path("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", path("data").display()))
        .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = format!("http://127.0.0.1:{port}");
    let running = Running { child, address, _folder: folder };
    let asked = Prometheus::new(&running.address).unwrap();
    wait::until_every(
        Duration::from_millis(100),
        Duration::from_mins(1),
        "look at port and data",
        || async {
            Ok(match asked.query("vector(1)").await {
                Ok(_) => Seen::Ready(()),
                Err(_) => Seen::Awaiting("Prometheus".to_owned()),
            })
        },
    )
    .await
    .unwrap();
    running
}

async fn page() -> Page {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let host = Host::new(root.to_owned(), Config::default(), Events::silent()).unwrap();
    let running = prometheus(&host).await;
    let dashboards = dashboard::read(&root.join(dashboard::DIR)).unwrap();
    let range =
        render::range(Duration::from_secs(LENGTH), Some(UNIX_EPOCH + Duration::from_secs(END))).unwrap();
    let step = host.events.step("render", "drawing", None);
    render::render(&Prometheus::new(&running.address).unwrap(), &dashboards, range, &step).await.unwrap()
}

/// The page in a frame of this width, as a browser's window cannot be as narrow as a phone; what was noted of it, and a
/// picture.
fn seen(page: &Page, width: u32, height: u32) -> (Value, Picture) {
    let folder = tempfile::tempdir().unwrap();
    let (start, end) =
        ("<script>const failures = []; onerror = (text) => failures.push(text);</script>", "</body>");
    let asked = format!("<script>addEventListener('load', () => {{ {QUESTIONS} }});</script>{end}");
    let framed = page.html.replacen("<head>", &format!("<head>{start}"), 1).replace(end, &asked);
    let attribute = framed.replace('&', "&amp;").replace('"', "&quot;");
    let around = format!(
        "<!doctype html><body style='margin:0'><iframe style='border:0' width={width} height={height} srcdoc=\"{attribute}\"></iframe>"
    );
    let (file, picture) = (folder.path().join("page.html"), folder.path().join("page.png"));
    std::fs::write(&file, around).unwrap();
    let chromium = |what: &str| {
        let output = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args(["--force-color-profile=srgb", "--no-first-run", "--disable-background-networking", what])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .env("TMPDIR", folder.path())
            .arg(format!("--window-size={},{}", width.max(600), height + 200))
            .arg(format!("file://{}", file.display()))
            .output()
            .expect("chromium is there: apt-get install chromium");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let dom = chromium("--dump-dom");
    let title = dom.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).unwrap().0;
    let title = title.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    chromium(&format!("--screenshot={}", picture.display()));
    (serde_json::from_str(&title).unwrap(), Picture::read(&picture, width, height))
}

/// The colours of a picture, in a coarse grid.
struct Picture {
    bytes: Vec<u8>,
    cells: Vec<[u8; 3]>,
}

/// Cells in each direction.
const GRID: (u32, u32) = (48, 48);

impl Picture {
    fn read(path: &Path, width: u32, height: u32) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let depth = info.color_type.samples();
        let pixel = |x: u32, y: u32| -> [u8; 3] {
            let at = usize::try_from(y * info.width + x).unwrap() * depth;
            pixels[at..at + 3].try_into().unwrap()
        };
        let cell = |column: u32, row: u32| {
            let (left, top) = (column * width / GRID.0, row * height / GRID.1);
            let (right, bottom) = ((column + 1) * width / GRID.0, (row + 1) * height / GRID.1);
            let all = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
            let all: Vec<[u8; 3]> = all.map(|(x, y)| pixel(x, y)).collect();
            [0, 1, 2].map(|color| {
                let sum: usize = all.iter().map(|it| usize::from(it[color])).sum();
                u8::try_from(sum / all.len()).unwrap()
            })
        };
        let cells = (0..GRID.1).flat_map(|row| (0..GRID.0).map(move |column| cell(column, row))).collect();
        Self { bytes, cells }
    }

    /// The share of cells that differ by more than a twenty-fifth of the way from black to white.
    fn difference(&self, other: &Self) -> f64 {
        let far = |(a, b): &(&[u8; 3], &[u8; 3])| {
            let by: u32 = a.iter().zip(b.iter()).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            by > 30
        };
        #[expect(clippy::cast_precision_loss, reason = "few cells")]
        let share = self.cells.iter().zip(&other.cells).filter(far).count() as f64 / self.cells.len() as f64;
        share
    }
}

/// What the fonts of another machine may change.
const BOUND: f64 = 0.05;

/// Compares with the committed picture; `PLATEN_UPDATE_REFERENCE=1` writes it instead.
fn assert_looks_like(picture: &Picture, name: &str, (width, height): (u32, u32)) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drawn").join(name);
    if std::env::var_os("PLATEN_UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &picture.bytes).unwrap();
    }
    let found = picture.difference(&Picture::read(&path, width, height));
    let kept = std::env::temp_dir().join(format!("platen-{name}"));
    if found > BOUND {
        std::fs::write(&kept, &picture.bytes).unwrap();
    }
    assert!(found <= BOUND, "differs by {found:.3} from {name}; what was seen is in {}", kept.display());
}

fn assert_whole(notes: &Value) {
    assert_eq!(notes["failures"], serde_json::json!([]), "{notes}");
    assert_eq!((notes["wide"].as_bool(), notes["outside"].as_u64()), (Some(false), Some(0)), "{notes}");
    assert!(notes["plots"].as_u64() > Some(8) && notes["heat"].as_u64() > Some(100), "{notes}");
    assert_eq!(notes["rows"], 2, "{notes}");
    assert!(notes["bands"].as_u64() > Some(5), "{notes}");
    assert!(notes["alerts"].as_str().unwrap().contains("OcrNodeDown"), "{notes}");
    assert!(notes["told"].as_str().unwrap().contains("22:15:00 UTC"), "{notes}");
    assert!(notes["values"].to_string().contains("req/s"), "{notes}");
    let colors = notes["colors"].as_array().unwrap();
    // Light, dark, and again as the system has it, which is light here.
    assert!(colors[0] != colors[1] && colors[0] == colors[2], "{notes}");
}

#[tokio::test]
async fn the_page_is_whole_and_looks_as_it_was_drawn() {
    let page = page().await;
    // What was not made up has no data, and says so.
    assert!(page.empty > 5 && page.panels - page.empty > 8, "{} of {}", page.empty, page.panels);
    for (name, width, height) in [("desktop.png", 1280, 1500), ("phone.png", 360, 1500)] {
        let (notes, picture) = seen(&page, width, height);
        assert_whole(&notes);
        assert_eq!(notes["empty"].as_u64(), Some(page.empty as u64), "{notes}");
        assert_looks_like(&picture, name, (width, height));
        // The comparison would notice.
        let style = "<style>figure:first-child { display: none !important }</style></head>";
        let lacks = Page { html: page.html.replacen("</head>", style, 1), ..page };
        assert!(seen(&lacks, width, height).1.difference(&picture) > BOUND, "{name}");
    }
}
