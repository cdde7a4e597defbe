//! How the live view looks: a column for each node, what happened below. A state is a word and a colour, never a colour
//! alone.

use std::collections::BTreeSet;

use platform::cluster::NodeState;
use platform::status::watch::{NodeSeen, PodSeen, PodState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::view::View;

/// A narrower column cannot hold a pod's name and its state.
const NARROWEST: u16 = 26;
/// The columns leave at least so much for what happened.
const LOG: u16 = 7;

pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let scene = &view.scene;
    let rows = Layout::vertical([
        Constraint::Length(if scene.trouble.is_some() { 2 } else { 1 }),
        Constraint::Min(4),
        Constraint::Length(LOG.max(frame.area().height / 4)),
        Constraint::Length(1),
    ]);
    let [head, columns, log, foot] = rows.areas(frame.area());
    frame.render_widget(headline(view), head);
    draw_columns(frame, view, columns);
    draw_log(frame, view, log);
    let keys = Line::styled("q ends · » has just changed", Style::new().add_modifier(Modifier::DIM));
    frame.render_widget(keys, foot);
}

fn headline(view: &View) -> Paragraph<'static> {
    let scene = &view.scene;
    let staying = scene.pods.iter().filter(|pod| !matches!(pod.state, PodState::Leaving | PodState::Done));
    let (ready, all) = staying
        .fold((0, 0), |(ready, all), pod| (ready + usize::from(pod.state == PodState::Ready), all + 1));
    let nodes = scene.nodes.iter().filter(|node| node.state == NodeState::Ready).count();
    let counts = format!("  {nodes} of {} nodes Ready, {ready} of {all} ready", scene.nodes.len());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::from(vec![Span::styled(scene.title.clone(), bold), Span::raw(counts)])];
    if let Some(trouble) = &scene.trouble {
        lines.push(Line::styled(format!("! {trouble}"), Style::new().fg(Color::Red)));
    }
    Paragraph::new(lines)
}

/// What the pods of a column have in common.
enum Place<'a> {
    Node(&'a NodeSeen),
    /// A node that is not listed: it was deleted, or this account may not list nodes.
    Unlisted(&'a str),
    Nowhere,
}

/// The nodes, and beside them those pods that no listed node has: as many columns in a row as are wide enough.
fn draw_columns(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let scene = &view.scene;
    let on = |node: Option<&str>| -> Vec<&PodSeen> {
        scene.pods.iter().filter(|pod| pod.node.as_deref() == node).collect()
    };
    let mut columns: Vec<(Place<'_>, Vec<&PodSeen>)> =
        scene.nodes.iter().map(|node| (Place::Node(node), on(Some(&node.name)))).collect();
    let listed = |name: &str| scene.nodes.iter().any(|node| node.name == name);
    let unlisted: BTreeSet<&str> =
        scene.pods.iter().filter_map(|pod| pod.node.as_deref()).filter(|name| !listed(name)).collect();
    columns.extend(unlisted.into_iter().map(|name| (Place::Unlisted(name), on(Some(name)))));
    let unplaced = on(None);
    if !unplaced.is_empty() {
        columns.push((Place::Nowhere, unplaced));
    }
    let in_a_row = usize::from((area.width / NARROWEST).max(1)).min(columns.len().max(1));
    let rows: Vec<_> = columns.chunks(in_a_row).collect();
    let heights = vec![Constraint::Fill(1); rows.len()];
    for (row, strip) in rows.iter().zip(Layout::vertical(heights).split(area).iter()) {
        let widths = vec![Constraint::Fill(1); in_a_row];
        for ((place, pods), cell) in row.iter().zip(Layout::horizontal(widths).split(*strip).iter()) {
            draw_column(frame, view, place, pods, *cell);
        }
    }
}

fn draw_column(frame: &mut Frame<'_>, view: &View, place: &Place<'_>, pods: &[&PodSeen], area: Rect) {
    let (title, style) = match place {
        Place::Node(node) => {
            let (word, color) = of_node(node.state);
            (format!(" {} {word} ", node.name), Style::new().fg(color))
        }
        Place::Unlisted(name) => (format!(" {name} is not listed "), Style::new().fg(Color::Yellow)),
        Place::Nowhere => (" on no node yet ".to_owned(), Style::new().fg(Color::Yellow)),
    };
    let block = Block::bordered().title(title).border_style(style);
    let inside = block.inner(area);
    let room = usize::from(inside.height);
    let mut lines: Vec<Line<'_>> =
        pods.iter().map(|pod| of_pod(pod, view.is_fresh(pod), usize::from(inside.width))).collect();
    if lines.len() > room && room > 0 {
        let hidden = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(Line::from(format!("  and {hidden} more")));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// A mark, the name cut in the middle, restarts, and the state.
fn of_pod(pod: &PodSeen, fresh: bool, width: usize) -> Line<'static> {
    let word = pod.state.word();
    let restarts = if pod.restarts > 0 { format!(" ↻{}", pod.restarts) } else { String::new() };
    let room = width.saturating_sub(2 + word.len() + 1 + restarts.chars().count());
    let mut style = Style::new().fg(of_state(pod.state));
    if fresh {
        style = style.add_modifier(Modifier::BOLD);
    }
    let mark = if fresh { "» " } else { "  " };
    Line::from(vec![
        Span::styled(
            format!("{mark}{:<room$}", cut(&pod.name, room)),
            if fresh { style } else { Style::new() },
        ),
        Span::raw(restarts),
        Span::styled(format!(" {word}"), style),
    ])
}

/// The beginning says what it is, the end which one.
fn cut(name: &str, room: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= room {
        return name.to_owned();
    }
    let Some(kept) = room.checked_sub(1) else { return String::new() };
    let end = kept.min(5) / 2 + kept.min(5) % 2;
    let begin = kept - end;
    letters[..begin].iter().chain(['…'].iter()).chain(&letters[letters.len() - end..]).collect()
}

fn of_state(state: PodState) -> Color {
    match state {
        PodState::Ready => Color::Green,
        PodState::NotReady | PodState::Starting => Color::Yellow,
        PodState::Leaving | PodState::Done => Color::DarkGray,
        PodState::Failing => Color::Red,
    }
}

fn of_node(state: NodeState) -> (&'static str, Color) {
    match state {
        NodeState::Ready => ("Ready", Color::Green),
        NodeState::NotReady => ("not ready", Color::Red),
        NodeState::Stopped => ("stopped", Color::Red),
    }
}

/// The newest last, as many as there is room for.
fn draw_log(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let block = Block::bordered().title(" what happened ");
    let room = usize::from(block.inner(area).height);
    let skipped = view.happened.len().saturating_sub(room);
    let lines = view.happened.iter().skip(skipped).map(|(time, change)| {
        let color = if change.warning { Color::Red } else { Color::Reset };
        Line::styled(format!("{time} {change}"), Style::new().fg(color))
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

#[cfg(test)]
mod tests {
    use platform::status::watch::Scene;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn pod(name: &str, node: Option<&str>, state: PodState) -> PodSeen {
        PodSeen { id: name.into(), name: name.into(), node: node.map(ToOwned::to_owned), state, restarts: 0 }
    }

    fn scene(pods: Vec<PodSeen>) -> Scene {
        let node = |name: &str, state| NodeSeen { name: name.into(), state };
        Scene {
            title: "context kind-platen".into(),
            nodes: vec![
                node("control-plane", NodeState::Ready),
                node("worker", NodeState::NotReady),
                node("worker2", NodeState::Ready),
            ],
            pods,
            ..Scene::default()
        }
    }

    fn drawn(view: &View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn a_pod_that_moves_stands_in_its_new_column_with_a_mark() {
        let mut view = View::default();
        view.look(scene(vec![pod("model-server-7d4b9-aaaaa", Some("worker"), PodState::Ready)]));
        view.look(scene(vec![
            pod("model-server-7d4b9-aaaaa", Some("worker"), PodState::Leaving),
            pod("model-server-7d4b9-bbbbb", Some("worker2"), PodState::Ready),
        ]));
        let lines = drawn(&view, 100, 20);
        assert_eq!(lines[0], "context kind-platen  2 of 3 nodes Ready, 1 of 1 ready");
        for (title, at) in [("control-plane Ready", 0), ("worker not ready", 34), ("worker2 Ready", 67)] {
            let begin = lines[1].chars().collect::<String>().find(title).unwrap();
            let column = lines[1][..begin].chars().count();
            assert!(column >= at && column < at + 4, "{title} at {column}: {}", lines[1]);
        }
        assert!(lines[2].contains("» model-server-7d4b9") && lines[2].contains("leaving"), "{}", lines[2]);
        assert!(lines[2].trim_end_matches('│').trim_end().ends_with("ready"), "{}", lines[2]);
        let log = lines.join("\n");
        assert!(log.contains("pod model-server-7d4b9-aaaaa: leaving, was ready on worker"), "{log}");
        assert!(log.contains("pod model-server-7d4b9-bbbbb: ready on worker2"), "{log}");
    }

    #[test]
    fn what_no_node_has_is_shown_beside_them() {
        let mut view = View::default();
        view.look(scene(vec![pod("model", None, PodState::Starting)]));
        assert!(drawn(&view, 120, 20).join("\n").contains("on no node yet"));
    }

    #[test]
    fn a_narrow_or_low_terminal_loses_no_node() {
        let mut view = View::default();
        let many = (0..30).map(|n| pod(&format!("pod-{n}"), Some("worker"), PodState::Ready)).collect();
        view.look(scene(many));
        let narrow = drawn(&view, 30, 40).join("\n");
        for node in ["control-plane", "worker not ready", "worker2"] {
            assert!(narrow.contains(node), "{narrow}");
        }
        assert!(narrow.contains("more"), "{narrow}");
        // Too small for anything: no panic.
        for (width, height) in [(1, 1), (5, 3), (200, 4)] {
            drawn(&view, width, height);
        }
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(cut("model-server-7d4b9c6f5-x2x1c", 12), "model-se…x1c");
        assert_eq!(cut("short", 12), "short");
        assert_eq!(cut("anything", 0), "");
    }
}
