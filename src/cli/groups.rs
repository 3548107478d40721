//! The commands in groups, as `larder --help` and the manual list them.
//!
//! Owns which command is in which group. Must not know what a command does: its definition tells.

use clap::Command;

/// Each group with its commands, in the order in which they are met.
pub const GROUPS: [(&str, &[&str]); 5] = [
    ("Run", &["serve", "health", "log-level", "auth"]),
    (
        "Configure and diagnose",
        &["check-config", "config", "doctor", "explain"],
    ),
    (
        "Look after the cache",
        &[
            "stats", "ls", "audit", "verify", "gc", "purge", "refresh", "share",
        ],
    ),
    (
        "Lock files and air gaps",
        &["warm", "rewrite-lock", "export", "import"],
    ),
    ("Help", &["completions", "man", "help"]),
];

/// The definitions, with a help that lists the commands in their groups.
pub fn with_groups(definitions: Command) -> Command {
    let mut lists = String::new();
    for (heading, commands) in listed(&definitions) {
        lists.push_str(&format!("{heading}:\n"));
        for (name, about) in commands {
            lists.push_str(&format!("  {name:<12}  {about}\n"));
        }
        lists.push('\n');
    }
    definitions.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{lists}Options:\n{{options}}"
    ))
}

/// Each group's commands, with what they do in a line.
pub fn listed(definitions: &Command) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let mut groups = Vec::new();
    for (heading, names) in GROUPS {
        let mut commands = Vec::new();
        for name in names {
            let about = match definitions.find_subcommand(name) {
                Some(command) => command.get_about().map(ToString::to_string),
                // clap's own, which is made later than this.
                None => Some("Print this message or the help of a command".to_owned()),
            };
            commands.push((*name, about.unwrap_or_default()));
        }
        groups.push((heading, commands));
    }
    groups
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Cli;

    #[test]
    fn every_command_is_in_one_group() {
        let definitions = Cli::command();
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let mut defined = vec!["help"];
        for command in definitions.get_subcommands() {
            if !command.is_hide_set() {
                defined.push(command.get_name());
            }
        }
        grouped.sort_unstable();
        defined.sort_unstable();
        assert_eq!(grouped, defined);
    }
}
