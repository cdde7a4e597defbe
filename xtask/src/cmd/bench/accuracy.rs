//! `bench accuracy`: characters read wrong, by plain Tesseract and by the service.

use clap::Args;
use comfy_table::CellAlignment;
use platform::bench::accuracy::{self, Accuracy, Options};
use platform::{Error, Exit, Result};

use crate::cli::GlobalArgs;
use crate::cmd::host;
use crate::printer::{Printer, headed};

/// Errors of plain Tesseract and of Platen on pictures whose text is known, made anew from a seed
///
/// Both read every picture, one right after the other, by the same engine. Platen's numbers were chosen on seed 1;
/// other seeds are held out.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench accuracy\n  cargo xtask bench accuracy --seeds 2,3 --check"
)]
pub struct AccuracyArgs {
    /// Seeds of the pictures, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = Options::default().seeds)]
    seeds: Vec<u64>,
    /// Pictures of a single block for each seed
    #[arg(long, value_name = "N", default_value_t = Options::default().blocks)]
    blocks: u32,
    /// Pages with columns for each seed
    #[arg(long, value_name = "N", default_value_t = Options::default().columns)]
    columns: u32,
    /// Exit with 1 when Platen makes more errors or takes longer than it should
    #[arg(long)]
    check: bool,
}

pub async fn run(global: &GlobalArgs, args: AccuracyArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let options = Options { seeds: args.seeds, blocks: args.blocks, columns: args.columns };
    let found = accuracy::accuracy(&host, &options).await?;
    printer.result(&found, || table(&found));
    let missed = accuracy::missed(&found);
    if args.check && !missed.is_empty() {
        let hint = "on a machine that is busy only the errors count, not the times";
        return Err(Error::unhealthy(missed.join("; "), hint));
    }
    Ok(Exit::Done)
}

fn table(found: &Accuracy) -> String {
    let mut table =
        headed(["SEED", "PICTURES", "COUNT", "PLAIN CER", "PLATEN CER", "OF PLAIN", "PLAIN MS", "PLATEN MS"]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in &found.rows {
        let seed = if row.held_out { format!("{} (held out)", row.seed) } else { row.seed.to_string() };
        table.add_row([
            seed,
            row.group.clone(),
            row.images.to_string(),
            format!("{:.4}", row.plain.error_rate),
            format!("{:.4}", row.platen.error_rate),
            format!("{:.2}", row.ratio),
            format!("{:.0}", row.plain.seconds_per_image * 1000.0),
            format!("{:.0}", row.platen.seconds_per_image * 1000.0),
        ]);
    }
    table.to_string()
}
