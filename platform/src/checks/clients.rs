//! The official clients of the Open Inference Protocol, from PyPI, against the model as it is built here.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::Cmd;
use crate::tools::PythonPackages;
use crate::{service, tools};

/// Under the project's root.
const FOLDER: &str = "ocr-service/tests/clients";
pub const PACKAGES: PythonPackages = PythonPackages {
    of: "the official clients",
    list: include_str!("../../../ocr-service/tests/clients/requirements.txt"),
};
/// What the script says of each check that passed.
const PASSED: &str = "passed: ";

pub async fn check(host: &Host, step: &Step) -> Result<String> {
    let folder = host.root.join(FOLDER);
    let python = tools::ensure_python(host, PACKAGES).await?;
    let binary = service::build_binary(host, &service::inputs_hash(&host.root)?, step).await?;
    step.message("asking a model");
    let run = Cmd::new(python)
        .arg(folder.join("clients.py"))
        .arg(binary)
        .cwd(&host.root)
        .deadline(Duration::from_mins(5));
    let lines = super::cargo::logged(host, step, "clients", &run).await?;
    let passed = lines.iter().filter(|line| line.starts_with(PASSED)).count();
    if passed == 0 {
        return Err(Error::unhealthy("the clients checked nothing", format!("see {FOLDER}/clients.py")));
    }
    Ok(format!("{passed} checks with kserve and tritonclient"))
}
