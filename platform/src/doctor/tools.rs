//! The programs that Platen drives: which are here, and which would have to be obtained.

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::config::ProviderChoice;
use crate::engine::State;
use crate::error::Result;
use crate::tools::{self, Tool};

pub async fn check(world: &World) -> Result<Verdict> {
    let needed = needed(world);
    if needed.is_empty() {
        return Ok(Verdict::Skipped("the embedded processes need none".into()));
    }
    let looked = needed.iter().map(|tool| async move {
        let found = tools::find(&world.host, *tool).await;
        (*tool, found)
    });
    let (mut seen, mut findings) = (Vec::new(), Vec::new());
    for (tool, found) in futures_util::future::join_all(looked).await {
        let name = tool.name();
        let spec = tool.spec()?;
        match found {
            Ok(Some(path)) => seen.push(format!("{name} at {}", path.display())),
            Ok(None) if world.host.may_install => {
                seen.push(format!("{name} {} is obtained when it is needed", spec.version));
            }
            Ok(None) => {
                let least = spec.minimum.as_ref().unwrap_or(&spec.version);
                let what = format!(
                    "{name} {least} or later is not on this machine, and --no-install keeps it from being obtained"
                );
                findings.push(Finding::new(Severity::Lack, name, what, "cargo xtask up"));
            }
            Err(error) => {
                let what = format!("it is on this machine and does not run: {error}");
                findings.push(Finding::new(
                    Severity::Error,
                    name,
                    what,
                    format!("{name} {}", spec.probe.join(" ")),
                ));
            }
        }
    }
    Ok(Verdict::of(findings, seen.join(", ")))
}

fn needed(world: &World) -> Vec<Tool> {
    match world.wanted {
        ProviderChoice::Embedded => Vec::new(),
        // Then it is embedded.
        ProviderChoice::Auto if !matches!(world.engine, State::Ready(_)) => Vec::new(),
        ProviderChoice::Existing => vec![Tool::Helm, Tool::Kubectl],
        ProviderChoice::Minikube => vec![Tool::Minikube, Tool::Helm, Tool::Kubectl],
        ProviderChoice::Kind | ProviderChoice::Auto => vec![Tool::Kind, Tool::Helm, Tool::Kubectl],
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::bare;
    use super::*;
    use crate::process::scripted::scripted;

    #[tokio::test]
    async fn what_may_not_be_installed_is_lacking_and_else_it_is_obtained() {
        let (_dir, mut world) = bare();
        world.host.processes = scripted(&[], []);
        world.wanted = ProviderChoice::Kind;
        let Verdict::Found(found) = check(&world).await.unwrap() else { panic!("nothing was found") };
        assert_eq!(found.len(), 3);
        assert!(found[0].sentence.contains("kind 0.33.0 or later is not on this machine"), "{found:?}");
        world.host.may_install = true;
        assert!(
            matches!(check(&world).await.unwrap(), Verdict::Passed(seen) if seen.contains("when it is needed"))
        );
    }
}
