//! The HTTP client for what is near: loopback, and addresses that the user names.

use std::time::Duration;

use crate::error::{Doing, Result};

/// Asked directly: no proxy leads there. `timeout` is for a whole request.
pub fn direct(timeout: Duration) -> Result<reqwest::Client> {
    reqwest::Client::builder().timeout(timeout).no_proxy().build().doing("preparing the HTTP client")
}
