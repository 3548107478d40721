//! GitLab's stand-in, and the real binary of larder in front of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::pip::Pip;
use crate::support::larder::binary;
use crate::support::{
    Act, Artifact, Client, Distribution, GitLab, Larder, Place, Role, Site, Storage, Token,
    TokenKind, path, real_wheels, token,
};
use crate::{Told, write};

/// The project of the stand-in that holds the wheels.
pub const PROJECT: u64 = 42;

/// A GitLab is not on the same machine: each answer, of its object store too, takes so long to
/// begin.
const DISTANCE: Duration = Duration::from_millis(50);

/// In bytes a second, for each transfer: 80 Mbit/s.
const BANDWIDTH: usize = 10_000_000;

/// What a company has of its own, with the size of each wheel in kB.
const PRIVATE_PACKAGES: [(&str, usize); 9] = [
    ("acme-auth", 150),
    ("acme-billing", 620),
    ("acme-catalog", 910),
    ("acme-charts", 1_600),
    ("acme-features", 1_240),
    ("acme-geo", 1_800),
    ("acme-models", 2_100),
    ("acme-queue", 130),
    ("acme-reports", 760),
];

pub struct Stage {
    pub gitlab: GitLab,
    larder: Larder,
    /// What a job installs: the private packages and the real wheels of `tests/wheels`.
    pub wheels: Vec<Artifact>,
}

/// Compiles the binary beside this program, unless `LARDER_BINARY` names another, and says where it
/// is. With the example in the same command the dependencies have the features with which they are
/// compiled already.
pub fn build_larder() -> Told<PathBuf> {
    let binary = binary();
    if std::env::var_os("LARDER_BINARY").is_none() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "--locked",
            "--bin",
            "larder",
            "--example",
            "demo",
        ]);
        let folder = binary.parent().and_then(Path::file_name);
        match folder.and_then(|name| name.to_str()) {
            Some("debug") | None => {}
            Some(profile) => {
                build.args(["--profile", profile]);
            }
        }
        let status = build.status().map_err(|why| format!("cargo: {why}"))?;
        if !status.success() {
            return Err("cargo could not build the larder binary".to_owned());
        }
    }
    if !binary.exists() {
        return Err(format!("there is no larder at {}", binary.display()));
    }
    Ok(binary)
}

impl Stage {
    pub fn set(binary: &Path) -> Self {
        let mut wheels = real_wheels();
        for (name, kilobytes) in PRIVATE_PACKAGES {
            let package = Distribution::new(name, "1.4.0").payload(kilobytes * 1000);
            wheels.push(package.wheel());
        }
        let gitlab = GitLab::builder()
            .storage(Storage::Redirect)
            .holding(|universe| {
                for wheel in &wheels {
                    universe.publish(PROJECT, wheel);
                }
            })
            .start();
        let larder = Larder::builder(&gitlab)
            .binary(binary)
            .sections("[metadata]\n# read_ahead")
            .start();
        let stage = Self {
            gitlab,
            larder,
            wheels,
        };
        stage.be_far_away();
        stage
    }

    /// The stand-in's answers are as slow as those of a GitLab at the end of a line.
    pub fn be_far_away(&self) {
        self.gitlab.behave();
        self.gitlab
            .plan(Act::StallBeforeHead(DISTANCE).at(Site::Anywhere));
        self.gitlab
            .plan(Act::bandwidth(BANDWIDTH).at(Site::FileBody));
    }

    pub fn introduce(&self, pip: &Pip) {
        println!("pip ──▶ larder ──▶ a GitLab with private packages, and its object store");
        println!(
            "(a stand-in on this machine; each answer begins {} ms late and comes at {} MB/s; {})\n",
            DISTANCE.as_millis(),
            BANDWIDTH / 1_000_000,
            pip.version
        );
    }

    pub fn larder(&self) -> SocketAddr {
        self.larder.address()
    }

    pub fn client(&self) -> Client {
        Client::new(self.larder()).token(token::DEVELOPER)
    }

    /// The token of a new job of the project.
    pub fn job_token(&self, name: &str) -> String {
        let secret = format!("job-token-{name}");
        let token =
            Token::new(TokenKind::Job, &secret).member(Place::Project(PROJECT), Role::Developer);
        self.gitlab.change(|universe| universe.tokens.push(token));
        secret
    }

    /// Names the status page, prints lines to paste, and waits for Ctrl-C.
    pub fn stay(&self, folder: &Path) -> Told<()> {
        let wheel = Distribution::new("my-first-upload", "1.0").wheel();
        let dist = folder.join("dist");
        write(&dist.join(&wheel.filename), &wheel.bytes)?;
        let address = self.larder();
        let token = token::DEVELOPER;
        let index = format!(
            "http://__token__:{token}@{address}{}",
            path::project_index(PROJECT)
        );
        let uploads = format!("http://{address}{}", path::upload(PROJECT));
        let target = folder.join("mine").display().to_string();
        let dist = dist.display();
        println!(
            "\nThe one before the stand-in listens until Ctrl-C. To paste into another terminal:\n"
        );
        println!(
            "pip    python3 -m pip install --no-cache-dir --target {target} --index-url {index} requests"
        );
        println!("uv     uv pip install --no-cache --target {target} --index-url {index} requests");
        println!("twine  twine upload --repository-url {uploads} -u __token__ -p {token} {dist}/*");
        println!("\nThe status page, with what it saved today: http://{address}/-/");
        let runtime = tokio::runtime::Runtime::new().map_err(|why| why.to_string())?;
        let interrupted = runtime.block_on(tokio::signal::ctrl_c());
        interrupted.map_err(|why| why.to_string())?;
        println!();
        Ok(())
    }
}
