//! Listening sockets: all bound before anything starts, each failure naming the port and who has it.

mod holder;

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("port {} ({role}) is already in use{}; stop that process or choose another port with {flag}", address.port(), holder.as_deref().unwrap_or_default())]
    Taken { role: &'static str, address: SocketAddr, holder: Option<String>, flag: &'static str },
    #[error(
        "cannot listen on {address} ({role}): {source}; choose an address of this machine with --bind and a port with {flag}"
    )]
    Other { role: &'static str, address: SocketAddr, flag: &'static str, source: std::io::Error },
}

/// A listener for `role`, whose port the user sets with `flag`. Port 0 takes any free one.
pub async fn listen(
    role: &'static str,
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => {
            let holder = holder::of_port(address.port()).map(|holder| format!(" by {holder}"));
            ListenError::Taken { role, address, holder, flag }
        }
        _ => ListenError::Other { role, address, flag, source },
    })
}
