//! End to end on the embedded provider: the real command, the real service, one platform for all tests.

#![expect(clippy::unnecessary_wraps, reason = "all tests have the same shape, so that each may use `?`")]

#[expect(dead_code, reason = "each of the end-to-end tests uses a part of it")]
mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use serde_json::json;
use support::roles::{Experiments, expect_translated};
use support::{Outcome, Ran, Xtask, daily, eventually, letter, post_file, processes_with};

const PROFILE: &str = "e2e-embedded";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The tests stand on one platform and follow each other.
    arguments.test_threads = Some(1);
    let trials = vec![
        trial("a taken port is reported with its holder, and the next run mends it", taken_port),
        trial("down right after a killed up leaves no process", down_after_killed_up),
        trial("up killed while it starts the nodes converges on the next run", killed_start_converges),
        trial("up again changes nothing, says so, and is quick", second_up_changes_nothing),
        trial("demo reads the letter", demo_reads_the_letter),
        trial("load is made at its rate, and limits decide how it ends", load_keeps_to_limits),
        trial("the gateway and the OCR server answer as documented", rows_answer),
        trial("the page's letter is read and translated", page_translates),
        trial("every query of the dashboards has an answer", dashboards_have_answers),
        trial("an experiment is trained beside the service", experiment_is_trained),
        trial("an image that is no image is refused with its reason", no_image_is_refused),
        trial("status shows every role ready", status_is_healthy),
        trial("a killed role comes back by itself", killed_role_comes_back),
        trial(
            "the live view shows a killed role leave and come back, and gives the terminal back",
            daily::watched,
        ),
        trial("the live view without a terminal tells each change on a line", daily::watched_as_lines),
        trial("status tells versions and no drift", daily::status_tells_versions),
        trial("doctor finds nothing where all is well, and names what is not", daily::doctor_of_what_runs),
        trial("a killed supervisor takes all with it and up brings all back", killed_supervisor),
        trial(
            "a node that is killed under load fails no request and comes back",
            killed_node_fails_no_request,
        ),
        trial("a model that hangs under load fails no request", hanging_model_fails_no_request),
        trial("a run of chaos that is killed is undone by --recover", killed_chaos_is_undone),
        trial("another provider in the same profile is refused", other_provider_is_refused),
        trial("down leaves no process and no record", down_leaves_nothing),
        trial("serve drains at Ctrl-C, on the ports of the configuration", serve_drains_at_interrupt),
        trial("serve drains at SIGTERM", serve_drains_at_term),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: fn(&Xtask) -> Outcome) -> Trial {
    Trial::test(name, move || test(xtask()))
}

/// Made at the first use, so that listing the tests starts nothing.
fn xtask() -> &'static Xtask {
    static XTASK: std::sync::LazyLock<Xtask> = std::sync::LazyLock::new(|| Xtask::new(PROFILE));
    &XTASK
}

fn up(xtask: &Xtask) -> support::Ran {
    xtask.run(&["up", "--provider", "embedded"])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

fn taken_port(xtask: &Xtask) -> Outcome {
    let holder = TcpListener::bind(("127.0.0.1", xtask.ports.gateway))?;
    let refused = up(xtask).expect_code(3);
    let said = refused.stderr();
    assert!(said.contains(&format!("port {}", xtask.ports.gateway)), "{said}");
    assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
    drop(holder);
    daily::port_is_freed(xtask)?;
    xtask.run(&["down"]).expect_code(0);
    Ok(())
}

fn load_keeps_to_limits(xtask: &Xtask) -> Outcome {
    let folder = tempfile::tempdir()?;
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let run = |rate: &str, folder: &Path, limit: &[&str]| {
        let image = support::root().join("platform/stack/bench/images/line.png");
        let mut args =
            vec!["load", "--rate", rate, "--duration", "3s", "--image", image.to_str().expect("UTF-8")];
        args.extend(["--report", folder.to_str().expect("UTF-8")]);
        args.extend(limit);
        xtask.run(&args)
    };
    // On a machine too busy to ask in time the answers are right all the same, and nothing is said of their speed.
    let ended = |ran: &Ran, otherwise: i32| {
        let slow = ran.json()["generator_was_slow"] == true;
        assert_eq!(ran.code(), Some(if slow { 6 } else { otherwise }), "{}", ran.stderr());
        slow
    };
    let ran = run("4", &first, &["--max-errors", "0"]);
    let mut slow = ended(&ran, 0);
    let report = ran.json();
    assert_eq!((&report["sent"], &report["counts"]["good"]), (&json!(12), &json!(12)), "{report}");
    let doors = report["doors"].as_array().expect("doors");
    assert!(doors.len() > 1 && doors.iter().all(|door| door["good"].as_u64() > Some(0)), "{report}");
    for file in ["report.json", "junit.xml", "latencies.hlog"] {
        assert!(first.join(file).is_file(), "{file}");
    }
    slow |= ended(&run("4", &second, &["--max-p50", "1ms"]), 1);
    let again = run("4", &second, &[]).expect_code(2);
    assert!(again.stderr().contains("holds a report already"), "{}", again.stderr());
    let [first, second] = [&first, &second].map(|folder| folder.to_str().expect("UTF-8"));
    let compared = xtask.run(&["load", "compare", first, second, "--tolerance", "100000"]);
    assert_eq!(compared.json()["figures"][0]["name"], "rate");
    compared.expect_code(if slow { 6 } else { 0 });
    Ok(())
}

fn down_after_killed_up(xtask: &Xtask) -> Outcome {
    for after in [0, 20, 100] {
        let _ =
            xtask.kill_in_step(&["up", "--provider", "embedded"], "cluster", Duration::from_millis(after));
        xtask.run(&["down"]).expect_code(0);
        assert_eq!(processes_with(&format!("--profile {PROFILE}")), [0_u32; 0], "killed after {after} ms");
        assert!(!support::root().join(".platen").join(PROFILE).exists(), "killed after {after} ms");
    }
    Ok(())
}

fn killed_start_converges(xtask: &Xtask) -> Outcome {
    for after in [0, 20, 100, 300] {
        let killed =
            xtask.kill_in_step(&["up", "--provider", "embedded"], "cluster", Duration::from_millis(after));
        // A quick machine may have started all before the later ones.
        assert!(killed? || after > 0, "up ended before it could be killed");
        up(xtask).expect_code(0);
        xtask.run(&["status"]).expect_code(0);
        xtask.run(&["down"]).expect_code(0);
    }
    up(xtask).expect_code(0);
    Ok(())
}

fn second_up_changes_nothing(xtask: &Xtask) -> Outcome {
    let before = xtask.run(&["status"]).json()["workloads"].clone();
    let again = up(xtask).expect_code(0);
    assert_eq!(again.json()["plan"]["actions"], serde_json::json!([]));
    assert_eq!(xtask.run(&["status"]).json()["workloads"], before, "the same processes go on");
    assert!(again.elapsed < Duration::from_secs(5), "took {:?}", again.elapsed);
    Ok(())
}

fn demo_reads_the_letter(xtask: &Xtask) -> Outcome {
    let demo = xtask.run(&["demo", "--image", letter().to_str().expect("a path")]).expect_code(0);
    assert!(demo.json()["text"].as_str().expect("text").contains("Hello from your child"));
    Ok(())
}

fn rows_answer(xtask: &Xtask) -> Outcome {
    let (runtime, image) = (runtime(), std::fs::read(letter())?);
    let gateway = format!("http://127.0.0.1:{}/gateway/ocr", xtask.ports.gateway);
    let read = post_file(&runtime, &gateway, "image_file", "letter.jpg", image.clone());
    assert_eq!(read.status, 200);
    assert!(read.body["text"].as_str().expect("text").contains("Hello from your child"));

    let server = format!("http://127.0.0.1:{}/ocr", xtask.ports.ocr_server);
    let read = post_file(&runtime, &server, "file", "letter.jpg", image.clone());
    assert_eq!(read.status, 200);
    assert!(read.body["text"].as_str().expect("text").contains("Hello from your child"));
    let missing = post_file(&runtime, &server, "other", "letter.jpg", image.clone());
    assert_eq!((missing.status, &missing.body), (400, &serde_json::json!({"error": "No file part"})));
    let unnamed = post_file(&runtime, &server, "file", "", image);
    assert_eq!((unnamed.status, &unnamed.body), (400, &serde_json::json!({"error": "No selected file"})));
    Ok(())
}

fn dashboards_have_answers(xtask: &Xtask) -> Outcome {
    let verified = xtask.run(&["dashboards", "verify"]).expect_code(0).json();
    assert!(verified["passed"].as_u64().expect("a number") > 30, "{verified}");
    assert_eq!(verified["failed"], 0, "{verified}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dashboards.html");
    let out = file.to_str().expect("a path");
    let drawn = xtask.run(&["dashboards", "render", "--last", "5m", "--out", out]).expect_code(0).json();
    assert_eq!((drawn["empty"].as_u64(), drawn["panels"].as_u64() > Some(30)), (Some(0), true), "{drawn}");
    let page = std::fs::read_to_string(&file).expect("the page");
    assert!(page.contains("OCR overview") && page.matches("<svg").count() > 30);
    let nobody = xtask.run(&["dashboards", "verify", "--prometheus", "http://127.0.0.1:1"]).expect_code(1);
    assert!(nobody.stderr().contains("nobody answers"), "{}", nobody.stderr());
    Ok(())
}

fn page_translates(xtask: &Xtask) -> Outcome {
    expect_translated(&runtime(), xtask.ports.frontend);
    Ok(())
}

fn experiment_is_trained(xtask: &Xtask) -> Outcome {
    let runtime = runtime();
    let experiments = Experiments::new(&runtime, PROFILE, xtask.ports.experiments);
    experiments.give_an_image();
    assert_eq!(experiments.start("end-to-end"), 201);
    assert_eq!(experiments.start("end-to-end"), 409, "its name is taken");
    let ended = experiments.ended("end-to-end");
    assert_eq!(ended["completions"], "1/1", "{ended}");
    assert!(experiments.result("end-to-end", "loss.csv").is_file());
    Ok(())
}

fn no_image_is_refused(xtask: &Xtask) -> Outcome {
    let server = format!("http://127.0.0.1:{}/ocr", xtask.ports.ocr_server);
    let refused = post_file(&runtime(), &server, "file", "letter.jpg", b"no image at all".to_vec());
    assert_eq!(refused.status, 422);
    let not_an_image = support::root().join("Cargo.toml");
    let demo = xtask.run(&["demo", "--image", not_an_image.to_str().expect("a path")]).expect_code(1);
    assert!(demo.stderr().contains("not an image"), "{}", demo.stderr());
    xtask.run(&["demo", "--image", "no-such-file.png"]).expect_code(2);
    Ok(())
}

fn status_is_healthy(xtask: &Xtask) -> Outcome {
    let status = xtask.run(&["status"]).expect_code(0).json();
    assert_eq!(status["healthy"], true);
    assert_eq!(status["workloads"].as_array().expect("workloads").len(), 17);
    Ok(())
}

fn killed_role_comes_back(xtask: &Xtask) -> Outcome {
    let model = |status: &support::Json| {
        let workloads = status["workloads"].as_array().expect("workloads").clone();
        workloads.into_iter().find(|it| it["name"] == "model").expect("a model")
    };
    let before = model(&xtask.run(&["status"]).json());
    let place = before["place"].as_str().expect("a place");
    let pid = place.trim_start_matches("pid ").split(',').next().expect("a pid").to_owned();
    std::process::Command::new("kill").args(["-9", &pid]).status()?;
    eventually("the model is back", Duration::from_secs(20), || {
        let now = model(&xtask.run(&["status"]).json());
        now["ready"] == true && now["restarts"] == 1
    });
    let logs = support::root().join(".platen").join(PROFILE).join("embedded/logs");
    let node = before["node"].as_str().expect("a node");
    let log = std::fs::read_to_string(logs.join(format!("{node}.log")))?;
    assert!(log.contains("ended; it is started again"), "{log}");
    Ok(())
}

fn killed_supervisor(xtask: &Xtask) -> Outcome {
    let supervisor = processes_with(&format!("internal supervise --profile {PROFILE}"));
    assert_eq!(supervisor.len(), 1, "one supervisor");
    std::process::Command::new("kill").args(["-9", &supervisor[0].to_string()]).status()?;
    eventually("nothing is orphaned", Duration::from_secs(10), || {
        processes_with(&format!("internal node --profile {PROFILE}")).is_empty()
    });
    let status = xtask.run(&["status"]).expect_code(1).json();
    assert!(status["summary"].as_str().expect("a sentence").contains("killed or crashed"), "{status}");
    up(xtask).expect_code(0);
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

fn killed_node_fails_no_request(xtask: &Xtask) -> Outcome {
    let folder = tempfile::tempdir()?;
    let image = support::root().join("platform/stack/bench/images/line.png");
    let (image, report) = (image.to_str().expect("UTF-8"), folder.path().to_str().expect("UTF-8"));
    let plan = xtask.run(&["chaos", "--kill-node", "--dry-run"]).expect_code(0).json();
    let victim = plan["fault"]["victim"].as_str().expect("a victim").to_owned();
    assert_eq!(victim, format!("{PROFILE}-1"), "of equals the first by name");
    let ran = xtask.run(&["chaos", "--kill-node", "--image", image, "--rate", "4", "--report", report]);
    let ran = ran.expect_code(0);
    assert!(ran.elapsed < Duration::from_mins(1), "took {:?}", ran.elapsed);
    let found = ran.json();
    assert_eq!(found["verdict"]["outcome"], "passed", "{found}");
    assert_eq!(found["fault"]["victim"], victim);
    assert_eq!(found["fault"]["proofs"][0]["holds"], true);
    assert!(found["load"]["sent"].as_u64() > Some(50), "{found}");
    assert_eq!(
        (&found["load"]["counts"]["failed"], &found["load"]["counts"]["wrong"]),
        (&json!(0), &json!(0))
    );
    let timeline = found["timeline"].as_array().expect("a timeline");
    let at = |kind: &str| {
        timeline.iter().find(|moment| moment["kind"] == kind).expect("the moment")["at"].as_f64()
    };
    assert!(
        at("fault") < at("started") && at("started") <= at("ready") && at("ready") <= at("all_ready"),
        "{timeline:?}"
    );
    for file in ["report.json", "junit.xml"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    assert!(ran.stderr().contains("fault: "), "each moment is told as it comes: {}", ran.stderr());
    let again = xtask.run(&["chaos", "--kill-node", "--report", report]).expect_code(2);
    assert!(again.stderr().contains("holds a report already"), "{}", again.stderr());
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

fn hanging_model_fails_no_request(xtask: &Xtask) -> Outcome {
    let folder = tempfile::tempdir()?;
    let image = support::root().join("platform/stack/bench/images/line.png");
    let (image, report) = (image.to_str().expect("UTF-8"), folder.path().to_str().expect("UTF-8"));
    let load = ["--image", image, "--rate", "4", "--steady", "1s", "--report", report];
    let found = xtask.run(&[&["chaos", "--hang-model"][..], &load[..]].concat()).expect_code(0).json();
    assert_eq!(found["verdict"]["outcome"], "passed", "{found}");
    assert_eq!(found["fault"]["proofs"][0]["holds"], true);
    let counts = &found["load"]["counts"];
    assert_eq!((&counts["failed"], &counts["wrong"]), (&json!(0), &json!(0)));
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

fn killed_chaos_is_undone(xtask: &Xtask) -> Outcome {
    let image = support::root().join("platform/stack/bench/images/line.png");
    let image = image.to_str().expect("UTF-8");
    let nothing = xtask.run(&["chaos", "--recover"]).expect_code(0).json();
    assert_eq!(nothing["fault"], json!(null));
    let pause =
        ["chaos", "--kill-node", "--mode", "pause", "--image", image, "--rate", "2", "--steady", "2s"];
    assert!(xtask.kill_when(&pause, " fault: ", Duration::from_secs(1))?, "it was to be killed in mid-fault");
    let journal = support::root().join(".platen/chaos").join(format!("{PROFILE}.json"));
    assert!(journal.is_file(), "what undoes it was on the disk before");
    xtask.run(&["status"]).expect_code(1);
    let refused = xtask.run(&["chaos", "--kill-pod"]).expect_code(1);
    assert!(refused.stderr().contains("chaos --recover"), "{}", refused.stderr());
    let recovered = xtask.run(&["chaos", "--recover"]).expect_code(0).json();
    assert_eq!(recovered["undone"][0]["done"], true, "{recovered}");
    assert!(!journal.exists());
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

fn other_provider_is_refused(xtask: &Xtask) -> Outcome {
    let refused = xtask.run(&["up", "--provider", "kind", "--dry-run"]).expect_code(2);
    assert!(refused.stderr().contains("embedded"), "{}", refused.stderr());
    Ok(())
}

fn down_leaves_nothing(xtask: &Xtask) -> Outcome {
    xtask.run(&["down"]).expect_code(0);
    assert!(processes_with(&format!("--profile {PROFILE}")).is_empty());
    assert!(!support::root().join(".platen").join(PROFILE).exists());
    let again = xtask.run(&["down"]).expect_code(0);
    assert_eq!(again.json()["removed"], serde_json::json!([]));
    Ok(())
}

fn serve_drains_at_interrupt(xtask: &Xtask) -> Outcome {
    // As the terminal does: the signal goes to the whole group.
    serve_drains(xtask, |group| vec!["-INT".into(), "--".into(), format!("-{group}")])
}

fn serve_drains_at_term(xtask: &Xtask) -> Outcome {
    serve_drains(xtask, |parent| vec!["-TERM".into(), parent.to_string()])
}

fn serve_drains(xtask: &Xtask, kill: impl Fn(u32) -> Vec<String>) -> Outcome {
    use std::os::unix::process::CommandExt;
    const DRAIN: Duration = Duration::from_millis(700);
    let mut serve = xtask
        .command(&["serve"])
        .env("PLATEN_DRAIN_DELAY", format!("{}ms", DRAIN.as_millis()))
        .process_group(0)
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let is_served = || std::net::TcpStream::connect(("127.0.0.1", xtask.ports.gateway)).is_ok();
    eventually("the gateway listens", Duration::from_secs(20), is_served);
    let begun = std::time::Instant::now();
    std::process::Command::new("kill").args(kill(serve.id())).status()?;
    let status = serve.wait()?;
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() >= DRAIN, "cut off after {:?}", begun.elapsed());
    assert!(!is_served(), "somebody still listens");
    Ok(())
}
