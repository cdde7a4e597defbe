//! The page around the plots.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::{Firing, Shown, has_values, heat, series};
use crate::error::{Error, Result};
use crate::observe::dashboard::{Dashboard, Panel};
use crate::observe::prometheus::Prometheus;
use crate::report::plot::{Range, clock, escaped};
use crate::report::{CSS, JS};

/// By dashboard and panel.
type Answers<'a> = BTreeMap<(usize, u32), Shown<'a>>;

/// What the page is made of.
pub(super) struct Content<'a> {
    pub prometheus: &'a Prometheus,
    pub dashboards: &'a [Dashboard],
    pub range: Range,
    pub answers: &'a Answers<'a>,
    pub firing: &'a [Firing],
}

/// What the template is filled with.
#[derive(Serialize)]
struct Values<'a> {
    css: &'a str,
    js: &'a str,
    source: &'a str,
    day: String,
    from: String,
    to: String,
    alerts: Vec<Alert<'a>>,
    sheets: Vec<Sheet>,
}

#[derive(Serialize)]
struct Sheet {
    uid: String,
    title: String,
    description: String,
    sections: Vec<Section>,
}

#[derive(Serialize, Default)]
struct Section {
    title: String,
    panels: Vec<Figure>,
}

#[derive(Serialize)]
struct Figure {
    title: String,
    description: String,
    kind: String,
    /// In units of Grafana's grid.
    width: u32,
    /// HTML.
    body: String,
}

#[derive(Serialize)]
struct Alert<'a> {
    name: &'a str,
    about: &'a str,
    from: String,
    to: String,
}

pub(super) fn html(content: &Content<'_>) -> Result<String> {
    let broken = |error: minijinja::Error| Error::malformed("the template of the page", error, "");
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template("page.html", include_str!("page.html.j2")).map_err(broken)?;
    let range = content.range;
    let values = Values {
        css: CSS,
        js: JS,
        source: content.prometheus.address(),
        day: clock(range.end, "%Y-%m-%d"),
        from: clock(range.start, "%Y-%m-%d %H:%M:%S"),
        to: clock(range.end, "%H:%M:%S"),
        alerts: content.firing.iter().map(|it| alert(it, range)).collect(),
        sheets: content.dashboards.iter().enumerate().map(|(index, it)| sheet(content, index, it)).collect(),
    };
    environment
        .get_template("page.html")
        .and_then(|it| it.render(minijinja::value::Serde(&values)))
        .map_err(broken)
}

fn alert(firing: &Firing, range: Range) -> Alert<'_> {
    let goes_on = firing.to + range.step > range.end;
    Alert {
        name: &firing.name,
        about: &firing.about,
        from: clock(firing.from, "%H:%M:%S"),
        to: if goes_on { "the end".into() } else { clock(firing.to, "%H:%M:%S") },
    }
}

fn sheet(content: &Content<'_>, index: usize, dashboard: &Dashboard) -> Sheet {
    let mut sections: Vec<Section> = Vec::new();
    for panel in &dashboard.model.panels {
        if panel.is_row() {
            sections.push(Section { title: panel.title.clone(), panels: Vec::new() });
        }
        if sections.is_empty() {
            sections.push(Section::default());
        }
        let own = std::iter::once(panel).filter(|panel| !panel.is_row());
        let figures = own.chain(&panel.panels).map(|panel| figure(content, index, panel));
        if let Some(section) = sections.last_mut() {
            section.panels.extend(figures);
        }
    }
    let model = &dashboard.model;
    Sheet {
        uid: model.uid.clone(),
        title: model.title.clone(),
        description: model.description.clone(),
        sections,
    }
}

fn figure(content: &Content<'_>, index: usize, panel: &Panel) -> Figure {
    let body = match content.answers.get(&(index, panel.id)) {
        Some(Err(why)) => format!(r#"<p class="empty">Prometheus refuses it: {}</p>"#, escaped(why)),
        Some(shown) if has_values(shown) => drawn(content, panel, shown),
        _ => r#"<p class="empty">no data in this time</p>"#.into(),
    };
    Figure {
        title: panel.title.clone(),
        description: panel.description.clone(),
        kind: panel.kind.clone(),
        width: panel.place.w.clamp(1, 24),
        body,
    }
}

fn drawn(content: &Content<'_>, panel: &Panel, shown: &Shown<'_>) -> String {
    let asked = shown.as_deref().unwrap_or_default();
    let range = content.range;
    let firing: Vec<_> = content.firing.iter().map(|it| it.band(range)).collect();
    match panel.kind.as_str() {
        "heatmap" => heat::map(panel, asked, range, &firing),
        "table" => series::table(panel, asked),
        "stat" | "gauge" => series::stat(panel, &series::curves(panel, asked, range), range),
        _ => series::lines(panel, &series::curves(panel, asked, range), range, firing),
    }
}
