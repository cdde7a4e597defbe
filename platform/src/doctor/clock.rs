//! The clock, against those that answer: a skew makes certificates and tokens invalid, and leases look dead.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};

use super::report::{Finding, Severity, Verdict};
use super::world::{Cluster, World};
use crate::error::{Doing, Result};

const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// The header has whole seconds, and the answer takes its time.
const UNNOTICED: i64 = 3;
/// Beyond this a fresh certificate is not valid yet, and a node's lease has run out.
const HARMFUL: i64 = 30;

pub async fn check(world: &World) -> Result<Verdict> {
    let mut measured = Vec::new();
    let mut silent = Vec::new();
    if let Cluster::Answers { context, client } = &world.cluster {
        match of_cluster(client).await {
            Ok(Some(ahead)) => measured.push((format!("the API server of {context}"), ahead)),
            Ok(None) => silent.push("the API server tells no time".to_owned()),
            Err(error) => silent.push(error.to_string()),
        }
    }
    if let Some((name, url)) = registry(world) {
        match of_url(&url).await {
            Ok(Some(ahead)) => measured.push((format!("the registry {name}"), ahead)),
            Ok(None) => silent.push(format!("the registry {name} tells no time")),
            Err(error) => silent.push(error.to_string()),
        }
    }
    if measured.is_empty() {
        let why = if silent.is_empty() {
            "no API server or registry runs to compare with".into()
        } else {
            silent.join("; ")
        };
        return Ok(if silent.is_empty() { Verdict::Skipped(why) } else { Verdict::Unknown(why) });
    }
    Ok(judge(&measured))
}

/// The registry that images come from, where it is running.
fn registry(world: &World) -> Option<(String, String)> {
    match &world.host.config.images.registry {
        Some(registry) if world.context().is_some() => {
            let name = registry.split('/').next().unwrap_or(registry);
            let scheme = if crate::registry::is_loopback(name) { "http" } else { "https" };
            Some((name.to_owned(), format!("{scheme}://{name}/v2/")))
        }
        _ => {
            let port = world.host.config.ports.registry;
            let runs = world.needs_docker() && !crate::ports::is_free(port);
            runs.then(|| (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/v2/")))
        }
    }
}

fn judge(measured: &[(String, i64)]) -> Verdict {
    let findings = measured.iter().filter(|(_, ahead)| ahead.abs() > UNNOTICED).map(|(who, ahead)| {
        let severity = if ahead.abs() > HARMFUL { Severity::Error } else { Severity::Warning };
        let way = if *ahead > 0 { "ahead of" } else { "behind" };
        let sentence = format!("it is {} s {way} {who}", ahead.abs());
        Finding::new(severity, "clock", sentence, "sudo timedatectl set-ntp true")
    });
    let seen: Vec<&str> = measured.iter().map(|(who, _)| who.as_str()).collect();
    Verdict::of(findings.collect(), format!("within {UNNOTICED} s of {}", seen.join(" and ")))
}

async fn of_cluster(client: &kube::Client) -> Result<Option<i64>> {
    let request = http::Request::get("/version").body(kube::client::Body::empty());
    let Ok(request) = request else { return Ok(None) };
    let before = now();
    let answer = client.send(request).await.doing("asking the API server for its time")?;
    Ok(ahead(before, now(), answer.headers()))
}

async fn of_url(url: &str) -> Result<Option<i64>> {
    let client = crate::http::direct(ANSWERS_WITHIN)?;
    let before = now();
    let answer = client.get(url).send().await.doing(format!("asking {url} for its time"))?;
    Ok(ahead(before, now(), answer.headers()))
}

/// How many seconds this machine is ahead of who answered, between these two moments.
fn ahead(before: i64, after: i64, headers: &http::HeaderMap) -> Option<i64> {
    let told = headers.get(http::header::DATE)?.to_str().ok()?;
    let theirs = moment(told)?;
    Some(i64::midpoint(before, after) - theirs)
}

/// An HTTP date (RFC 9110), which is one of RFC 2822 but for the name of its zone.
fn moment(date: &str) -> Option<i64> {
    let date = date.strip_suffix("GMT").map_or_else(|| date.to_owned(), |date| format!("{date}+0000"));
    rfc2822::DateTimeParser::new().parse_timestamp(&date).ok().map(Timestamp::as_second)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::bare;
    use super::*;

    /// A registry whose clock is this many seconds off.
    async fn registry_off_by(seconds: i64) -> String {
        let theirs = Timestamp::from_second(now() + seconds).unwrap();
        let date = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let answer = move || async move { ([(http::header::DATE, date)], "{}") };
        let router = axum::Router::new().route("/v2/", axum::routing::get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address.to_string()
    }

    async fn checked(seconds: i64) -> Verdict {
        crate::tls::install();
        let (_dir, mut world) = bare();
        world.host.config.images.registry = Some(format!("{}/path", registry_off_by(seconds).await));
        world.cluster = Cluster::Silent { context: "mine".into(), why: String::new(), unusable: false };
        check(&world).await.unwrap()
    }

    #[tokio::test]
    async fn a_clock_that_goes_wrong_is_told_by_how_much() {
        let verdict = checked(-90).await;
        let Verdict::Found(found) = verdict else { panic!("{verdict:?}") };
        assert_eq!(found[0].severity, Severity::Error);
        // The second may turn between the two readings.
        let of_90 = ["89", "90", "91"]
            .iter()
            .any(|it| found[0].sentence.starts_with(&format!("it is {it} s ahead of")));
        assert!(of_90, "{found:?}");
        let verdict = checked(10).await;
        assert!(
            matches!(verdict, Verdict::Found(found) if found[0].sentence.contains("s behind the registry"))
        );
        assert!(matches!(checked(0).await, Verdict::Passed(_)));
    }

    #[tokio::test]
    async fn with_nobody_to_compare_with_nothing_is_claimed() {
        let (_dir, world) = bare();
        assert!(matches!(check(&world).await.unwrap(), Verdict::Skipped(_)));
    }
}
