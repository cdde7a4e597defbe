//! A registry's login by flags: whose it is on the command line, the password on stdin or in a variable, so that no list of
//! processes shows it.

use clap::Args;
use platform::host::Host;
use platform::registry::Credentials;
use platform::{Error, Result};

/// Goes before the logins of .env, the environment and Docker's configuration.
#[derive(Debug, Args)]
#[command(next_help_heading = "Private registry")]
#[expect(clippy::struct_field_names, reason = "as the flags are called")]
pub struct LoginArgs {
    /// The registry, as in the image's name [build: default that of --push]
    #[arg(long, value_name = "HOST", requires = "registry_user")]
    registry_server: Option<String>,
    /// Whose login it is; without --registry-password-stdin the password comes from the variable REGISTRY_PASSWORD
    #[arg(long, value_name = "NAME")]
    registry_user: Option<String>,
    /// Read the password or access token from stdin
    #[arg(long, requires = "registry_user")]
    registry_password_stdin: bool,
    /// The e-mail address of the account, where the registry wants one
    #[arg(long, value_name = "ADDRESS", requires = "registry_user")]
    registry_email: Option<String>,
}

impl LoginArgs {
    /// `usual`: the registry where none is named.
    pub fn read(self, host: &Host, usual: Option<&str>) -> Result<Option<Credentials>> {
        let Some(user) = self.registry_user else { return Ok(None) };
        let Some(server) = self.registry_server.or_else(|| usual.map(ToOwned::to_owned)) else {
            let hint = "name it: --registry-server HOST";
            return Err(Error::usage(format!("the login of {user} is for no registry"), hint));
        };
        if !self.registry_password_stdin {
            return Credentials::with_password_variable(host, &server, user, self.registry_email).map(Some);
        }
        Ok(Some(Credentials::new(&server, user, password()?, self.registry_email)))
    }
}

fn password() -> Result<String> {
    let mut password = String::new();
    std::io::stdin()
        .read_line(&mut password)
        .map_err(|error| Error::usage(format!("the password cannot be read from stdin: {error}"), ""))?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        let hint = "pass it on: --registry-password-stdin < FILE";
        return Err(Error::usage("there is no password on stdin", hint));
    }
    Ok(password)
}
