//! The gateway's arguments: where the models are, and how they are asked.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::source::Source;
use crate::cli::{LimitArgs, ServerArgs};
use crate::duration;
use crate::role::url_arg::UrlArg;

#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// The port to listen on; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_PORT", default_value_t = 8001)]
    pub port: u16,
    /// Where the models are, separated by commas: http://HOST:PORT for one; dns+http://NAME:PORT for every address of a
    /// name; k8s://NAMESPACE/SERVICE:PORT for every pod behind a Service
    #[arg(long = "model-url", env = "KSERVE_URL", value_delimiter = ',', default_value = "http://127.0.0.1:8080", value_parser = MODEL_URL, hide_env_values = true)]
    pub models: Vec<Source>,
    #[command(flatten)]
    pub upstream: UpstreamArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
pub struct UpstreamArgs {
    /// How long a connection to a model may take
    #[arg(long, env = "PLATEN_CONNECT_TIMEOUT", default_value = "500ms", value_parser = duration::parse)]
    pub connect_timeout: Duration,
    /// Ask one model and no other, whatever becomes of it: for control runs
    #[arg(long, env = "PLATEN_NO_RETRY", value_parser = BoolishValueParser::new())]
    pub no_retry: bool,
}

const MODEL_URL: UrlArg<Source> = UrlArg { names: "--model-url, KSERVE_URL", parse: Source::parse };

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn several_models_are_separated_by_commas() {
        let cli =
            parse("ocr-service gateway --model-url http://a:8080,dns+http://b:8080/,k8s://ocr/c").unwrap();
        let Command::Gateway(gateway) = cli.command else { panic!("not the gateway") };
        let models: Vec<_> = gateway.models.iter().map(ToString::to_string).collect();
        assert_eq!(models, ["http://a:8080/", "dns+http://b:8080", "k8s://ocr/c:8080"]);
    }

    #[test]
    fn a_models_address_without_a_scheme_is_refused() {
        assert!(parse("ocr-service gateway --model-url model:8080").is_err());
    }

    #[test]
    fn a_models_address_with_a_password_is_refused_and_not_repeated() {
        for address in ["http://user:hunter2@a:8080", "http://:hunter2@a:8080", "k8s://hunter2@a/b:8080"] {
            let error = parse(&format!("ocr-service gateway --model-url {address}")).unwrap_err().to_string();
            assert!(error.contains("no password") && !error.contains("hunter2"), "{error}");
        }
    }
}
