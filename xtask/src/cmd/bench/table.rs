//! A run of the benchmark as text: a table for each image, the processes, the targets.

use comfy_table::{CellAlignment, Table};
use platform::bench::{Cell, Goal, Peer, Picture, Plan, Report, Target};

use crate::printer::headed;

pub fn plan(plan: &Plan) -> String {
    let prepare = plan.prepare.iter().map(|line| format!("would {line}"));
    let measure = plan.measure.iter().map(|line| format!("would measure {line}"));
    let expected = format!("about {} s after that is done", plan.expected.as_secs());
    prepare.chain(measure).chain([expected]).collect::<Vec<_>>().join("\n")
}

pub fn report(report: &Report) -> String {
    let mut parts: Vec<String> = Picture::ALL
        .into_iter()
        .filter(|image| report.cells.iter().any(|cell| cell.image == *image))
        .map(|image| of_image(report, image))
        .collect();
    parts.push(processes(report));
    parts.extend(report.drift.iter().map(|drift| {
        format!(
            "{}: the bare library read between {:.1} and {:.1} a second over the run ({:.1} % apart)",
            drift.image,
            drift.slowest,
            drift.fastest,
            drift.change() * 100.0
        )
    }));
    parts.extend(
        report.failures.iter().map(|failure| format!("! {} was not measured: {}", failure.peer, failure.why)),
    );
    parts.extend(report.cells.iter().filter_map(fault));
    parts.push(targets(&report.targets));
    parts.join("\n\n")
}

pub fn table(header: &[&str]) -> Table {
    let mut table = headed(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn of_image(report: &Report, image: Picture) -> String {
    let mut table = table(&[
        "PEER",
        "RATE/s",
        "OF BARE",
        "P50",
        "P99",
        "OPEN/s",
        "P50",
        "P99",
        "LATE",
        "ALONE P50",
        "FAULTS",
        "CER",
        "MB",
        "CLIENT",
    ]);
    for cell in report.cells.iter().filter(|cell| cell.image == image) {
        let of_bare = report.ratio(cell.peer, Peer::Bare, image);
        let closed = cell.closed.latency;
        let open = cell.open.as_ref();
        let paced = open.and_then(|open| open.latency);
        let faults = cell.closed.counts.faults() + open.map_or(0, |open| open.counts.faults());
        table.add_row([
            cell.peer.name().to_owned(),
            format!("{:.2}", cell.closed.rate),
            number(of_bare, 3),
            number(closed.map(|it| it.p50_ms), 1),
            number(closed.map(|it| it.p99_ms), 1),
            number(open.map(|open| open.rate), 2),
            number(paced.map(|it| it.p50_ms), 1),
            number(paced.map(|it| it.p99_ms), 1),
            open.map_or_else(|| "-".into(), |open| open.late.to_string()),
            number(cell.alone.map(|it| it.p50_ms), 1),
            faults.to_string(),
            format!("{:.3}", cell.reading.character_error_rate),
            number(cell.memory_mb, 0),
            number(cell.client_cores, 2),
        ]);
    }
    format!(
        "{image}: {} clients, {} cores; times in ms, CLIENT in cores\n{table}",
        report.clients, report.cores
    )
}

fn processes(report: &Report) -> String {
    let mut table = table(&["PROCESSES", "READY s", "IDLE MB", "MODEL READY s", "MODEL IDLE MB"]);
    for peer in &report.processes {
        table.add_row([
            peer.peer.name().to_owned(),
            format!("{:.2}", peer.ready_seconds),
            number(peer.idle_mb, 0),
            number(peer.model_ready_seconds, 2),
            number(peer.model_idle_mb, 0),
        ]);
    }
    table.to_string()
}

/// The first thing that went wrong with a peer, in its own words.
fn fault(cell: &Cell) -> Option<String> {
    let open = cell.open.as_ref().and_then(|open| open.counts.first_fault.as_deref());
    let fault = cell.closed.counts.first_fault.as_deref().or(open)?;
    Some(format!("! {} with the {}: {fault}", cell.peer, cell.image))
}

pub fn targets(targets: &[Target]) -> String {
    let mut table = table(&["TARGET", "WANTED", "MEASURED", "BY DEFAULT", "UNIT", ""]);
    for target in targets {
        let wanted = match target.goal {
            Goal::AtLeast(bound) => format!(">= {bound}"),
            Goal::AtMost(bound) => format!("<= {bound}"),
        };
        let verdict = match target.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        table.add_row([
            target.what.as_str(),
            &wanted,
            &number(target.measured, 3),
            &number(target.by_default, 3),
            target.unit,
            verdict,
        ]);
    }
    table.to_string()
}

pub fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}
