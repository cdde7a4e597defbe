//! The translate role's command line and environment.

use std::time::Duration;

use clap::{Args, ValueEnum};
use reqwest::Url;

use crate::cli::{LimitArgs, ServerArgs};
use crate::duration;
use crate::role::url_arg::{self, UrlArg};
use crate::secret::Secret;

#[derive(Debug, Args)]
pub struct TranslateArgs {
    /// The port to listen on; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_PORT", default_value_t = 8002)]
    pub port: u16,
    #[command(flatten)]
    pub backend: BackendArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What translates.
#[derive(Debug, Args)]
pub struct BackendArgs {
    /// What translates: a fixed text after a while, or a LibreTranslate server
    #[arg(long, env = "PLATEN_TRANSLATE_BACKEND", value_enum, default_value = "mock")]
    pub translate_backend: BackendKind,
    #[command(flatten)]
    pub mock: MockArgs,
    /// The LibreTranslate server
    #[arg(long, env = "LIBRETRANSLATE_URL", value_parser = LIBRE_URL, hide_env_values = true, default_value = "http://127.0.0.1:5050")]
    pub libretranslate_url: Url,
    /// The LibreTranslate server's key: environment or .env only (`LIBRETRANSLATE_API_KEY`)
    #[arg(skip = key_of_environment())]
    pub libretranslate_key: Option<Secret>,
    /// The longest text of one request, in characters
    #[arg(long, env = "PLATEN_TRANSLATE_MAX_CHARS", default_value_t = 20_000)]
    pub translate_max_chars: usize,
}

/// The mock translation, here and in the frontend's mock mode.
#[derive(Clone, Copy, Debug, Args)]
pub struct MockArgs {
    /// How long the mock translation takes
    #[arg(long, env = "PLATEN_MOCK_TRANSLATE_DELAY", default_value = "3s", value_parser = duration::parse)]
    pub mock_translate_delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendKind {
    Mock,
    Libretranslate,
}

const LIBRE_URL: UrlArg<Url> =
    UrlArg { names: "--libretranslate-url, LIBRETRANSLATE_URL", parse: url_arg::base };

fn key_of_environment() -> Option<Secret> {
    let key = std::env::var("LIBRETRANSLATE_API_KEY").ok()?;
    (!key.trim().is_empty()).then(|| Secret::new(key.trim()))
}
