//! The proxy of this machine: kind and minikube hand it on to their nodes, which must reach the local registry without it.

use crate::mirror::registry;
use crate::process::Cmd;

/// The command, with the local registry excepted from the proxy of its environment.
pub fn excepted(cmd: Cmd) -> Cmd {
    match without_proxy(|name| std::env::var(name).ok()) {
        Some(names) => cmd.env("NO_PROXY", &names).env("no_proxy", &names),
        None => cmd,
    }
}

/// What `NO_PROXY` has to say; `None` where there is no proxy.
fn without_proxy(read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let any = |names: [&str; 2]| names.into_iter().find_map(|name| read(name).filter(|it| !it.is_empty()));
    any(["HTTP_PROXY", "http_proxy"]).or_else(|| any(["HTTPS_PROXY", "https_proxy"]))?;
    let given = any(["NO_PROXY", "no_proxy"]);
    Some(given.into_iter().chain([registry::NAME.to_owned()]).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_proxy_nodes_reach_the_local_registry_without_it() {
        let read = |set: &'static [(&str, &str)]| {
            without_proxy(move |name| {
                set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).into())
            })
        };
        assert_eq!(read(&[("NO_PROXY", "a")]), None);
        assert_eq!(read(&[("HTTPS_PROXY", "http://p"), ("HTTP_PROXY", "")]).unwrap(), "platen-registry");
        let both = read(&[("http_proxy", "http://p"), ("no_proxy", "a,b")]);
        assert_eq!(both.unwrap(), "a,b,platen-registry");
    }
}
