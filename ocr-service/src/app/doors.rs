//! The ports of a command: all bound before any engine starts, so that a taken one costs no time.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;

use super::AppError;
use crate::cli::{Command, ServerArgs};
use crate::net::listen;

/// A port and the role behind it.
pub struct Door {
    pub role: &'static str,
    pub listener: TcpListener,
    pub address: SocketAddr,
}

impl Door {
    async fn open(role: &'static str, bind: IpAddr, port: u16, flag: &'static str) -> Result<Self, AppError> {
        let listener = listen(role, SocketAddr::new(bind, port), flag).await?;
        let address = listener.local_addr()?;
        Ok(Self { role, listener, address })
    }

    /// An address at which this same process reaches the door.
    pub fn reachable(&self) -> SocketAddr {
        let loopback = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            given => given,
        };
        SocketAddr::new(loopback, self.address.port())
    }
}

/// The roles of `command`, each with its port and the flag that chooses it.
pub fn roles(command: &Command) -> Vec<(&'static str, u16, &'static str)> {
    match command {
        Command::Gateway(args) => vec![("gateway", args.port, "--port")],
        Command::Model(args) => vec![("model", args.port, "--port")],
        Command::OcrServer(args) => vec![("ocr-server", args.port, "--port")],
        Command::Translate(args) => vec![("translate", args.port, "--port")],
        Command::Frontend(args) => vec![("frontend", args.port, "--port")],
        Command::Experiments(args) => vec![("experiments", args.port, "--port")],
        Command::Serve(args) => vec![
            ("gateway", args.gateway_port, "--gateway-port"),
            ("model", args.model_port, "--model-port"),
            ("ocr-server", args.ocr_server_port, "--ocr-server-port"),
            ("translate", args.translate_port, "--translate-port"),
            ("frontend", args.frontend_port, "--frontend-port"),
            ("experiments", args.experiments_port, "--experiments-port"),
        ],
        Command::Train(_) => Vec::new(),
    }
}

/// The doors of `command`.
pub async fn open(command: &Command) -> Result<Vec<Door>, AppError> {
    let Some(ServerArgs { bind, .. }) = command.server() else { return Ok(Vec::new()) };
    let mut doors = Vec::new();
    for (role, port, flag) in roles(command) {
        doors.push(Door::open(role, *bind, port, flag).await?);
    }
    Ok(doors)
}

/// Says where each role listens, in the log and, if asked, in a file that appears whole or not at all.
pub fn announce(doors: &[Door], server: &ServerArgs) -> Result<(), AppError> {
    for Door { role, address, .. } in doors {
        tracing::info!(role, %address, "listening");
    }
    let Some(path) = &server.ports_file else { return Ok(()) };
    let addresses: BTreeMap<_, _> = doors.iter().map(|door| (door.role, door.address.to_string())).collect();
    write_whole(path, serde_json::json!(addresses).to_string().as_bytes())
        .map_err(|source| AppError::PortsFile { path: path.display().to_string(), source })
}

fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}
