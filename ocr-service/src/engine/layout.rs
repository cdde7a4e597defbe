//! Where the text of an image stands: blocks, paragraphs, lines and words with their boxes.
//!
//! Tesseract takes Korean apart into syllables with a box each. In a line's text it knows where there are spaces, so
//! what stands together there is put together here (tesseract#2702).

use serde::{Deserialize, Serialize};

use super::prepare::Rect;

/// An image's text from top to bottom. Boxes are in pixels of the sent image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// The sent image.
    pub page: Rect,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub bounds: Rect,
    pub paragraphs: Vec<Paragraph>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paragraph {
    pub bounds: Rect,
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub bounds: Rect,
    pub words: Vec<Word>,
}

/// As it is sent to callers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    pub text: String,
    /// From 0 to 100.
    pub confidence: f32,
    #[serde(rename = "box")]
    pub bounds: Rect,
}

/// What Tesseract takes for a word, and the line that begins with it, if one does.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub word: Word,
    pub line: Option<FoundLine>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FoundLine {
    /// With spaces only where Tesseract saw some.
    pub text: String,
    pub bounds: Rect,
    /// The box of the paragraph that begins with this line, if one does.
    pub paragraph: Option<Rect>,
    /// The same for a block.
    pub block: Option<Rect>,
}

impl Layout {
    /// Of an image in which nothing was read.
    pub fn empty(page: Rect) -> Self {
        Self { page, blocks: Vec::new() }
    }

    /// Puts together what was found, one word after the other.
    pub fn assemble(page: Rect, found: impl IntoIterator<Item = Found>) -> Self {
        let mut layout = Self::empty(page);
        // What is left of the line's text behind the words so far.
        let mut rest = String::new();
        for Found { word, line } in found {
            let begins = line.is_some();
            if let Some(line) = line {
                rest.clone_from(&line.text);
                layout.begin(&line);
            }
            let spaced = take(&mut rest, &word.text);
            let Some(line) = layout.last_line() else { continue };
            match line.words.last_mut() {
                Some(last) if !begins && !spaced => last.extend(&word),
                _ => line.words.push(word),
            }
        }
        layout
    }

    /// Adds what was read below.
    pub fn append(&mut self, below: Self) {
        self.blocks.extend(below.blocks);
    }

    /// Changes each box of the text.
    #[must_use]
    pub fn map(mut self, to: impl Fn(Rect) -> Rect) -> Self {
        for block in &mut self.blocks {
            block.bounds = to(block.bounds);
            for paragraph in &mut block.paragraphs {
                paragraph.bounds = to(paragraph.bounds);
                for line in &mut paragraph.lines {
                    line.bounds = to(line.bounds);
                    for word in &mut line.words {
                        word.bounds = to(word.bounds);
                    }
                }
            }
        }
        self
    }

    pub fn words(&self) -> impl Iterator<Item = &Word> {
        let paragraphs = self.blocks.iter().flat_map(|block| &block.paragraphs);
        paragraphs.flat_map(|paragraph| &paragraph.lines).flat_map(|line| &line.words)
    }

    fn begin(&mut self, line: &FoundLine) {
        if line.block.is_some() || self.blocks.is_empty() {
            let bounds = line.block.unwrap_or(line.bounds);
            self.blocks.push(Block { bounds, paragraphs: Vec::new() });
        }
        let Some(block) = self.blocks.last_mut() else { return };
        if line.paragraph.is_some() || block.paragraphs.is_empty() {
            let bounds = line.paragraph.unwrap_or(line.bounds);
            block.paragraphs.push(Paragraph { bounds, lines: Vec::new() });
        }
        let Some(paragraph) = block.paragraphs.last_mut() else { return };
        paragraph.lines.push(Line { bounds: line.bounds, words: Vec::new() });
    }

    fn last_line(&mut self) -> Option<&mut Line> {
        self.blocks.last_mut()?.paragraphs.last_mut()?.lines.last_mut()
    }
}

impl Word {
    /// Puts `next`, which stands right behind, into this word.
    #[expect(clippy::cast_precision_loss, reason = "a word has a few characters")]
    fn extend(&mut self, next: &Self) {
        let (own, its) = (self.text.chars().count() as f32, next.text.chars().count() as f32);
        self.confidence = (self.confidence * own + next.confidence * its) / (own + its).max(1.0);
        self.text.push_str(&next.text);
        self.bounds = around(self.bounds, next.bounds);
    }
}

/// Takes `word` from the front of `rest`; tells whether space stood before it. What is not there counts as apart.
fn take(rest: &mut String, word: &str) -> bool {
    let trimmed = rest.trim_start();
    let spaced = trimmed.len() < rest.len();
    match trimmed.strip_prefix(word) {
        Some(behind) => {
            *rest = behind.to_owned();
            spaced
        }
        None => true,
    }
}

fn around(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    let right = (a.x + a.width).max(b.x + b.width);
    let bottom = (a.y + a.height).max(b.y + b.height);
    Rect { x, y, width: right - x, height: bottom - y }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Rect = Rect { x: 0, y: 0, width: 600, height: 100 };

    fn rect(x: u32, width: u32) -> Rect {
        Rect { x, y: 10, width, height: 20 }
    }

    fn word(text: &str, x: u32, confidence: f32) -> Word {
        Word { text: text.into(), confidence, bounds: rect(x, 18) }
    }

    fn line(text: &str, begins: bool) -> FoundLine {
        let outer = begins.then(|| rect(0, 500));
        FoundLine { text: text.into(), bounds: rect(0, 400), paragraph: outer, block: outer }
    }

    fn found(words: &[&str], line_text: &str, begins: bool) -> Vec<Found> {
        let words = words.iter().enumerate().map(|(index, text)| Found {
            word: word(text, u32::try_from(index).unwrap() * 20, 90.0),
            line: (index == 0).then(|| line(line_text, begins)),
        });
        words.collect()
    }

    fn texts(layout: &Layout) -> Vec<&str> {
        layout.words().map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn syllables_that_stand_together_in_the_line_are_one_word_around_all_of_them() {
        let layout =
            Layout::assemble(PAGE, found(&["영", "양", "정보", "505", "kcal"], "영양정보 505 kcal\n", true));
        assert_eq!(texts(&layout), ["영양정보", "505", "kcal"]);
        assert_eq!(layout.words().next().unwrap().bounds, rect(0, 58));
    }

    #[test]
    fn a_words_confidence_is_that_of_its_parts_by_their_length() {
        let mut parts = found(&["a", "bcd"], "abcd", true);
        parts[0].word.confidence = 50.0;
        let layout = Layout::assemble(PAGE, parts);
        assert!((layout.words().next().unwrap().confidence - 80.0).abs() < 0.01);
    }

    #[test]
    fn words_that_are_not_in_the_lines_text_stay_apart() {
        assert_eq!(texts(&Layout::assemble(PAGE, found(&["a", "x", "b"], "a b", true))), ["a", "x", "b"]);
    }

    #[test]
    fn a_line_never_continues_the_word_of_the_line_above() {
        let lines = [found(&["one"], "one\n", true), found(&["two"], "two\n", false)].concat();
        let layout = Layout::assemble(PAGE, lines);
        assert_eq!(texts(&layout), ["one", "two"]);
        assert_eq!(layout.blocks[0].paragraphs[0].lines.len(), 2);
    }
}
