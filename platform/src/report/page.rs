//! The page around the plots.

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::error::{Error, Result};

/// What a page is filled with. Bodies are HTML, everything else is text.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Page {
    /// As the browser's tab names it.
    pub title: String,
    /// What is shown, of when, from where.
    pub about: String,
    pub verdict: Option<Verdict>,
    /// Above all else: what happened, and when.
    pub notices: Option<Notices>,
    pub sheets: Vec<Sheet>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub state: State,
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Passed,
    Failed,
    Inconclusive,
}

#[derive(Debug, Serialize)]
pub(crate) struct Notices {
    pub title: &'static str,
    pub list: Vec<Notice>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Notice {
    pub name: String,
    pub about: String,
    pub when: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Sheet {
    pub uid: String,
    pub title: String,
    pub description: String,
    pub sections: Vec<Section>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Section {
    pub title: String,
    pub panels: Vec<Figure>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub title: String,
    pub description: String,
    /// The class of its looks: `stat`, `table`, `text`, or a plot's.
    pub kind: String,
    /// In units of Grafana's grid, 24 of which fill the page.
    pub width: u32,
    pub body: String,
}

impl Page {
    pub fn html(&self) -> Result<String> {
        let broken = |error: minijinja::Error| Error::malformed("the template of the page", error, "");
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template("page.html", include_str!("page.html.j2")).map_err(broken)?;
        environment.add_global("css", include_str!("page.css"));
        environment.add_global("js", include_str!("page.js"));
        let page = environment.get_template("page.html");
        page.and_then(|it| it.render(minijinja::value::Serde(self))).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_named_cannot_break_the_page() {
        let verdict = Verdict { state: State::Failed, sentence: "<script>alert(1)</script>".into() };
        let html = Page { title: "<b>".into(), verdict: Some(verdict), ..Page::default() }.html().unwrap();
        assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script>alert"), "{html}");
        assert!(html.contains(r#"class="verdict failed""#), "{html}");
    }
}
