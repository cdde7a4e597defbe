//! What other servers say to us, and how a request to one ended: the same for each that is asked.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::RETRY_AFTER;

use crate::secret::Secret;

/// Characters of a message that is passed on.
const MAX_MESSAGE: usize = 300;

/// The time for the answer was up. A connection that was not made in its own time is a server that is away.
pub fn is_late(error: &reqwest::Error) -> bool {
    error.is_timeout() && !error.is_connect()
}

/// When to ask again, where it is said in seconds; as a date it is not understood.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Their words as far as they are ours to repeat: without the secret that we sent them.
pub fn shown(text: &str, secret: Option<&Secret>) -> String {
    let text = secret.map_or_else(|| text.to_owned(), |secret| secret.kept_out_of(text));
    text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_time_to_ask_again_is_told_in_whole_seconds_or_not_at_all() {
        let told =
            |value| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]));
        assert_eq!(told("7"), Some(Duration::from_secs(7)));
        for other in ["", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(told(other), None, "{other}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn their_words_are_shown_short_and_without_our_secret_and_control_characters() {
        let secret = Secret::new("hunter2");
        assert_eq!(shown("the key\n hunter2\u{1b} is wrong", Some(&secret)), "the key … is wrong");
        assert_eq!(shown(&"가".repeat(1000), None).chars().count(), MAX_MESSAGE);
    }
}
