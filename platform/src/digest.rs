//! One SHA-256 over many parts.

use sha2::{Digest, Sha256};

/// Length first, so that no two lists of parts run together to the same bytes.
#[derive(Debug, Clone, Default)]
pub struct Parts(Sha256);

impl Parts {
    pub fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// All of it, in hexadecimal digits.
    pub fn hex(self) -> String {
        hex::encode(self.0.finalize())
    }

    /// Twelve digits: enough to tell makes of the same thing apart.
    pub fn short(self) -> String {
        self.hex()[..12].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_part_ends_is_a_part_of_it() {
        let of = |parts: &[&str]| {
            let mut all = Parts::default();
            for part in parts {
                all.add(part);
            }
            all.short()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
    }
}
