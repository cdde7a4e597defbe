//! The command line and the environment, parsed into types before anything happens.
//!
//! Variables of the environment are PLATEN_LISTEN_… rather than PLATEN_…_PORT: Kubernetes sets NAME_PORT for every
//! Service called NAME, and a Service called `platen` must not change a port here.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::capacity;
use crate::duration;
use crate::engine::prepare::Preparation;
use crate::engine::{Language, Segmentation};
use crate::image::Limits;
use crate::role::experiments::args::{ExperimentsArgs, ExperimentsRoleArgs};
use crate::role::frontend::args::{FrontendArgs, PageArgs};
use crate::role::gateway::args::{GatewayArgs, UpstreamArgs};
use crate::role::ocr_server::args::NutritionArgs;
use crate::role::translate::args::{BackendArgs, TranslateArgs};
use crate::train::TrainArgs;

/// The OCR service: one binary, a subcommand for each role.
#[derive(Debug, Parser)]
#[command(name = "ocr-service", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// How log lines are written to standard error
    #[arg(long, env = "PLATEN_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,

    /// What is logged: a level, or tracing's directives
    #[arg(long, env = "PLATEN_LOG", default_value = "info", global = true)]
    pub log: String,
}

/// Nothing is a list too: the image of the Jobs is given no first arguments.
const MAY_BE_BLANK: &str = "PLATEN_JOB_FIRST_ARGS";

impl Cli {
    /// The process's own command line, completed from the environment; what is wrong with it ends the process. A
    /// variable that is left blank counts as not set: that is how a template leaves one out.
    pub fn of_process() -> Self {
        let matches = without_variables(Self::command(), &is_left_blank).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn is_left_blank(variable: &OsStr) -> bool {
    let value = std::env::var_os(variable);
    variable != MAY_BE_BLANK && value.is_some_and(|value| value.to_string_lossy().trim().is_empty())
}

/// `command`, with those of its arguments that have such a variable as if they had none.
fn without_variables(command: clap::Command, such: &dyn Fn(&OsStr) -> bool) -> clap::Command {
    command
        .mut_args(|arg| if arg.get_env().is_some_and(such) { arg.env(None::<&'static str>) } else { arg })
        .mut_subcommands(|subcommand| without_variables(subcommand, such))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Takes images from clients and asks a model to read them
    Gateway(GatewayArgs),
    /// Reads images: Tesseract behind the Open Inference Protocol V2
    Model(ModelArgs),
    /// Reads images: the OCR backend, without a model behind it
    OcrServer(OcrServerArgs),
    /// Translates texts behind LibreTranslate's interface
    Translate(TranslateArgs),
    /// The page on which a letter is read and translated
    Frontend(FrontendArgs),
    /// Records experiments and runs them as Jobs
    Experiments(Box<ExperimentsRoleArgs>),
    /// All roles in one process
    Serve(Box<ServeArgs>),
    /// Trains an autoencoder on the images of a folder: what an experiment's Job runs
    Train(TrainArgs),
}

impl Command {
    /// Of what runs experiments.
    pub fn experiments(&self) -> Option<&ExperimentsArgs> {
        match self {
            Self::Experiments(args) => Some(&args.experiments),
            Self::Serve(args) => Some(&args.experiments),
            _ => None,
        }
    }

    /// Of what has engines.
    pub fn engines(&self) -> Option<(&EngineArgs, LimitArgs)> {
        match self {
            Self::Model(args) => Some((&args.engine, args.limits)),
            Self::OcrServer(args) => Some((&args.engine, args.limits)),
            Self::Serve(args) => Some((&args.engine, args.limits)),
            _ => None,
        }
    }

    /// Of what serves.
    pub fn server(&self) -> Option<&ServerArgs> {
        match self {
            Self::Gateway(args) => Some(&args.server),
            Self::Model(args) => Some(&args.server),
            Self::OcrServer(args) => Some(&args.server),
            Self::Translate(args) => Some(&args.server),
            Self::Frontend(args) => Some(&args.server),
            Self::Experiments(args) => Some(&args.server),
            Self::Serve(args) => Some(&args.server),
            Self::Train(_) => None,
        }
    }
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The port to listen on; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_PORT", default_value_t = 8080)]
    pub port: u16,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
pub struct OcrServerArgs {
    /// The port to listen on; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_PORT", default_value_t = 5000)]
    pub port: u16,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub nutrition: NutritionArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The gateway's port; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_GATEWAY", default_value_t = 8001)]
    pub gateway_port: u16,
    /// The model's port; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_MODEL", default_value_t = 8080)]
    pub model_port: u16,
    /// The OCR server's port; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_OCR_SERVER", default_value_t = 5001)]
    pub ocr_server_port: u16,
    /// The translation's port; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_TRANSLATE", default_value_t = 8002)]
    pub translate_port: u16,
    /// The frontend's port; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_FRONTEND", default_value_t = 8000)]
    pub frontend_port: u16,
    #[command(flatten)]
    pub translate: BackendArgs,
    #[command(flatten)]
    pub page: PageArgs,
    /// The experiments' port; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_EXPERIMENTS", default_value_t = 5002)]
    pub experiments_port: u16,
    #[command(flatten)]
    pub experiments: ExperimentsArgs,
    #[command(flatten)]
    pub upstream: UpstreamArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub nutrition: NutritionArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The address to listen on; 0.0.0.0 for every one of this machine
    #[arg(long, env = "PLATEN_BIND", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// The longest that a request may take
    #[arg(long, env = "PLATEN_DEADLINE", default_value = "30s", value_parser = duration::parse)]
    pub deadline: Duration,
    /// How long a client may take for a request's header, the pause after its last request included
    #[arg(long, env = "PLATEN_HEADER_TIMEOUT", default_value = "30s", value_parser = duration::parse)]
    pub header_timeout: Duration,
    /// How long a client may be silent within a request's body
    #[arg(long, env = "PLATEN_BODY_TIMEOUT", default_value = "10s", value_parser = duration::parse)]
    pub body_timeout: Duration,
    /// On SIGTERM: how long to go on answering, not ready any more, before new connections are refused
    #[arg(long, env = "PLATEN_DRAIN_DELAY", default_value = "0s", value_parser = duration::parse)]
    pub drain_delay: Duration,
    /// The name of this process in its answers [default: the host's name]
    #[arg(long, env = "PLATEN_INSTANCE")]
    pub instance: Option<String>,
    /// The name of the node in its answers
    #[arg(long, env = "PLATEN_NODE")]
    pub node: Option<String>,
    /// A file to write the bound addresses to, as JSON, once every port is bound
    #[arg(long, env = "PLATEN_PORTS_FILE")]
    pub ports_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct LimitArgs {
    /// The largest upload, in MiB
    #[arg(long, env = "PLATEN_MAX_BODY_MIB", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_body_mib: u32,
    /// Memory for the uploads of all requests that are under way, in MiB, for each role of `serve` its part of it
    /// [default: a quarter of the memory limit, at most 512]
    #[arg(long, env = "PLATEN_MAX_BODIES_MIB", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub max_bodies_mib: Option<u32>,
    /// The largest image, in millions of pixels
    #[arg(long, env = "PLATEN_MAX_MEGAPIXELS", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_megapixels: u32,
}

impl LimitArgs {
    /// Bytes of a request's body.
    pub fn max_body(self) -> usize {
        bytes(self.max_body_mib)
    }

    /// Bytes of all requests' bodies together, where this is one of so many roles of the process: one of them at least.
    pub fn max_bodies_of_a_role(self, roles: usize) -> usize {
        (self.max_bodies_mib.map_or_else(capacity::bodies, bytes) / roles).max(self.max_body())
    }

    /// Bytes of all requests' bodies of all of so many roles.
    pub fn max_bodies(self, roles: usize) -> usize {
        self.max_bodies_of_a_role(roles).saturating_mul(roles)
    }

    pub fn of_images(self) -> Limits {
        Limits { max_pixels: u64::from(self.max_megapixels) * 1_000_000 }
    }
}

#[derive(Debug, Args)]
pub struct EngineArgs {
    /// How many images are read at once [default: one for each CPU, as far as the memory limit carries
    /// them beside the uploads]
    #[arg(long, env = "PLATEN_ENGINES")]
    pub engines: Option<NonZeroUsize>,
    /// How many images may wait; with all of these taken the next is refused at once
    #[arg(long, env = "PLATEN_QUEUE", default_value_t = 16)]
    pub queue: usize,
    /// The language used when a request names none; the order matters
    #[arg(long, env = "PLATEN_LANG", default_value = "kor+eng")]
    pub lang: Language,
    /// Other languages that requests may name
    #[arg(long, env = "PLATEN_LANGS", value_delimiter = ',', default_value = "kor,eng")]
    pub other_langs: Vec<Language>,
    /// The page segmentation mode used when a request names none [default: found out for each image]
    #[arg(long, env = "PLATEN_PSM")]
    pub psm: Option<Segmentation>,
    /// Whether an image is prepared before it is read, where neither the request nor --psm names a mode
    #[arg(long, env = "PLATEN_PREPARE", value_enum, default_value_t = Preparation::On)]
    pub prepare: Preparation,
    /// Memory for the texts of images that may come again, in MiB; 0 reads every image anew
    #[arg(long, env = "PLATEN_CACHE_MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=65536))]
    pub cache_mib: u32,
    /// The folder of the trained data [default: Tesseract's own]
    #[arg(long, env = "TESSDATA_PREFIX")]
    pub tessdata: Option<PathBuf>,
}

impl EngineArgs {
    /// Bytes of the cache.
    pub fn cache(&self) -> usize {
        bytes(self.cache_mib)
    }
}

fn bytes(mib: u32) -> usize {
    usize::try_from(mib).map_or(usize::MAX, |mib| mib << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_variable_that_is_ignored_belongs_to_no_argument_and_the_others_stay() {
        let command = without_variables(Cli::command(), &|variable| variable == "KSERVE_URL");
        let gateway = command.find_subcommand("gateway").unwrap();
        let variable = |id: &str| gateway.get_arguments().find(|arg| arg.get_id() == id).unwrap().get_env();
        assert_eq!((variable("models"), variable("port")), (None, Some(OsStr::new("PLATEN_LISTEN_PORT"))));
        let all = without_variables(Cli::command(), &|_| true);
        assert!(all.get_arguments().all(|arg| arg.get_env().is_none()));
    }

    #[test]
    fn nothing_listens_beyond_loopback_unless_asked() {
        let cli = parse("ocr-service serve").unwrap();
        let Command::Serve(serve) = cli.command else { panic!("not serve") };
        assert!(serve.server.bind.is_loopback());
    }

    #[test]
    fn all_roles_together_have_the_memory_for_uploads_and_each_has_room_for_one() {
        let cli = parse("ocr-service serve --max-bodies-mib 60 --max-body-mib 8").unwrap();
        let Command::Serve(serve) = cli.command else { panic!("not serve") };
        assert_eq!((serve.limits.max_bodies(1), serve.limits.max_bodies(6)), (bytes(60), bytes(60)));
        assert_eq!(serve.limits.max_bodies(10), bytes(80));
    }

    #[test]
    fn a_language_that_is_a_path_is_refused() {
        assert!(parse("ocr-service model --lang ../eng").is_err());
    }
}
