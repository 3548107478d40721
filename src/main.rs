//! Arguments in, exit code out. Everything else is the library's.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use larder::app::App;
use larder::cli::{Cli, Command, ConfigCommand, banner};
use larder::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code for bad configuration; scripts tell it from a daemon that could not start.
const BAD_CONFIG: u8 = 64;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(std::io::stderr(), "larder: {why}");
            ExitCode::from(code)
        }
    }
}

fn run(cli: &Cli) -> Result<(), (u8, String)> {
    let (file, overrides) = (cli.config.as_deref(), cli.overrides());
    let bad = |why: &dyn std::fmt::Display| (BAD_CONFIG, format!("bad configuration\n{why}"));
    match &cli.command {
        Command::Serve(_) => {
            let config = Config::load(file, &overrides).map_err(|why| bad(&why))?;
            let _log = larder::telemetry::start(&config.log).map_err(|why| bad(&why))?;
            raise_open_files();
            let runtime = tokio::runtime::Runtime::new().map_err(|why| (1, why.to_string()))?;
            runtime.block_on(serve(config))
        }
        Command::CheckConfig => {
            Config::load(file, &overrides).map_err(|why| bad(&why))?;
            print("the configuration is good\n")
        }
        Command::Config(ConfigCommand::Show) => {
            print(&Config::show(file, &overrides).map_err(|why| bad(&why))?)
        }
    }
}

async fn serve(config: Config) -> Result<(), (u8, String)> {
    let app = App::start(config)
        .await
        .map_err(|why| (if why.is_config() { BAD_CONFIG } else { 1 }, why.to_string()))?;
    let told = |why: std::io::Error| (1, why.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(told)?;
    print(&banner(&app.address(), &app.gitlab(), &app.cache_dir().display()))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: running downloads are finished first");
    app.stop().await;
    Ok(())
}

/// Each client takes a socket and often a file: as many as the system lets us have.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(why) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%why, "cannot raise the limit of open files");
    }
}

fn print(text: &str) -> Result<(), (u8, String)> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|why| (1, why.to_string()))
}
