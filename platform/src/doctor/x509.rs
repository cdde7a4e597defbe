//! Certificates: whom they are for, and from when to when they hold (RFC 5280).

use k8s_openapi::jiff::Timestamp;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: i64 = 24 * 60 * 60;
/// Time enough to renew one before it ends.
const SOON: i64 = 14 * DAY;

/// What of a certificate is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub subject: String,
    /// Seconds since the epoch.
    pub not_before: i64,
    pub not_after: i64,
}

/// What a moment means for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For so many days more.
    Holds(i64),
    EndsSoon,
    Ended,
    NotYet,
}

impl Certificate {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            subject: certificate.subject().to_string(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        }
    }

    /// Every certificate of a PEM file; a key beside them is passed over.
    pub fn of_pem(text: &[u8]) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        for pem in Pem::iter_from_buffer(text) {
            let pem = pem.map_err(|error| error.to_string())?;
            if pem.label == "CERTIFICATE" {
                found.push(Self::of(&pem.parse_x509().map_err(|error| error.to_string())?));
            }
        }
        if found.is_empty() { Err("there is no certificate in it".into()) } else { Ok(found) }
    }

    pub fn of_der(bytes: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(bytes).map_err(|error| error.to_string())?;
        Ok(Self::of(&certificate))
    }

    pub fn at(&self, now: i64) -> Validity {
        match self.not_after - now {
            _ if now < self.not_before => Validity::NotYet,
            left if left <= 0 => Validity::Ended,
            left if left < SOON => Validity::EndsSoon,
            left => Validity::Holds(left / DAY),
        }
    }

    /// As a sentence goes on: `expired on 2026-01-01 (CN=admin)`; `None` where it holds for long.
    pub fn complaint(&self, now: i64) -> Option<String> {
        let subject = &self.subject;
        match self.at(now) {
            Validity::Holds(_) => None,
            Validity::EndsSoon => Some(format!(
                "expires within {} days, on {} ({subject})",
                (self.not_after - now) / DAY + 1,
                day(self.not_after)
            )),
            Validity::Ended => Some(format!("expired on {} ({subject})", day(self.not_after))),
            Validity::NotYet => Some(format!(
                "is valid from {} on ({subject}); this machine's clock may be wrong",
                day(self.not_before)
            )),
        }
    }
}

fn day(moment: i64) -> String {
    Timestamp::from_second(moment)
        .map_or_else(|_| moment.to_string(), |it| it.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A real certificate, self-signed, for these years.
    pub fn pem(from: i32, to: i32) -> String {
        let mut params = rcgen::CertificateParams::new(vec!["platen.test".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "kubernetes-admin");
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    fn only(text: &str) -> Certificate {
        Certificate::of_pem(text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn an_expired_certificate_says_when_and_whose() {
        let now = Timestamp::now().as_second();
        let complaint = only(&pem(2019, 2020)).complaint(now).unwrap();
        assert!(complaint.starts_with("expired on 2020-01-01 ("), "{complaint}");
        assert!(complaint.contains("kubernetes-admin"), "{complaint}");
        assert_eq!(only(&pem(2019, 2400)).complaint(now), None);
        let early = only(&pem(2399, 2400)).complaint(now).unwrap();
        assert!(early.contains("is valid from 2399-01-01"), "{early}");
    }

    #[test]
    fn the_last_days_are_told_before_they_are_over() {
        let certificate = only(&pem(2019, 2020));
        let days = |left: i64| certificate.complaint(certificate.not_after - left * DAY);
        assert!(days(3).unwrap().starts_with("expires within 4 days"));
        assert_eq!(days(15), None);
        assert_eq!(certificate.at(certificate.not_after), Validity::Ended);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(Certificate::of_pem(b"no certificate").is_err());
        assert!(
            Certificate::of_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err()
        );
        assert!(Certificate::of_der(&[0x30, 0]).is_err());
    }
}
