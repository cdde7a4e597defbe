//! The service in the foreground, with the terminal as its own.

use std::time::Duration;

use super::{PACKAGES, binary_path, build_binary, inputs_hash};
use crate::config::PortsConfig;
use crate::error::{Error, Exit, Result};
use crate::host::Host;
use crate::process::{Cmd, run_in_foreground};
use crate::{ports, tools};

/// Builds the service where its sources changed and runs it until it ends. Ctrl-C stops a build at once; the running
/// service drains first. What went wrong with the service, it has told by itself: here is only the exit code.
pub async fn serve(host: &Host, args: &[String], free_ports: bool) -> Result<Exit> {
    let cmd = tokio::select! {
        cmd = prepared(host, args) => cmd?,
        _ = tokio::signal::ctrl_c() => return Err(Error::Interrupted),
    };
    if free_ports {
        ports::release(host, &doors(&host.config.ports, args, in_environment), true).await?;
    }
    Ok(exit(run_in_foreground(&cmd).await?))
}

async fn prepared(host: &Host, args: &[String]) -> Result<Cmd> {
    tools::ensure_packages(host, &PACKAGES, "the OCR service").await?;
    let inputs = inputs_hash(&host.root)?;
    let binary = binary_path(host, &inputs);
    if !binary.is_file() {
        let step = host.events.step("service", "compiling the OCR service", Some(Duration::from_secs(90)));
        build_binary(host, &inputs, &step).await?;
        step.done();
    }
    Ok(Cmd::new(binary)
        .arg("serve")
        .args(port_args(&host.config.ports, args, in_environment))
        .args(args)
        .env("OMP_THREAD_LIMIT", "1")
        .cwd(&host.root))
}

fn in_environment(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// The ports of the configuration as the service's flags, but for those that the user gave by flag or environment.
fn port_args(ports: &PortsConfig, given: &[String], in_environment: impl Fn(&str) -> bool) -> Vec<String> {
    let own = own_ports(ports, given, in_environment).into_iter();
    own.flat_map(|(flag, port)| [flag.to_owned(), port.to_string()]).collect()
}

/// The same ports, and what each is for.
fn doors(ports: &PortsConfig, given: &[String], in_environment: impl Fn(&str) -> bool) -> Vec<(u16, String)> {
    let own = own_ports(ports, given, in_environment).into_iter();
    own.map(|(flag, port)| (port, format!("the service ({flag})"))).collect()
}

fn own_ports(
    ports: &PortsConfig,
    given: &[String],
    in_environment: impl Fn(&str) -> bool,
) -> Vec<(&'static str, u16)> {
    let flags = [
        ("--gateway-port", "PLATEN_LISTEN_GATEWAY", ports.gateway),
        ("--model-port", "PLATEN_LISTEN_MODEL", ports.model),
        ("--ocr-server-port", "PLATEN_LISTEN_OCR_SERVER", ports.ocr_server),
        ("--translate-port", "PLATEN_LISTEN_TRANSLATE", ports.translate),
        ("--frontend-port", "PLATEN_LISTEN_FRONTEND", ports.frontend),
        ("--experiments-port", "PLATEN_LISTEN_EXPERIMENTS", ports.experiments),
    ];
    let is_given = |flag: &str| given.iter().any(|arg| arg.split('=').next() == Some(flag));
    flags
        .into_iter()
        .filter(|(flag, variable, _)| !is_given(flag) && !in_environment(variable))
        .map(|(flag, _, port)| (flag, port))
        .collect()
}

/// The service's exit codes are a part of this command's; 130 is a Ctrl-C before the service could handle it.
fn exit(code: i32) -> Exit {
    match code {
        0 => Exit::Done,
        2 => Exit::Usage,
        3 => Exit::Machine,
        5 => Exit::TimedOut,
        130 => Exit::Interrupted,
        _ => Exit::Program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_of_the_configuration_are_passed() {
        let ports =
            PortsConfig { gateway: 1, model: 2, ocr_server: 3, frontend: 4, ..PortsConfig::default() };
        let args = port_args(&ports, &[], |_| false).join(" ");
        for arg in ["--gateway-port 1", "--model-port 2", "--ocr-server-port 3", "--frontend-port 4"] {
            assert!(args.contains(arg), "{args}");
        }
    }

    #[test]
    fn a_port_that_the_user_gave_is_left_to_the_user() {
        let given = ["--gateway-port=9", "--model-port", "8"].map(ToOwned::to_owned);
        let args =
            port_args(&PortsConfig::default(), &given, |name| name == "PLATEN_LISTEN_OCR_SERVER").join(" ");
        assert!(args.contains("--frontend-port"), "{args}");
        for flag in ["--gateway-port", "--model-port", "--ocr-server-port"] {
            assert!(!args.contains(flag), "{args}");
        }
    }

    #[test]
    fn the_services_exit_code_is_passed_on() {
        let codes = [0, 2, 3, 5, 1, 137].map(exit);
        let wanted = [Exit::Done, Exit::Usage, Exit::Machine, Exit::TimedOut, Exit::Program, Exit::Program];
        assert_eq!(codes, wanted);
    }
}
