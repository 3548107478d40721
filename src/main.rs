//! Arguments in, exit code out. Everything else is the library's.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use larder::app::{self, App};
use larder::cli::{self, Cli, Command, ConfigCommand, Explain, banner};
use larder::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code for bad configuration; scripts tell it from a daemon that could not start.
const BAD_CONFIG: u8 = 64;

/// Exit code for arguments that mean nothing, as clap has it.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err((code, why)) => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(std::io::stderr(), "larder: {why}");
            ExitCode::from(code)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, (u8, String)> {
    let (file, overrides) = (cli.config.as_deref(), cli.overrides());
    let bad = |why: &dyn std::fmt::Display| (BAD_CONFIG, format!("bad configuration\n{why}"));
    match &cli.command {
        Command::Serve(_) => {
            let config = Config::load(file, &overrides).map_err(|why| bad(&why))?;
            let _log = larder::telemetry::start(&config.log).map_err(|why| bad(&why))?;
            raise_open_files();
            let runtime = tokio::runtime::Runtime::new().map_err(|why| (1, why.to_string()))?;
            runtime.block_on(serve(config))?;
        }
        Command::CheckConfig => {
            let config = Config::load(file, &overrides).map_err(|why| bad(&why))?;
            let faults = app::unusable_files(&config);
            if !faults.is_empty() {
                return Err(bad(&faults.join("\n")));
            }
            print("the configuration is good\n")?;
        }
        Command::Explain(asked) => {
            let config = Config::load(file, &overrides).map_err(|why| bad(&why))?;
            return explain(asked, &config);
        }
        Command::Config(ConfigCommand::Show) => {
            print(&Config::show(file, &overrides).map_err(|why| bad(&why))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// 0 for a yes, 1 for a no.
fn explain(asked: &Explain, config: &Config) -> Result<ExitCode, (u8, String)> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let credential = app::caller(asked).map_err(|why| (BAD_USAGE, why.to_string()))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|why| (1, why.to_string()))?;
    let told = runtime.block_on(cli::explain(asked, &ground, &credential));
    let told = told.map_err(|why| (BAD_USAGE, why))?;
    print(&told.text)?;
    Ok(ExitCode::from(u8::from(told.is_no)))
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
