//! `larder man`: the manual, made of the definitions of the commands.
//!
//! Owns the sections that no definition tells. The pages carry no date, so that the same source
//! gives the same pages. Must not know any command.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use super::groups::listed;
use super::output::print;

/// What only words can tell, in man(7).
const MORE: &str = include_str!("man/more.roff");

#[derive(Debug, Args)]
pub struct ManArguments {
    /// A folder that is there: the main page and one for each command are written into it. Without
    /// it the main page is printed.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints the main page of these definitions, or writes all pages.
///
/// # Errors
/// When standard output does not take it, or the folder cannot be written.
pub fn run(arguments: &ManArguments, definitions: Command) -> io::Result<u8> {
    let whole = whole(definitions);
    match &arguments.folder {
        None => print(&String::from_utf8_lossy(&main_page(&whole)?))?,
        Some(folder) => {
            for (name, page) in pages(&whole)? {
                write(folder, &name, &page)?;
            }
        }
    }
    Ok(0)
}

/// Every page, by the name of its file.
fn pages(whole: &Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![("larder.1".to_owned(), main_page(whole)?)];
    for command in whole.get_subcommands() {
        if !command.is_hide_set() {
            add(command, "larder", &mut pages)?;
        }
    }
    Ok(pages)
}

/// The page of a command, and those of its own commands.
fn add(command: &Command, above: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = format!("{above}-{}", command.get_name());
    pages.push((format!("{name}.1"), page(command, &name)?));
    for below in command.get_subcommands() {
        add(below, &name, pages)?;
    }
    Ok(())
}

fn main_page(whole: &Command) -> io::Result<Vec<u8>> {
    let mut text = head(whole, "larder")?;
    text.extend_from_slice(grouped(whole).as_bytes());
    text.extend_from_slice(MORE.as_bytes());
    Ok(text)
}

/// The commands in their groups, each with the name of its page.
fn grouped(whole: &Command) -> String {
    let mut text = ".SH COMMANDS\n".to_owned();
    for (heading, commands) in listed(whole) {
        text.push_str(&format!(".SS \"{heading}\"\n"));
        for (name, about) in commands {
            // It has no page.
            if name == "help" {
                continue;
            }
            let name = name.replace('-', "\\-");
            text.push_str(&format!(".TP\n\\fBlarder\\-{name}\\fR(1)\n{about}\n"));
        }
    }
    text
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let mut text = head(command, name)?;
    if command.has_subcommands() {
        Man::new(command.clone()).render_subcommands_section(&mut text)?;
    }
    Ok(text)
}

/// A page without what its command has below it.
fn head(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let version = env!("CARGO_PKG_VERSION");
    let title = name.to_uppercase();
    // Written here, because the library leaves an empty date out, and all behind it moves up.
    let title = format!(".TH \"{title}\" 1 \"\" \"larder {version}\" \"larder\"\n");
    let mut text = title.into_bytes();
    let page = Man::new(command.clone());
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    Ok(text)
}

/// The definitions, each command with the options that all have.
fn whole(definitions: Command) -> Command {
    let mut command = definitions.disable_help_subcommand(true);
    command.build();
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "pages for a package of larder; no part of the store"
)]
fn write(folder: &Path, name: &str, page: &[u8]) -> io::Result<()> {
    let file: PathBuf = [folder, Path::new(name)].iter().collect();
    std::fs::write(&file, page)
        .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", file.display())))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Cli;

    #[test]
    fn there_is_a_page_for_each_command() {
        let pages = pages(&whole(Cli::command())).unwrap_or_default();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "larder.1",
            "larder-serve.1",
            "larder-doctor.1",
            "larder-config-show.1",
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        for (name, page) in &pages {
            let text = String::from_utf8_lossy(page);
            assert!(
                text.starts_with(".TH \"LARDER") && text.contains(".SH NAME"),
                "{name}"
            );
        }
    }

    #[test]
    fn the_main_page_has_the_sections_that_operators_look_for() {
        let page = main_page(&whole(Cli::command())).unwrap_or_default();
        let text = String::from_utf8_lossy(&page).into_owned();
        for section in [
            "COMMANDS",
            "FILES",
            "ENVIRONMENT",
            "\"EXIT STATUS\"",
            "SIGNALS",
        ] {
            assert!(text.contains(&format!(".SH {section}\n")), "{section}");
        }
    }
}
