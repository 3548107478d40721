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
pub fn of(input: &str, coverage: &Coverage, target: &TargetEnvironment) -> Vec<Outside> {
    let mut outside = Vec::new();
    for machine in target.machines() {
        if let Some(range) = range(machine, coverage) {
            outside.push(Outside {
                input: input.to_owned(),
                target: machine.to_string(),
                range,
            });
        }
    }
    outside
}

/// What a lock is for that does not include a machine.
fn range(machine: &Machine, coverage: &Coverage) -> Option<String> {
    if let Some(text) = &coverage.requires_python
        && !machine.may_be_among(text)
    {
        return Some(format!("Python {text}"));
    }
    let environments = coverage.environments.as_ref()?;
    if !machine.with_implementation().rules_out(environments) {
        return None;
    }
    Some(environments.to_string())
}

impl Outside {
    pub fn sentence(&self) -> String {
        let Self {
            input,
            target,
            range,
        } = self;
        format!(
            "{input} is for {range}, and not for {target}: \
             nothing of it is fetched for that machine, and its tool installs none"
        )
    }

    pub fn json(&self) -> Value {
        json!({"input": self.input, "target": self.target, "error": self.sentence()})
    }
}
