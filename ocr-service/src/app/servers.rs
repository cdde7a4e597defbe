//! A process's servers, and the order in which they close: a role that asks another first, so that what is under way
//! still finds whom it needs.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::doors::Door;
use crate::http::health::{Lifecycle, Phase};
use crate::http::serve::serve;

/// By their turn to close.
#[derive(Default)]
pub struct Servers(BTreeMap<u8, Stage>);

/// Servers that close together: none of them asks another.
#[derive(Default)]
struct Stage {
    lifecycle: Lifecycle,
    running: JoinSet<()>,
}

impl Servers {
    pub fn start(&mut self, door: Door, router: Router, header_timeout: Duration) {
        let stage = self.0.entry(turn(door.role)).or_default();
        stage.running.spawn(serve(door.listener, router, stage.lifecycle.clone(), header_timeout));
    }

    /// Ends with the last request of the last of them; in vain where those of one turn are not done within `patience`.
    pub async fn close(self, patience: Duration) -> Result<(), Elapsed> {
        for mut stage in self.0.into_values() {
            stage.lifecycle.enter(Phase::Closing);
            timeout(patience, async { while stage.running.join_next().await.is_some() {} }).await?;
        }
        Ok(())
    }
}

/// The page asks the gateway and the translation, the gateway asks the model.
fn turn(role: &str) -> u8 {
    match role {
        "model" | "translate" => 2,
        "gateway" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use super::*;

    async fn door(role: &'static str) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Door { role, listener, address }
    }

    async fn ask(address: SocketAddr) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("http://{address}/")).send().await.unwrap().text().await.unwrap()
    }

    async fn until_refused(address: SocketAddr) {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// A request to `asking`, which has it when all is closed and only then asks `asked`.
    async fn answer_after_the_close(asking: &'static str, asked: &'static str) -> String {
        let (outer, inner) = (door(asking).await, door(asked).await);
        let (outside, inside) = (outer.address, inner.address);
        let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (arrived, go_on) = (arrived.clone(), go_on.clone());
            move || async move {
                arrived.notify_one();
                go_on.notified().await;
                ask(inside).await
            }
        };
        let mut servers = Servers::default();
        servers.start(inner, Router::new().route("/", get(async || "found")), Duration::from_secs(10));
        servers.start(outer, Router::new().route("/", get(handler)), Duration::from_secs(10));
        let answer = tokio::spawn(ask(outside));
        arrived.notified().await;
        let closed = tokio::spawn(servers.close(Duration::from_secs(10)));
        until_refused(outside).await;
        go_on.notify_one();
        closed.await.unwrap().unwrap();
        until_refused(inside).await;
        answer.await.unwrap()
    }

    #[tokio::test]
    async fn a_request_under_way_still_finds_the_role_that_is_asked_next() {
        for (asking, asked) in [("frontend", "gateway"), ("frontend", "translate"), ("gateway", "model")] {
            let answer = answer_after_the_close(asking, asked);
            let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.expect("an end");
            assert_eq!(answer, "found", "{asking} asks {asked}");
        }
    }
}
