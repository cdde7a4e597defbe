//! A layout as the tables and pages that other programs read: Tesseract's TSV and hOCR.

use std::fmt::Write as _;

use super::layout::Layout;
use super::prepare::Rect;

const COLUMNS: &str =
    "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n";

/// Tesseract's table: a row for the page and for each block, paragraph, line and word.
pub fn tsv(layout: &Layout) -> String {
    let mut table = COLUMNS.to_owned();
    row(&mut table, &[1, 1, 0, 0, 0, 0], layout.page, "-1", "");
    for (b, block) in numbered(&layout.blocks) {
        row(&mut table, &[2, 1, b, 0, 0, 0], block.bounds, "-1", "");
        for (p, paragraph) in numbered(&block.paragraphs) {
            row(&mut table, &[3, 1, b, p, 0, 0], paragraph.bounds, "-1", "");
            for (l, line) in numbered(&paragraph.lines) {
                row(&mut table, &[4, 1, b, p, l, 0], line.bounds, "-1", "");
                for (w, word) in numbered(&line.words) {
                    let confidence = format!("{:.6}", word.confidence);
                    row(&mut table, &[5, 1, b, p, l, w], word.bounds, &confidence, &word.text);
                }
            }
        }
    }
    table
}

fn row(table: &mut String, numbers: &[usize; 6], bounds: Rect, confidence: &str, text: &str) {
    for number in numbers {
        put(table, format_args!("{number}\t"));
    }
    let Rect { x, y, width, height } = bounds;
    put(table, format_args!("{x}\t{y}\t{width}\t{height}\t{confidence}\t{text}\n"));
}

/// hOCR 1.2, with the classes that Tesseract writes.
pub fn hocr(layout: &Layout) -> String {
    let mut html = HEAD.to_owned();
    let (mut paragraphs, mut lines, mut words) = (0, 0, 0);
    put(
        &mut html,
        format_args!("  <div class='ocr_page' id='page_1' title='{}; ppageno 0'>\n", bbox(layout.page)),
    );
    for (b, block) in numbered(&layout.blocks) {
        put(
            &mut html,
            format_args!("   <div class='ocr_carea' id='block_1_{b}' title='{}'>\n", bbox(block.bounds)),
        );
        for paragraph in &block.paragraphs {
            paragraphs += 1;
            let title = bbox(paragraph.bounds);
            put(&mut html, format_args!("    <p class='ocr_par' id='par_1_{paragraphs}' title='{title}'>\n"));
            for line in &paragraph.lines {
                lines += 1;
                let title = bbox(line.bounds);
                put(
                    &mut html,
                    format_args!("     <span class='ocr_line' id='line_1_{lines}' title='{title}'>\n"),
                );
                for word in &line.words {
                    words += 1;
                    let (title, text) = (bbox(word.bounds), escape(&word.text));
                    let confidence = word.confidence.round();
                    put(
                        &mut html,
                        format_args!(
                            "      <span class='ocrx_word' id='word_1_{words}' title='{title}; x_wconf {confidence}'>{text}</span>\n"
                        ),
                    );
                }
                html.push_str("     </span>\n");
            }
            html.push_str("    </p>\n");
        }
        html.push_str("   </div>\n");
    }
    html.push_str("  </div>\n </body>\n</html>\n");
    html
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">
<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">
 <head>
  <title></title>
  <meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>
  <meta name='ocr-system' content='tesseract' />
  <meta name='ocr-capabilities' content='ocr_page ocr_carea ocr_par ocr_line ocrx_word'/>
 </head>
 <body>
";

fn numbered<T>(items: &[T]) -> impl Iterator<Item = (usize, &T)> {
    items.iter().enumerate().map(|(index, item)| (index + 1, item))
}

fn bbox(bounds: Rect) -> String {
    let Rect { x, y, width, height } = bounds;
    format!("bbox {x} {y} {} {}", x + width, y + height)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Writing to a String cannot fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Found, FoundLine, Word};
    use super::*;

    const PAGE: Rect = Rect { x: 0, y: 0, width: 100, height: 50 };
    const BOX: Rect = Rect { x: 10, y: 20, width: 30, height: 8 };

    fn layout(text: &str) -> Layout {
        let line = FoundLine { text: text.into(), bounds: BOX, paragraph: Some(BOX), block: Some(BOX) };
        let word = Word { text: text.into(), confidence: 96.5, bounds: BOX };
        Layout::assemble(PAGE, [Found { word, line: Some(line) }])
    }

    #[test]
    fn the_table_has_a_row_for_each_level_as_tesseracts_own() {
        let table = tsv(&layout("Platen"));
        let rows: Vec<_> = table.lines().collect();
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[1], "1\t1\t0\t0\t0\t0\t0\t0\t100\t50\t-1\t");
        assert_eq!(rows[5], "5\t1\t1\t1\t1\t1\t10\t20\t30\t8\t96.500000\tPlaten");
    }

    #[test]
    fn text_that_looks_like_markup_stays_text_in_hocr() {
        let page = hocr(&layout("<b>&'\""));
        assert!(page.contains(">&lt;b&gt;&amp;&#39;&quot;</span>"), "{page}");
        assert!(page.contains("title='bbox 10 20 40 28; x_wconf 97'"), "{page}");
    }
}
