//! The frontend's command line and environment.

use std::time::Duration;

use clap::{Args, ValueEnum};
use reqwest::Url;

use crate::cli::{LimitArgs, ServerArgs};
use crate::duration;
use crate::role::translate::args::MockArgs;
use crate::role::url_arg::{self, UrlArg};

#[derive(Debug, Args)]
pub struct FrontendArgs {
    /// The port to listen on; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_PORT", default_value_t = 8000)]
    pub port: u16,
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub mock: MockArgs,
    /// The gateway that reads letters
    #[arg(long, env = "PLATEN_GATEWAY_URL", value_parser = GATEWAY_URL, hide_env_values = true, default_value = "http://127.0.0.1:8001")]
    pub gateway_url: Url,
    /// The server that translates them, of this service or any other that speaks LibreTranslate's interface; no proxy is
    /// used on the way to it, for behind one it is the translate role's to ask
    #[arg(long, env = "PLATEN_TRANSLATE_URL", value_parser = TRANSLATE_URL, hide_env_values = true, default_value = "http://127.0.0.1:8002")]
    pub translate_url: Url,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What stands behind the page.
#[derive(Clone, Copy, Debug, Args)]
pub struct PageArgs {
    /// Whether letters are really read and translated, or a fixed text comes after a while
    #[arg(long, env = "PLATEN_FRONTEND_MODE", value_enum, default_value = "real")]
    pub frontend_mode: Mode,
    /// How long reading takes in mock mode
    #[arg(long, env = "PLATEN_MOCK_OCR_DELAY", default_value = "5s", value_parser = duration::parse)]
    pub mock_ocr_delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Real,
    Mock,
}

const GATEWAY_URL: UrlArg<Url> = UrlArg { names: "--gateway-url, PLATEN_GATEWAY_URL", parse: url_arg::base };
const TRANSLATE_URL: UrlArg<Url> =
    UrlArg { names: "--translate-url, PLATEN_TRANSLATE_URL", parse: url_arg::base };
