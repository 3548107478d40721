//! Machines that were asked for and that a lock is not for. Pure.

use serde_json::{Value, json};

use crate::airgap::lockfile::Coverage;
use crate::airgap::warm::target::{Machine, TargetEnvironment};

/// One such machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    input: String,
    target: String,
    /// What the lock is for.
    range: String,
}

/// Those of the machines on which a lock certainly installs nothing.
pub(super) fn of(input: &str, coverage: &Coverage, target: &TargetEnvironment) -> Vec<Outside> {
    let range = |machine: &Machine| {
        let requires = coverage
            .requires_python
            .as_ref()
            .filter(|text| !machine.may_be_among(text));
        let environments = coverage
            .environments
            .as_ref()
            .filter(|marker| machine.with_implementation().rules_out(marker));
        requires
            .map(|text| format!("Python {text}"))
            .or_else(|| environments.map(ToString::to_string))
    };
    let outside = |machine: &Machine| {
        Some(Outside {
            input: input.to_owned(),
            target: machine.to_string(),
            range: range(machine)?,
        })
    };
    target.machines().iter().filter_map(outside).collect()
}

impl Outside {
    pub(super) fn sentence(&self) -> String {
        let Self {
            input,
            target,
            range,
        } = self;
        format!(
            "{input} is for {range}, and not for {target}: nothing of it is fetched for that machine, and its tool installs none"
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({"input": self.input, "target": self.target, "error": self.sentence()})
    }
}
