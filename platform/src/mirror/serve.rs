//! The mirror as a registry on loopback, for machines without the registry's container.

use std::time::Duration;

use super::registry::{CONFIGURATION, answers};
use super::{Mirror, Published};
use crate::error::{Error, Exit, Result};
use crate::host::{Host, write_atomically};
use crate::ports;
use crate::process::{Cmd, Group, ProcessError, spawn_child};
use crate::registry::Registries;
use crate::wait::{self, Seen};

const STARTUP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

impl Mirror {
    /// Starts the mirror's own registry program on a port of loopback, brings it up to date, calls `ready`, and stays
    /// until it ends; dropped, the registry ends too.
    pub async fn serve(
        &self,
        host: &Host,
        port: u16,
        ready: impl FnOnce(&[Published]) + Send,
    ) -> Result<Exit> {
        let program = self.program("registry").ok_or_else(|| {
            Error::unhealthy(
                "the mirror has no registry program yet",
                "cargo xtask mirror build registry-programs",
            )
        })?;
        ports::ensure_free([(port, "the mirror's registry".into())])?;
        let (configuration, log) =
            (host.state_dir().join("mirror-registry.yml"), host.state_dir().join("mirror-registry.log"));
        let storage = host.cache.join("registry").display().to_string();
        write_atomically(&configuration, configured(&storage, port).as_bytes())?;
        let cmd = Cmd::new(program).arg("serve").arg(&configuration);
        let mut child = spawn_child(&cmd, &log, Group::Own)?;
        let hint = format!("look at its log: {}", log.display());
        wait::until_every(POLL, STARTUP, &hint, || async move {
            Ok(if answers(port).await {
                Seen::Ready(())
            } else {
                Seen::Awaiting(format!("the mirror's registry on 127.0.0.1:{port}"))
            })
        })
        .await?;
        let step = host.events.step("mirror-publish", "pushing what the mirror holds", None);
        let registries = Registries::new(host)?;
        ready(&self.publish(&registries, &format!("127.0.0.1:{port}"), &[], &step).await?);
        step.done();
        let ended = child.wait().await;
        let status = ended.map_err(|source| ProcessError::NotStarted { command: cmd.to_string(), source })?;
        Err(Error::unhealthy(format!("the mirror's registry ended by itself: {status}"), hint))
    }
}

/// The container's own configuration, for this machine.
fn configured(storage: &str, port: u16) -> String {
    CONFIGURATION
        .replace("/var/lib/registry", storage)
        .replace("addr: :5000", &format!("addr: 127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_loopback_and_keeps_what_the_container_keeps() {
        let configuration = configured("/cache/registry", 5009);
        assert!(configuration.contains("addr: 127.0.0.1:5009"), "{configuration}");
        assert!(configuration.contains("rootdirectory: /cache/registry"), "{configuration}");
    }
}
