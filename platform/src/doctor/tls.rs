//! The certificate that a server shows, whatever it is: who looks for an expired one must not refuse it.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

const WITHIN: Duration = Duration::from_secs(5);

/// Accepts every certificate: nothing is sent over this connection but its beginning.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The server's own certificate, as DER. Blocks for a few seconds at most.
pub fn shown_by(host: &str, port: u16) -> io::Result<Vec<u8>> {
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = connected(host, port)?;
    while tls.peer_certificates().is_none() {
        let (read, written) = tls.complete_io(&mut stream).map_err(in_words)?;
        if read + written == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "it shows no certificate"));
        }
    }
    let shown = tls.peer_certificates().and_then(|chain| chain.first());
    shown.map(|it| it.to_vec()).ok_or_else(|| io::Error::other("it shows no certificate"))
}

/// A socket that was silent for too long says only that there is nothing to read.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::new(ErrorKind::TimedOut, format!("no answer within {} s", WITHIN.as_secs()))
        }
        _ => error,
    }
}

fn connected(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, format!("{host} has no address"));
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, WITHIN) {
            Ok(stream) => {
                stream.set_read_timeout(Some(WITHIN))?;
                stream.set_write_timeout(Some(WITHIN))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::super::x509::Certificate;
    use super::*;

    /// Serves one TLS handshake with a certificate that ended in 2020.
    fn expired_server() -> u16 {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let _ = tls.complete_io(&mut stream);
        });
        port
    }

    #[test]
    fn an_expired_certificate_is_shown_all_the_same() {
        crate::tls::install();
        let shown = shown_by("127.0.0.1", expired_server()).unwrap();
        let now = k8s_openapi::jiff::Timestamp::now().as_second();
        let complaint = Certificate::of_der(&shown).unwrap().complaint(now).unwrap();
        assert!(complaint.starts_with("expired on 2020-01-01"), "{complaint}");
    }

    #[test]
    fn a_server_that_is_silent_is_told_in_words() {
        let error = in_words(io::Error::from(ErrorKind::WouldBlock));
        assert_eq!(error.to_string(), "no answer within 5 s");
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error() {
        crate::tls::install();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(shown_by("127.0.0.1", free).is_err());
    }
}
