//! `doctor`, contexts and the daily helpers, on this machine without a platform: each fault is provoked for real.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

type Json = serde_json::Value;

/// A folder that the command takes for a checkout, with settings of its own.
struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for member in ["ocr-service", "platform"] {
            fs::create_dir_all(dir.path().join(member)).expect("a folder");
            fs::write(dir.path().join(member).join("Cargo.toml"), "").expect("a file");
        }
        fs::write(dir.path().join("platen.toml"), settings).expect("the settings");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command in this folder, without the user's own settings.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        for name in ["PLATEN_PROFILE", "PLATEN_CONFIG", "DOCKER_CONTEXT", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        command
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("PLATEN_CACHE", self.path("cache"))
            .env("DOCKER_HOST", format!("unix://{}", self.path("no-docker.sock").display()));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("starting xtask")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn report(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

/// What a check of the report found.
#[track_caller]
fn findings(report: &Json, id: &str) -> Vec<Json> {
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|it| it["id"] == id).expect("the check");
    check["findings"].as_array().expect("findings").clone()
}

#[track_caller]
fn outcome<'a>(report: &'a Json, id: &str) -> &'a str {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|it| it["id"] == id).expect("the check")["outcome"].as_str().expect("an outcome")
}

#[test]
fn a_port_in_use_is_told_with_the_program_that_has_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let checkout =
        Checkout::new(&format!("[cluster]\nprovider = \"embedded\"\nnodes = 1\n[ports]\ngateway = {port}\n"));
    let output = checkout.run(&["doctor", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let report = report(&output);
    let found = findings(&report, "ports");
    let found = found.iter().find(|it| it["object"] == format!("port {port}")).expect("the port");
    let pid = std::process::id();
    assert_eq!(found["severity"], "lack");
    assert_eq!(found["command"], format!("kill {pid}"));
    let sentence = found["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("the gateway of node 1") && sentence.contains(&format!("(pid {pid}")),
        "{sentence}"
    );
}

#[test]
fn docker_that_is_stopped_is_a_lack_only_where_nodes_run_in_it() {
    let checkout = Checkout::new("[cluster]\nprovider = \"kind\"\n");
    // A socket that nobody serves any more, as a stopped Docker leaves it.
    drop(UnixListener::bind(checkout.path("no-docker.sock")).expect("a socket"));
    let output = checkout.run(&["doctor", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let found = findings(&report(&output), "docker");
    assert!(found[0]["sentence"].as_str().expect("a sentence").contains("nobody listens there"), "{found:?}");
    assert!(found[0]["command"].as_str().expect("a command").contains("docker info"), "{found:?}");
    let embedded = report(&checkout.run(&["doctor", "--provider", "embedded", "-o", "json"]));
    assert_eq!(outcome(&embedded, "docker"), "passed");
}

/// Why this account may not make a mount namespace of its own, as many systems have it, and most containers.
fn refusal_of_namespaces() -> Option<String> {
    match Command::new("unshare")
        .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs"])
        .arg(std::env::temp_dir())
        .output()
    {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(stderr(&tried)),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_told_with_what_lies_on_it() {
    if let Some(refused) = refusal_of_namespaces() {
        let why = "skipped: a small disk is mounted in a namespace of its own, which is refused";
        let _ = writeln!(std::io::stderr(), "{why}: {}", refused.trim());
        return;
    }
    let checkout = Checkout::new("[cluster]\nprovider = \"embedded\"\n");
    let cache = checkout.path("cache");
    fs::create_dir_all(&cache).expect("a folder");
    // In a mount namespace of its own: it is gone with the program.
    let script =
        format!("mount -t tmpfs -o size=16m tmpfs {} && exec \"$0\" doctor -o json", cache.display());
    let inner = checkout.command(&[]);
    let mut outer = Command::new("unshare");
    outer.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(inner.get_program());
    outer.current_dir(checkout.dir.path());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    let output = outer.output().expect("unshare");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let found = findings(&report(&output), "disk");
    let sentence = found[0]["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("only 16 MiB are free for the cache ("), "{sentence}");
    assert!(found[0]["command"].as_str().expect("a command").starts_with("du "), "{found:?}");
}

/// A kubeconfig with the context `mine`, whose client certificate ended with this year.
fn kubeconfig(until: i32) -> String {
    let mut params = rcgen::CertificateParams::new(vec!["platen.test".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let [certificate, key] = [pem, key.serialize_pem()].map(|text| base64(text.as_bytes()));
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    format!(
        "apiVersion: v1\nkind: Config\n# a note of mine\nclusters:\n- name: mine\n  cluster: {{server: \"https://{closed}\"}}\n\
         - name: other\n  cluster: {{server: \"https://192.0.2.1:6443\"}}\n\
         contexts:\n- name: mine\n  context: {{cluster: mine, user: me}}\n- name: other\n  context: {{cluster: other, user: me}}\n\
         current-context: other\nusers:\n- name: me\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )
}

fn base64(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = Command::new("base64")
        .args(["-w", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("base64");
    child.stdin.take().expect("its input").write_all(bytes).expect("writing");
    let output = child.wait_with_output().expect("its output");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_expired_certificate_of_the_kubeconfig_is_told_with_its_day() {
    let checkout = Checkout::new("[cluster]\nprovider = \"existing\"\ncontext = \"mine\"\n");
    fs::write(checkout.path("kubeconfig"), kubeconfig(2020)).expect("the kubeconfig");
    let output = checkout.run(&["doctor", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report_of_it = report(&output);
    let found = findings(&report_of_it, "certificates");
    assert_eq!(found[0]["object"], "client certificate of mine");
    let sentence = found[0]["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("its certificate expired on 2020-01-01"), "{sentence}");
    assert_eq!(findings(&report_of_it, "api").len(), 1, "the API server does not answer either");
    // What could not be looked at is not told as well.
    for id in ["nodes", "pods", "dns", "volumes", "argocd", "cluster-certificates"] {
        assert_eq!(outcome(&report_of_it, id), "unknown", "{id}");
    }
}

#[test]
fn in_text_every_check_has_its_line_whether_it_passed_or_not() {
    let checkout = Checkout::new("[cluster]\nprovider = \"embedded\"\n");
    let all = report(&checkout.run(&["doctor", "-o", "json"]))["checks"].as_array().expect("checks").len();
    let text = stdout(&checkout.run(&["doctor", "-q"]));
    let marked =
        |line: &&str| ["  ✓ ", "  - ", "  ? ", "  ! ", "  ✗ "].iter().any(|mark| line.starts_with(mark));
    assert!(text.lines().filter(marked).count() >= all, "{text}");
    assert!(text.contains("✓") && text.contains("checks: "), "{text}");
    assert!(!text.contains("DOCKER_HOST=unix") || text.contains("run: "), "{text}");
}

#[test]
fn the_bundle_holds_what_was_found_and_no_planted_secret() {
    let checkout = Checkout::new("[cluster]\nprovider = \"embedded\"\n");
    fs::write(checkout.path(".env"), "DB_PASSWORD=planted-one\nNAVER_OCR_SECRET_KEY=planted-two\n")
        .expect(".env");
    let logs = checkout.path(".platen/platen/embedded/logs");
    fs::create_dir_all(&logs).expect("a folder");
    let log = "connects with planted-one\npassword=planted-three\nAuthorization: Bearer planted-four-and-more\nstarted\n";
    fs::write(logs.join("platen-1_gateway.log"), log).expect("a log");
    let refused = checkout.run(&["doctor", "--bundle", "bundle.zip"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("hint: name a file that ends in .tar.gz"), "{}", stderr(&refused));
    let output = checkout.run(&["doctor", "--bundle", "bundle.tar.gz", "-o", "json"]);
    let written = report(&output)["bundle"]["entries"].as_array().expect("entries").len();
    let unpacked = Command::new("tar")
        .args(["-xzf", "bundle.tar.gz"])
        .current_dir(checkout.dir.path())
        .status()
        .expect("tar");
    assert!(unpacked.success() && written >= 5, "{written}");
    // Everything, as somebody would search who was handed it.
    let found = Command::new("grep")
        .args(["-r", "planted"])
        .arg(checkout.path("platen-bundle"))
        .output()
        .expect("grep");
    assert_eq!(stdout(&found), "");
    let kept = fs::read_to_string(checkout.path("platen-bundle/embedded/logs/platen-1_gateway.log"))
        .expect("the log");
    assert_eq!(kept, "connects with ***\npassword=***\nAuthorization: Bearer ***\nstarted\n");
    assert!(Path::new(&checkout.path("platen-bundle/findings.json")).is_file());
}

#[test]
fn a_context_is_made_current_and_nothing_else_is_touched() {
    let checkout = Checkout::new("");
    let before = kubeconfig(2400);
    fs::write(checkout.path("kubeconfig"), &before).expect("the kubeconfig");
    let listed = report(&checkout.run(&["context", "-o", "json"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert!(listed[1]["current"] == true && listed[1]["name"] == "other", "{listed}");
    let unknown = checkout.run(&["context", "mein"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("hint: did you mean mine?"), "{}", stderr(&unknown));
    assert_eq!(fs::read_to_string(checkout.path("kubeconfig")).expect("it"), before);
    let switched = checkout.run(&["context", "mine"]);
    assert_eq!(stdout(&switched), "current is now mine\n");
    let after = fs::read_to_string(checkout.path("kubeconfig")).expect("it");
    assert_eq!(after, before.replace("current-context: other", "current-context: mine"));
    assert_eq!(stdout(&checkout.run(&["context", "mine"])), "current is mine already\n");
}

#[test]
fn bash_completes_the_command_behind_cargo() {
    let checkout = Checkout::new("");
    let script = checkout.path("completions.bash");
    fs::write(&script, checkout.run(&["completions", "bash"]).stdout).expect("the script");
    let complete = |words: &[&str]| {
        let (words, typed) = (words.join(" "), words.len());
        let line = format!(
            "source {}; COMP_WORDS=(cargo {words}); COMP_CWORD={typed}; _platen_cargo cargo; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        stdout(&Command::new("bash").args(["--norc", "-c", &line]).output().expect("bash"))
    };
    assert_eq!(complete(&["xtask", "stat"]), "status\n");
    let flags = complete(&["xtask", "status", "--"]);
    assert!(flags.contains("--watch\n") && flags.contains("--services\n"), "{flags}");
    assert!(complete(&["xtask", "up", "--provider", "''"]).contains("embedded\n"));
    for shell in ["zsh", "fish"] {
        let script = stdout(&checkout.run(&["completions", shell]));
        assert!(script.contains("xtask") && script.contains("cargo") && script.contains("doctor"), "{shell}");
    }
}

#[test]
fn every_command_has_a_man_page() {
    let checkout = Checkout::new("");
    let output = checkout.run(&["man", "pages/man1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for page in ["cargo-xtask.1", "cargo-xtask-up.1", "cargo-xtask-status.1", "cargo-xtask-mirror-build.1"] {
        let text = fs::read_to_string(checkout.path("pages/man1").join(page)).expect(page);
        assert!(text.contains(".SH NAME") && text.contains("Examples:"), "{page}: {text}");
    }
    fs::write(checkout.path("file"), "").expect("a file");
    assert_eq!(checkout.run(&["man", "file"]).status.code(), Some(2));
}

#[test]
fn the_printed_settings_are_taken_as_they_are() {
    let checkout = Checkout::new("[cluster]\nnodes = 2\n");
    let text = stdout(&checkout.run(&["config"]));
    assert_eq!(report(&checkout.run(&["config", "-o", "json"]))["cluster"]["nodes"], 2);
    fs::write(checkout.path("platen.toml"), &text).expect("the settings");
    assert_eq!(report(&checkout.run(&["config", "-o", "json"]))["cluster"]["nodes"], 3);
}

#[test]
fn help_is_there_at_once() {
    let checkout = Checkout::new("");
    let enough = Duration::from_millis(100);
    let mut quickest = Duration::MAX;
    // The best of many: what else this machine does meanwhile is not the command's.
    for _ in 0..50 {
        let begun = Instant::now();
        assert!(checkout.run(&["--help"]).status.success());
        quickest = quickest.min(begun.elapsed());
        if quickest < enough {
            return;
        }
    }
    panic!("{quickest:?}");
}
