//! Doors that refuse, hang, lie or are closed, and what becomes of requests at them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::*;

/// A service behind a door; it may be told to refuse or to hang.
#[derive(Clone, Default)]
struct Service {
    refuses: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
}

impl Service {
    async fn door(&self, name: &str) -> DoorSpec {
        let (health, ocr) = (self.clone(), self.clone());
        let router = Router::new()
            .route("/healthz/ready", get(move || async move { health.answer("").await }))
            .route("/ocr", post(move || async move { ocr.answer(r#"{"text": "Platen 1"}"#).await }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        let url = |path: &str| format!("http://{address}/{path}").parse().unwrap();
        DoorSpec { name: name.into(), url: url("ocr"), health: url("healthz/ready") }
    }

    async fn answer(&self, body: &'static str) -> (StatusCode, &'static str) {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.refuses.load(Ordering::SeqCst) {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining");
        }
        (StatusCode::OK, body)
    }
}

/// Bound and not listening: connections are refused.
fn closed_door() -> (DoorSpec, tokio::net::TcpSocket) {
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url: Url = format!("http://{}/", deaf.local_addr().unwrap()).parse().unwrap();
    (DoorSpec { name: "closed".into(), url: url.clone(), health: url }, deaf)
}

fn fleet(doors: Vec<DoorSpec>, policy: Policy) -> Fleet {
    crate::tests::install_tls();
    let image = Image::new("line.png", "png").expecting("Platen 1");
    Fleet::new(doors, vec![image], policy, Duration::from_secs(10)).unwrap()
}

const ALL: Policy = Policy { failover: true, retry: true };
const NEITHER: Policy = Policy { failover: false, retry: false };

async fn outcomes(fleet: &Fleet, requests: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for _ in 0..requests {
        outcomes.push(fleet.send().await);
    }
    outcomes
}

#[tokio::test]
async fn a_request_that_finds_a_closed_door_gets_through_another() {
    let (closed, _port) = closed_door();
    let fleet = fleet(vec![closed, Service::default().door("open").await], ALL);
    assert_eq!(outcomes(&fleet, 4).await, vec![Outcome::Good; 4]);
    let lost = fleet.lost_tries();
    assert!(lost.iter().all(|lost| lost.door == "closed" && lost.why == "no connection"), "{lost:?}");
    let [closed, open] = &fleet.doors()[..] else { panic!("two doors") };
    assert_eq!((closed.good, open.good), (0, 4));
    assert_eq!(closed.tries, 1, "what it lost once it is not asked for again");
}

#[tokio::test]
async fn without_retry_what_a_closed_door_loses_is_lost() {
    let (closed, _port) = closed_door();
    let fleet = fleet(vec![closed, Service::default().door("open").await], NEITHER);
    let failed = Outcome::Failed("no connection".into());
    assert_eq!(outcomes(&fleet, 4).await, [failed.clone(), Outcome::Good, failed, Outcome::Good]);
}

#[tokio::test]
async fn a_door_that_says_it_does_not_serve_is_passed_over_until_it_does() {
    let leaving = Service::default();
    let doors = vec![leaving.door("leaving").await, Service::default().door("staying").await];
    let fleet = Arc::new(fleet(doors, Policy { failover: true, retry: false }));
    let looks = tokio::spawn({
        let fleet = Arc::clone(&fleet);
        async move { fleet.look_after().await }
    });
    let state = |lives: bool| {
        let mut watched = fleet.doors[0].lives.subscribe();
        async move { watched.wait_for(|known| *known == lives).await.map(|_| ()).unwrap() }
    };
    leaving.refuses.store(true, Ordering::SeqCst);
    state(false).await;
    assert_eq!(outcomes(&fleet, 4).await, vec![Outcome::Good; 4]);
    leaving.refuses.store(false, Ordering::SeqCst);
    state(true).await;
    outcomes(&fleet, 4).await;
    assert!(fleet.doors()[0].good > 0);
    looks.abort();
}

#[tokio::test]
async fn what_waits_at_a_door_that_hangs_goes_to_another() {
    let hanging = Service::default();
    hanging.hangs.store(true, Ordering::SeqCst);
    let doors = vec![hanging.door("hanging").await, Service::default().door("well").await];
    let fleet = fleet(doors, ALL);
    let outcome = tokio::select! {
        outcome = fleet.send() => outcome,
        () = fleet.look_after() => unreachable!("it never ends"),
    };
    assert_eq!(outcome, Outcome::Good);
    assert_eq!(fleet.lost_tries()[0].why, "the door stopped answering");
}

#[tokio::test]
async fn a_door_that_hangs_gets_no_more_than_its_first_requests() {
    let hanging = Service::default();
    hanging.hangs.store(true, Ordering::SeqCst);
    let doors = vec![hanging.door("hanging").await, Service::default().door("well").await];
    let fleet = Arc::new(fleet(doors, ALL));
    let send = || {
        let fleet = Arc::clone(&fleet);
        tokio::spawn(async move { fleet.send().await })
    };
    let first = send();
    let asked = async {
        while fleet.doors()[0].tries == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), asked).await.expect("the first door is asked");
    assert_eq!(outcomes(&fleet, 6).await, vec![Outcome::Good; 6], "nobody has found out yet");
    assert_eq!(fleet.doors()[0].tries, 1);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(fleet.doors[0].pending.load(Ordering::Relaxed), 0, "a request given up is not under way");
}

#[tokio::test]
async fn without_failover_every_door_is_asked_in_turn() {
    let refusing = Service::default();
    refusing.refuses.store(true, Ordering::SeqCst);
    let doors = vec![refusing.door("refusing").await, Service::default().door("well").await];
    let fleet = fleet(doors, Policy { failover: false, retry: true });
    outcomes(&fleet, 6).await;
    assert_eq!(fleet.doors().iter().map(|door| door.tries).collect::<Vec<_>>(), [3, 6]);
}

#[tokio::test]
async fn a_refused_request_is_told_with_its_status_and_a_wrong_text_is_wrong() {
    let full = Service::default();
    full.refuses.store(true, Ordering::SeqCst);
    let alone = fleet(vec![full.door("full").await], ALL);
    assert_eq!(alone.send().await, Outcome::Failed("status 503 Service Unavailable".into()));
    assert_eq!(alone.lost_tries().len(), 2);

    let mut other = fleet(vec![Service::default().door("open").await], ALL);
    other.images = [Image::new("line.png", "png").expecting("something else")].into();
    assert_eq!(other.send().await, Outcome::Wrong("wrong text".into()));
}

#[tokio::test]
async fn a_door_that_sends_elsewhere_is_followed() {
    let open = Service::default().door("open").await;
    let to = open.url.to_string();
    let router =
        Router::new().route("/ocr", post(|| async move { axum::response::Redirect::temporary(&to) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ocr", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    let fleet = fleet(vec![DoorSpec { name: "moved".into(), url, health: open.health }], NEITHER);
    assert_eq!(outcomes(&fleet, 2).await, vec![Outcome::Good; 2]);
}

#[tokio::test]
async fn a_closed_loop_has_all_its_clients_and_counts_what_each_did() {
    let fleet = fleet(vec![Service::default().door("open").await], ALL);
    let run = fleet.closed(Closed { clients: 5, lasting: Duration::ZERO }).await;
    assert_eq!((run.counts.good, run.counts.faults(), fleet.doors()[0].good), (5, 0, 5));
    assert_eq!(run.latencies.summary().unwrap().count, 5);
    let nobody = fleet.closed(Closed { clients: 0, lasting: Duration::ZERO }).await;
    assert_eq!(nobody.counts, crate::Counts::default());
}

#[tokio::test]
async fn a_closed_loop_that_nobody_awaits_any_more_ends() {
    let hanging = Service::default();
    hanging.hangs.store(true, Ordering::SeqCst);
    let fleet = fleet(vec![hanging.door("hanging").await], NEITHER);
    let plan = Closed { clients: 4, lasting: Duration::from_hours(1) };
    let cut = tokio::time::timeout(Duration::from_millis(50), fleet.closed(plan)).await;
    assert!(cut.is_err());
    let ended = async {
        while Arc::strong_count(&fleet.doors) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
}

#[tokio::test]
async fn tries_are_lost_on_the_clock_of_the_run() {
    let (closed, _deaf) = closed_door();
    let begun = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
    let fleet = fleet(vec![closed], NEITHER).beginning_at(begun);
    outcomes(&fleet, 1).await;
    let lost = fleet.lost_tries();
    assert!(lost.len() == 1 && (100.0..160.0).contains(&lost[0].at_seconds), "{lost:?}");
}
