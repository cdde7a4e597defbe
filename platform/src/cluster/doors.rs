//! The doors to the gateway on this machine: which of them answer.

use std::time::Duration;

use super::Endpoint;
use crate::error::Result;

/// A gateway says at once whether it is ready.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Those of `doors` behind which no ready gateway answers.
pub async fn unready(doors: &[Endpoint]) -> Result<Vec<&Endpoint>> {
    let client = crate::http::direct(ANSWERS_WITHIN)?;
    let asked = doors.iter().map(|door| {
        let answer = client.get(format!("http://{}/healthz/ready", door.address)).send();
        async move { (door, answer.await.is_ok_and(|answer| answer.status().is_success())) }
    });
    let answers = futures_util::future::join_all(asked).await;
    Ok(answers.into_iter().filter(|(_, ready)| !ready).map(|(door, _)| door).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_door_behind_which_nobody_answers_is_not_ready() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let doors = [Endpoint::on_loopback("node", free)];
        assert_eq!(unready(&doors).await.unwrap(), [&doors[0]]);
    }
}
