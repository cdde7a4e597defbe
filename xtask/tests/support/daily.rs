//! Daily use on a platform that runs: the live view, versions, the doctor, ports that are freed.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::{Json, Outcome, Xtask, eventually, processes_with, watching};

pub fn watched(xtask: &Xtask) -> Outcome {
    let recording = super::root().join(".platen/checks/watch.txt");
    std::fs::create_dir_all(recording.parent().expect("a folder"))?;
    watching::killed_role_is_seen(xtask, &recording)
}

pub fn watched_as_lines(xtask: &Xtask) -> Outcome {
    watching::lines_are_told(xtask)
}

pub fn status_tells_versions(xtask: &Xtask) -> Outcome {
    eventually("all is ready again", Duration::from_secs(20), || xtask.run(&["status"]).code() == Some(0));
    let status = xtask.run(&["status"]).json();
    assert_eq!(status["drift"], json!({"actions": []}));
    let components = status["components"].as_array().expect("components");
    let service = components.iter().find(|it| it["name"] == "OCR service").expect("the service");
    assert_eq!(service["version"].as_str().map(str::len), Some(12), "the hash of its sources: {service}");
    let services = xtask.run(&["status", "--services"]).expect_code(3);
    assert!(services.stderr().contains("no cluster"), "{}", services.stderr());
    Ok(())
}

pub fn doctor_of_what_runs(xtask: &Xtask) -> Outcome {
    let check = |report: &Json, id: &str| {
        let checks = report["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|it| it["id"] == id).expect("the check")
    };
    let well = xtask.run(&["doctor"]).json();
    for id in ["processes", "ports"] {
        assert_eq!(check(&well, id)["outcome"], "passed", "{well}");
    }
    // A supervisor that stands still: its role, once killed, does not come back.
    let supervisor = processes_with(&format!("internal node --profile {}", xtask.profile));
    let signal = |name: &str| {
        let pids = supervisor.iter().map(ToString::to_string);
        Command::new("kill").arg(name).args(pids).status().map(drop)
    };
    let workloads = xtask.run(&["status"]).json()["workloads"].as_array().expect("workloads").clone();
    let gateway = workloads.iter().find(|it| it["name"] == "gateway").expect("a gateway");
    let place = gateway["place"].as_str().expect("a place");
    let pid = place.trim_start_matches("pid ").split(',').next().expect("a pid").to_owned();
    signal("-STOP")?;
    Command::new("kill").args(["-9", &pid]).status()?;
    let sick = xtask.run(&["doctor"]);
    signal("-CONT")?;
    let found = check(&sick.json(), "processes")["findings"][0].clone();
    sick.expect_code(1);
    assert!(found["object"].as_str().expect("an object").starts_with("gateway on "), "{found}");
    assert!(found["command"].as_str().expect("a command").starts_with("tail "), "{found}");
    eventually("all is ready again", Duration::from_secs(20), || xtask.run(&["status"]).code() == Some(0));
    Ok(())
}

/// Somebody else's program on the gateway's port is ended when that is asked for, and named.
pub fn port_is_freed(xtask: &Xtask) -> Outcome {
    let script = format!(
        "IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1:{}', ReuseAddr => 1) or die; sleep 300",
        xtask.ports.gateway
    );
    let mut other =
        Command::new("perl").args(["-MIO::Socket::INET", "-e", &format!("$s = {script}")]).spawn()?;
    eventually("it listens", Duration::from_secs(10), || {
        TcpStream::connect(("127.0.0.1", xtask.ports.gateway)).is_ok()
    });
    let freed = xtask.run(&["up", "--provider", "embedded", "--free-ports"]).expect_code(0);
    assert!(freed.stderr().contains(&format!("stopping perl (pid {}", other.id())), "{}", freed.stderr());
    assert!(!other.wait()?.success());
    Ok(())
}
