//! A MariaDB server of Debian's package in a folder of its own, ended when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// With what a URL and SQL both have to mind.
pub const PASSWORD: &str = "p@ss:/w?rd#%25";
pub const USER: &str = "platen";
pub const DATABASE: &str = "lab";

pub struct Server {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Listens on `port` some seconds later, with the user and the empty database.
    pub fn start(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        install(&data);
        let init = folder.path().join("init.sql");
        let sql = format!(
            "CREATE DATABASE {DATABASE};\nCREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON {DATABASE}.* TO '{USER}'@'%';\n"
        );
        fs::write(&init, sql).unwrap();
        let child = server("mariadbd", &data)
            .arg(format!("--init-file={}", init.display()))
            .arg(format!("--socket={}", folder.path().join("socket").display()))
            .arg(format!("--port={port}"))
            .args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=16M", "--skip-name-resolve"])
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn install(data: &Path) {
    let output = server("mariadb-install-db", data)
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One of the packages' programs, none of this machine's settings.
fn server(name: &str, data: &Path) -> Command {
    let mut command = Command::new(program(name));
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    // A server that starts removes what it finds there of another's.
    command.env("TMPDIR", data.parent().unwrap());
    if rustix::process::getuid().is_root() {
        command.arg("--user=root");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn program(name: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks the second.
    let folders = std::env::split_paths(&paths).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not there; run: apt-get install mariadb-server-core mariadb-client-core")
    })
}
