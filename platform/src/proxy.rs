//! The proxy by which this machine is told to reach others. Nodes, the builder and the steps of a build need it too, and reach
//! the local registry without it.

use crate::mirror::registry::NAME;
use crate::process::Cmd;
use crate::registry::is_loopback;

const PROXIES: [&str; 2] = ["HTTP_PROXY", "HTTPS_PROXY"];
/// What is asked without one.
const NO_PROXY: &str = "NO_PROXY";

/// Of both spellings, for programs read one or the other, the first that says something.
fn either(variable: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    let spellings = [name.to_owned(), name.to_lowercase()];
    spellings.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
}

/// What `NO_PROXY` has to say: what it says, and the local registry.
fn exceptions(variable: impl Fn(&str) -> Option<String>) -> String {
    either(variable, NO_PROXY).into_iter().chain([NAME.to_owned()]).collect::<Vec<_>>().join(",")
}

/// The command, with the local registry excepted from the proxy of its environment, which kind and minikube hand on to
/// their nodes.
pub fn excepted(cmd: Cmd) -> Cmd {
    match without_proxy(|name| std::env::var(name).ok()) {
        Some(names) => cmd.env(NO_PROXY, &names).env(NO_PROXY.to_lowercase(), &names),
        None => cmd,
    }
}

/// What `NO_PROXY` has to say; `None` where there is no proxy.
fn without_proxy(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let is_any = PROXIES.iter().any(|name| either(&variable, name).is_some());
    is_any.then(|| exceptions(&variable))
}

/// Names and values, in both spellings, for a container; none where no proxy is set that one reaches.
pub fn variables(variable: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let set = proxies(&variable);
    let mut found: Vec<_> = set.into_iter().filter(|(_, url)| !is_loopback(address(url))).collect();
    if found.is_empty() {
        return found;
    }
    found.push((NO_PROXY.to_owned(), exceptions(&variable)));
    let lower: Vec<_> = found.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    [found, lower].concat()
}

/// Of the proxies that [`variables`] leaves out, a sentence. Their logins are not told.
pub fn out_of_reach(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = proxies(&variable);
    let (name, url) = set.iter().find(|(_, url)| is_loopback(address(url)))?;
    let address = address(url);
    Some(format!(
        "the builder goes without the proxy {address} of {name}: loopback is another one in its container; where builds \
         need it, let it listen on an address that containers reach, and name that: {name}=http://ADDRESS:PORT"
    ))
}

/// Those that are set, each with its name.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    PROXIES.iter().filter_map(|name| Some(((*name).to_owned(), either(&variable, name)?))).collect()
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

    /// Variables of which these are set.
    fn set(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn behind_a_proxy_nodes_reach_the_local_registry_without_it() {
        assert_eq!(without_proxy(set(&[("NO_PROXY", "a")])), None);
        let empty = without_proxy(set(&[("HTTPS_PROXY", "http://p"), ("HTTP_PROXY", "")]));
        assert_eq!(empty.unwrap(), "platen-registry");
        let both = without_proxy(set(&[("http_proxy", "http://p"), ("no_proxy", "a,b")]));
        assert_eq!(both.unwrap(), "a,b,platen-registry");
    }

    #[test]
    fn a_proxy_is_passed_on_in_both_spellings_and_not_used_for_the_local_registry() {
        let found = variables(set(&[
            ("HTTPS_PROXY", ""),
            ("https_proxy", "http://me:word@proxy.lan:3128"),
            ("NO_PROXY", ".lan"),
        ]));
        let value =
            |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        for name in ["HTTPS_PROXY", "https_proxy"] {
            assert_eq!(value(name), Some("http://me:word@proxy.lan:3128"));
        }
        assert_eq!((value("NO_PROXY"), value("HTTP_PROXY")), (Some(".lan,platen-registry"), None));
    }

    #[test]
    fn a_proxy_that_no_container_reaches_is_not_passed_on_and_that_is_told() {
        assert!(variables(set(&[("NO_PROXY", ".lan"), ("HTTP_PROXY", "")])).is_empty());
        assert_eq!(out_of_reach(set(&[("HTTP_PROXY", "http://proxy.lan:3128")])), None);
        for loopback in ["http://127.0.0.1:3128", "localhost:3128", "http://me:word@localhost:3128/"] {
            let only = [("HTTP_PROXY", loopback)];
            assert!(variables(set(&only)).is_empty(), "{loopback}");
            let told = out_of_reach(set(&only)).unwrap();
            assert!(told.contains("3128 of HTTP_PROXY") && !told.contains("word"), "{told}");
        }
    }
}
