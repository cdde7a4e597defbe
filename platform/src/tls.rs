//! One TLS implementation for every client in the process.

/// kube, bollard and reqwest all take TLS from rustls; the provider is settled once, first thing in `main`.
pub fn install() {
    // An error only says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
