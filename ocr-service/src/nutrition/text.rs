//! The label's text as the rest of the parser looks at it: one character after the other.

#[cfg(test)]
use std::cell::Cell;

/// Normalised characters. Tests count the looks, because they are the parser's work.
pub struct Text<'a> {
    characters: &'a [char],
    #[cfg(test)]
    looks: Cell<usize>,
}

impl<'a> Text<'a> {
    pub fn new(characters: &'a [char]) -> Self {
        Self {
            characters,
            #[cfg(test)]
            looks: Cell::new(0),
        }
    }

    /// The character at `at`; none behind the end.
    pub fn get(&self, at: usize) -> Option<char> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        self.characters.get(at).copied()
    }

    /// The character before `at`; none at the beginning.
    pub fn before(&self, at: usize) -> Option<char> {
        self.get(at.checked_sub(1)?)
    }

    /// `at`, or the place behind the one space that is there.
    pub fn skip_space(&self, at: usize) -> usize {
        at + usize::from(self.get(at) == Some(' '))
    }

    /// Where `word` ends if it begins at `at`.
    pub fn end_of(&self, word: &str, at: usize) -> Option<usize> {
        let mut end = at;
        for wanted in word.chars() {
            (self.get(end)? == wanted).then_some(())?;
            end += 1;
        }
        Some(end)
    }

    #[cfg(test)]
    pub fn looks(&self) -> usize {
        self.looks.get()
    }
}
