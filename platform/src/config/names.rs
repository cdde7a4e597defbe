//! Values that are checked once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Folders of `.platen` beside those of the profiles.
const TAKEN: [&str; 6] = ["bin", "chaos", "checks", "experiments", "locks", "reports"];

/// The name of a cluster and of all that belongs to it: lower-case letters, digits and inner hyphens, at most 30
/// characters, so that container, context and node names made from it are valid too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileName(String);

impl ProfileName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ProfileName {
    fn default() -> Self {
        Self("platen".into())
    }
}

impl FromStr for ProfileName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if TAKEN.contains(&text) {
            return Err(format!(
                "{text:?} is no profile name: a folder of that name holds what is of no profile"
            ));
        }
        let inner = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let edges = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-');
        if inner && edges && text.len() <= 30 {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "{text:?} is not a profile name: use a lower-case letter, then lower-case letters, digits or hyphens, \
             30 at most"
        ))
    }
}

impl TryFrom<String> for ProfileName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ProfileName> for String {
    fn from(name: ProfileName) -> Self {
        name.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many nodes: 1 to 9. With the default ports, a hundred apart, those of twelve would run into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct NodeCount(u16);

impl NodeCount {
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for NodeCount {
    fn default() -> Self {
        Self(3)
    }
}

impl TryFrom<u16> for NodeCount {
    type Error = String;

    fn try_from(count: u16) -> Result<Self, String> {
        match count {
            0 => Err("a cluster has at least 1 node".into()),
            1..=9 => Ok(Self(count)),
            _ => Err(format!("{count} nodes are more than the 9 that one machine serves")),
        }
    }
}

impl FromStr for NodeCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count: u16 = text.parse().map_err(|_| format!("{text:?} is not a number of nodes"))?;
        Self::try_from(count)
    }
}

impl From<NodeCount> for u16 {
    fn from(count: NodeCount) -> Self {
        count.0
    }
}

impl fmt::Display for NodeCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_that_parses_is_a_valid_dns_label(text in ".{0,40}") {
            if let Ok(name) = text.parse::<ProfileName>() {
                prop_assert!(name.as_str().len() <= 30 && !name.as_str().is_empty());
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!(!name.as_str().starts_with('-') && !name.as_str().ends_with('-'));
            }
        }
    }

    #[test]
    fn no_profile_has_a_folder_that_holds_something_else() {
        for name in TAKEN {
            assert!(name.parse::<ProfileName>().unwrap_err().contains("is no profile name"), "{name}");
        }
    }

    #[test]
    fn the_users_profile_name_is_valid() {
        assert!("pipeline-cluster".parse::<ProfileName>().is_ok());
    }
}
