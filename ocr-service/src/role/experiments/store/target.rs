//! Which database: the settings DB_IP (or DB_HOST), DB_PORT, DB_USER, DB_PASSWORD, DB_NAME, or a file.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Url;

use crate::secret::Secret;

#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// The host of a MySQL or MariaDB server [default: none, an SQLite file in the data folder]
    #[arg(long, env = "DB_IP")]
    pub db_ip: Option<String>,
    /// The same as --db-ip
    #[arg(long, env = "DB_HOST")]
    pub db_host: Option<String>,
    /// The server's port
    #[arg(long, env = "DB_PORT", default_value_t = 3306)]
    pub db_port: u16,
    /// The user
    #[arg(long, env = "DB_USER")]
    pub db_user: Option<String>,
    /// The password; set the variable instead, arguments can be seen by every user of the machine
    #[arg(long, env = "DB_PASSWORD", hide_env_values = true)]
    pub db_password: Option<Secret>,
    /// The database
    #[arg(long, env = "DB_NAME")]
    pub db_name: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Target {
    Server { host: String, port: u16, user: String, password: Option<Secret>, database: String },
    File(PathBuf),
}

/// What the settings lack.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("DB_IP or DB_HOST names a database server, but {0} is not set; set it too")]
    Missing(&'static str),
    #[error("DB_IP (or DB_HOST) is {0:?}, which is no host; write a name or an address")]
    Host(String),
}

impl Target {
    /// An empty variable counts as not set: that is how a template leaves one out.
    pub fn from_args(args: &DatabaseArgs, data: &Path) -> Result<Self, TargetError> {
        let given = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let Some(host) = given(&args.db_ip).or_else(|| given(&args.db_host)) else {
            return Ok(Self::File(data.join("experiments.db")));
        };
        let target = Self::Server {
            port: args.db_port,
            user: given(&args.db_user).ok_or(TargetError::Missing("DB_USER"))?,
            password: args.db_password.clone(),
            database: given(&args.db_name).ok_or(TargetError::Missing("DB_NAME"))?,
            host: host.clone(),
        };
        if target.server_url().is_none() { Err(TargetError::Host(host)) } else { Ok(target) }
    }

    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// For sqlx alone: it holds the password.
    pub(super) fn url(&self) -> String {
        match self {
            Self::File(path) => {
                let escaped =
                    path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
                format!("sqlite://{escaped}?mode=rwc")
            }
            Self::Server { .. } => self.server_url().map(String::from).unwrap_or_default(),
        }
    }

    fn server_url(&self) -> Option<Url> {
        let Self::Server { host, port, user, password, database } = self else { return None };
        let mut url: Url = "mysql://localhost".parse().ok()?;
        url.set_host(Some(host)).ok()?;
        url.set_port(Some(*port)).ok()?;
        // `Url` leaves a percent sign as it is, as if it began an escape.
        let escaped = |text: &str| text.replace('%', "%25");
        url.set_username(&escaped(user)).ok()?;
        let password = password.as_ref().map(|password| escaped(password.reveal()));
        url.set_password(password.as_deref()).ok()?;
        url.path_segments_mut().ok()?.clear().push(database);
        Some(url)
    }
}

/// What may be told to anyone who reads logs.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { host, port, database, .. } => {
                write!(formatter, "database {database} at {host}:{port}")
            }
            Self::File(path) => write!(formatter, "database {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> DatabaseArgs {
        DatabaseArgs {
            db_ip: None,
            db_host: None,
            db_port: 3306,
            db_user: None,
            db_password: None,
            db_name: None,
        }
    }

    fn server() -> DatabaseArgs {
        DatabaseArgs {
            db_ip: Some("db.example".into()),
            db_user: Some("me".into()),
            db_password: Some("p@ss:/w?rd#%".to_owned().into()),
            db_name: Some("lab".into()),
            ..args()
        }
    }

    #[test]
    fn without_a_host_it_is_a_file_in_the_data_folder() {
        let empty = DatabaseArgs { db_ip: Some(String::new()), ..args() };
        for args in [args(), empty] {
            let target = Target::from_args(&args, Path::new("/data")).unwrap();
            assert_eq!(target.url(), "sqlite:///data/experiments.db?mode=rwc");
        }
    }

    #[test]
    fn either_variable_names_the_host() {
        let other = DatabaseArgs { db_ip: None, db_host: Some("db.example".into()), ..server() };
        for args in [server(), other] {
            let target = Target::from_args(&args, Path::new("")).unwrap();
            assert_eq!(target.to_string(), "database lab at db.example:3306");
        }
    }

    #[test]
    fn a_password_of_any_characters_reaches_the_server_and_no_log() {
        let target = Target::from_args(&server(), Path::new("")).unwrap();
        let url: Url = target.url().parse().unwrap();
        let encoded = url.password().unwrap();
        assert_eq!(encoded, "p%40ss%3A%2Fw%3Frd%23%25");
        for shown in [format!("{target:?}"), target.to_string(), format!("{:?}", server())] {
            assert!(!shown.contains("p@ss") && !shown.contains(encoded), "{shown}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let no_user = DatabaseArgs { db_user: None, ..server() };
        let no_name = DatabaseArgs { db_name: None, ..server() };
        let of = |args: &DatabaseArgs| Target::from_args(args, Path::new("")).unwrap_err();
        assert_eq!(of(&no_user), TargetError::Missing("DB_USER"));
        assert_eq!(of(&no_name), TargetError::Missing("DB_NAME"));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        let args = DatabaseArgs { db_ip: Some("a b".into()), ..server() };
        assert!(matches!(Target::from_args(&args, Path::new("")), Err(TargetError::Host(_))));
    }
}
