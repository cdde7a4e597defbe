//! The dashboards as a page.

use std::collections::BTreeMap;

use super::{Firing, Shown, has_values, heat, series};
use crate::error::Result;
use crate::observe::dashboard::{Dashboard, Panel};
use crate::observe::prometheus::Prometheus;
use crate::report::page::{Figure, Notice, Notices, Page, Section, Sheet};
use crate::report::plot::{Range, clock, escaped};

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

pub(super) fn html(content: &Content<'_>) -> Result<String> {
    let range = content.range;
    let titles: Vec<&str> = content.dashboards.iter().map(|it| it.model.title.as_str()).collect();
    let (from, to) = (clock(range.start, "%Y-%m-%d %H:%M:%S"), clock(range.end, "%H:%M:%S"));
    let firing: Vec<Notice> = content.firing.iter().map(|it| notice(it, range)).collect();
    let page = Page {
        title: format!("Platen: {} · {}", titles.join(", "), clock(range.end, "%Y-%m-%d")),
        about: format!("{from} to {to} UTC, from {}", content.prometheus.address()),
        verdict: None,
        notices: (!firing.is_empty()).then_some(Notices { title: "Alerts in this time", list: firing }),
        sheets: content.dashboards.iter().enumerate().map(|(index, it)| sheet(content, index, it)).collect(),
    };
    page.html()
}

fn notice(firing: &Firing, range: Range) -> Notice {
    let goes_on = firing.to + range.step > range.end;
    let to = if goes_on { "the end".into() } else { clock(firing.to, "%H:%M:%S") };
    Notice {
        name: firing.name.clone(),
        about: firing.about.clone(),
        when: format!("{} to {to}", clock(firing.from, "%H:%M:%S")),
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
