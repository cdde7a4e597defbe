//! The frontend's page and the drawn dashboards in a real browser, which is installed for it.

use std::time::Duration;

use super::cargo;
use crate::error::Result;
use crate::event::Step;
use crate::host::Host;
use crate::tools;

/// The browser, and the fonts that the page's pictures were taken with.
const PACKAGES: [&str; 2] = ["chromium", "fonts-nanum"];
const LIMIT: Duration = Duration::from_mins(10);

pub async fn check(host: &Host, step: &Step) -> Result<String> {
    tools::ensure_packages(host, &PACKAGES, "the tests in a browser").await?;
    let page = cargo::end_to_end(host, step, "browser", LIMIT).await?;
    let drawn = cargo::end_to_end(host, step, "drawn", LIMIT).await?;
    Ok(format!("the page: {page}; the dashboards: {drawn}"))
}
