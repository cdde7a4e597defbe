//! The proxy by which this machine is told to reach others, as the builder and the steps of a build need it too.

use crate::mirror::registry::NAME;
use crate::registry::is_loopback;

const PROXIES: [&str; 2] = ["HTTP_PROXY", "HTTPS_PROXY"];
/// What is asked without one.
const NO_PROXY: &str = "NO_PROXY";

/// Names and values; none where no proxy is set. Both spellings, for programs read one or the other.
pub fn variables(variable: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let read = |name: &str| {
        let set = variable(name).or_else(|| variable(&name.to_lowercase()));
        set.filter(|value| !value.is_empty())
    };
    let proxies = PROXIES.iter().filter_map(|name| Some(((*name).to_owned(), read(name)?)));
    // Loopback is another one in a container.
    let mut found: Vec<_> = proxies.filter(|(_, url)| !is_loopback(address(url))).collect();
    if found.is_empty() {
        return found;
    }
    // The builder asks the local registry by this name.
    let without = read(NO_PROXY).map_or_else(|| NAME.to_owned(), |hosts| format!("{hosts},{NAME}"));
    found.push((NO_PROXY.to_owned(), without));
    let lower: Vec<_> = found.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    [found, lower].concat()
}

/// `host[:port]` of a proxy's address, which may have a scheme and a login.
fn address(url: &str) -> &str {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    let url = url.split('/').next().unwrap_or_default();
    url.rsplit_once('@').map_or(url, |(_, address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Vec<(String, String)> {
        variables(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_proxy_is_passed_on_in_both_spellings_and_not_used_for_the_local_registry() {
        let found = of(&[("https_proxy", "http://me:word@proxy.lan:3128"), ("NO_PROXY", ".lan")]);
        let value =
            |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        for name in ["HTTPS_PROXY", "https_proxy"] {
            assert_eq!(value(name), Some("http://me:word@proxy.lan:3128"));
        }
        assert_eq!((value("NO_PROXY"), value("HTTP_PROXY")), (Some(".lan,platen-registry"), None));
    }

    #[test]
    fn without_a_proxy_that_a_container_reaches_nothing_is_passed_on() {
        assert!(of(&[("NO_PROXY", ".lan"), ("HTTP_PROXY", "")]).is_empty());
        for loopback in ["http://127.0.0.1:3128", "localhost:3128", "http://me@localhost:3128/"] {
            assert!(of(&[("HTTP_PROXY", loopback)]).is_empty(), "{loopback}");
        }
    }
}
