//! The OCR server's own part of the command line and the environment.

use clap::{Args, ValueEnum};
use reqwest::Url;

use crate::clova::{Settings, general_url};
use crate::role::url_arg::UrlArg;
use crate::secret::Secret;

/// How nutrition labels are read.
#[derive(Clone, Debug, Args)]
pub struct NutritionArgs {
    /// What reads nutrition labels
    #[arg(long, env = "PLATEN_NUTRITION_ENGINE", value_enum, default_value = "auto")]
    pub nutrition_engine: NutritionEngine,
    /// The invoke URL of a CLOVA OCR domain, from the environment or .env
    #[arg(long, env = "NAVER_OCR_APIGW_URL", value_parser = INVOKE_URL, hide_env_values = true)]
    clova_url: Option<Url>,
    /// The CLOVA OCR domain's secret: environment or .env only, for a command line is seen by everybody on the machine
    #[arg(skip = secret_of_environment())]
    clova_secret: Option<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NutritionEngine {
    /// CLOVA OCR alone
    Clova,
    /// Tesseract in this process, marked as such in the reply
    Tesseract,
    /// CLOVA OCR, or Tesseract for requests that ask for engine=tesseract
    Auto,
}

impl NutritionArgs {
    /// Where and how to ask CLOVA; nothing while one of both is missing.
    pub fn clova(&self) -> Option<Settings> {
        Some(Settings { url: self.clova_url.clone()?, secret: self.clova_secret.clone()? })
    }
}

const INVOKE_URL: UrlArg<Url> = UrlArg { names: "--clova-url, NAVER_OCR_APIGW_URL", parse: general_url };

fn secret_of_environment() -> Option<Secret> {
    secret(std::env::var("NAVER_OCR_SECRET_KEY").ok())
}

fn secret(text: Option<String>) -> Option<Secret> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        nutrition: NutritionArgs,
    }

    fn parse(args: &[&str]) -> NutritionArgs {
        Line::parse_from([&["test"], args].concat()).nutrition
    }

    #[test]
    fn an_empty_secret_is_none() {
        assert!(secret(Some("  ".into())).is_none() && secret(None).is_none());
    }

    #[test]
    fn both_together_are_settings() {
        let args = NutritionArgs {
            clova_secret: secret(Some("key\n".into())),
            ..parse(&["--clova-url=https://a/b"])
        };
        let settings = args.clova().unwrap();
        assert_eq!(settings.url.as_str(), "https://a/b/general");
        assert_eq!(settings.secret.reveal(), "key");
    }

    #[test]
    fn the_secret_is_not_in_debug() {
        let args = NutritionArgs { clova_secret: secret(Some("hunter2".into())), ..parse(&[]) };
        assert!(!format!("{args:?}").contains("hunter2"));
    }
}
