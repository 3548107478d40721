//! One comparison of a marker: a variable, an operator, a literal. Versions as PEP 440 orders them,
//! the rest as text.

use std::fmt;
use std::str::FromStr;

use pep440_rs::{Operator as VersionOperator, Version, VersionPattern, VersionSpecifier};

use super::truth::Truth;

/// What a marker may ask about a machine (PEP 508; `extras` and `dependency_groups` of PEP 751).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkerVariable {
    OsName,
    SysPlatform,
    PlatformMachine,
    PlatformPythonImplementation,
    PlatformRelease,
    PlatformSystem,
    PlatformVersion,
    PythonVersion,
    PythonFullVersion,
    ImplementationName,
    ImplementationVersion,
    Extra,
    Extras,
    DependencyGroups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Ordered(VersionOperator),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    pub variable: MarkerVariable,
    pub operator: Operator,
    pub literal: String,
    /// The literal stands on the left: `'linux' in sys_platform`. Only for the operators that
    /// cannot be turned round.
    pub reversed: bool,
}

/// A micro release that no Python reaches.
const LAST_MICRO: u64 = 9999;

/// By each name, and by the spellings before PEP 508.
const VARIABLES: [(&str, MarkerVariable); 20] = [
    ("os_name", MarkerVariable::OsName),
    ("sys_platform", MarkerVariable::SysPlatform),
    ("platform_machine", MarkerVariable::PlatformMachine),
    (
        "platform_python_implementation",
        MarkerVariable::PlatformPythonImplementation,
    ),
    ("platform_release", MarkerVariable::PlatformRelease),
    ("platform_system", MarkerVariable::PlatformSystem),
    ("platform_version", MarkerVariable::PlatformVersion),
    ("python_version", MarkerVariable::PythonVersion),
    ("python_full_version", MarkerVariable::PythonFullVersion),
    ("implementation_name", MarkerVariable::ImplementationName),
    (
        "implementation_version",
        MarkerVariable::ImplementationVersion,
    ),
    ("extra", MarkerVariable::Extra),
    ("extras", MarkerVariable::Extras),
    ("dependency_groups", MarkerVariable::DependencyGroups),
    ("os.name", MarkerVariable::OsName),
    ("sys.platform", MarkerVariable::SysPlatform),
    ("platform.machine", MarkerVariable::PlatformMachine),
    (
        "platform.python_implementation",
        MarkerVariable::PlatformPythonImplementation,
    ),
    (
        "python_implementation",
        MarkerVariable::PlatformPythonImplementation,
    ),
    ("platform.version", MarkerVariable::PlatformVersion),
];

impl MarkerVariable {
    pub(super) fn named(text: &str) -> Option<Self> {
        let (_, variable) = VARIABLES.iter().find(|(name, _)| *name == text)?;
        Some(*variable)
    }

    pub fn name(self) -> &'static str {
        let mut variables = VARIABLES.iter();
        let found = variables.find(|(_, variable)| *variable == self);
        found.map_or("", |(name, _)| name)
    }

    fn is_version(self) -> bool {
        matches!(
            self,
            Self::PythonVersion | Self::PythonFullVersion | Self::ImplementationVersion
        )
    }

    /// What a machine is does not tell which extras are installed.
    pub(super) fn is_chosen(self) -> bool {
        matches!(self, Self::Extra | Self::Extras | Self::DependencyGroups)
    }
}

impl Operator {
    /// The operator that says the same with its sides exchanged.
    pub fn turned(self) -> Option<Self> {
        let Self::Ordered(operator) = self else {
            return None;
        };
        Some(Self::Ordered(match operator {
            VersionOperator::LessThan => VersionOperator::GreaterThan,
            VersionOperator::LessThanEqual => VersionOperator::GreaterThanEqual,
            VersionOperator::GreaterThan => VersionOperator::LessThan,
            VersionOperator::GreaterThanEqual => VersionOperator::LessThanEqual,
            VersionOperator::TildeEqual => return None,
            same => same,
        }))
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In => f.write_str("in"),
            Self::NotIn => f.write_str("not in"),
            Self::Ordered(operator) => operator.fmt(f),
        }
    }
}

impl Comparison {
    pub fn truth(&self, environment: &dyn Fn(MarkerVariable) -> Option<Vec<String>>) -> Truth {
        if self.variable.is_chosen() {
            return Truth::Unknown;
        }
        match environment(self.variable) {
            Some(values) => agreed(values.iter().map(|value| self.of_value(value))),
            None if self.variable == MarkerVariable::PythonFullVersion => {
                let series = environment(MarkerVariable::PythonVersion).unwrap_or_default();
                agreed(series.iter().map(|minor| self.of_series(minor)))
            }
            None => Truth::Unknown,
        }
    }

    fn of_value(&self, value: &str) -> Truth {
        let Operator::Ordered(operator) = self.operator else {
            return self.contained(value);
        };
        let is_equality = matches!(operator, VersionOperator::Equal | VersionOperator::NotEqual);
        if is_equality && !self.variable.is_version() {
            return self.as_text(operator, value);
        }
        // A release of a kernel may look like a version or not.
        match (Version::from_str(value), self.specifier()) {
            (Ok(version), Some(specifier)) => known(specifier.contains(&version)),
            _ => self.as_text(operator, value),
        }
    }

    fn as_text(&self, operator: VersionOperator, value: &str) -> Truth {
        let order = value.cmp(self.literal.as_str());
        known(match operator {
            VersionOperator::LessThan => order.is_lt(),
            VersionOperator::LessThanEqual => order.is_le(),
            VersionOperator::GreaterThan => order.is_gt(),
            VersionOperator::GreaterThanEqual => order.is_ge(),
            VersionOperator::Equal | VersionOperator::ExactEqual => order.is_eq(),
            VersionOperator::NotEqual => order.is_ne(),
            _ => return Truth::Unknown,
        })
    }

    /// Python's `in` looks for a part of the text; some clients take the text as a list of words.
    fn contained(&self, value: &str) -> Truth {
        let mut part = value;
        let mut whole = self.literal.as_str();
        if self.reversed {
            std::mem::swap(&mut part, &mut whole);
        }
        let within = whole.contains(part);
        let mut words = whole.split([' ', ',', '|']).map(str::trim);
        if self.variable.is_version() && within != words.any(|word| word == part) {
            return Truth::Unknown;
        }
        known(within == (self.operator == Operator::In))
    }

    /// For all final releases of one minor Python, as `3.12`.
    fn of_series(&self, minor: &str) -> Truth {
        let (Ok(series), Some(specifier)) = (Version::from_str(minor), self.specifier()) else {
            return Truth::Unknown;
        };
        let [major, minor, ..] = *series.release() else {
            return Truth::Unknown;
        };
        let first = Version::new([major, minor, 0]);
        let last = Version::new([major, minor, LAST_MICRO]);
        let named = specifier.version();
        let is_within = *named >= first && *named <= last;
        // A point within the series can change the answer between two ends that agree.
        let has_point = match specifier.operator() {
            VersionOperator::Equal | VersionOperator::NotEqual | VersionOperator::ExactEqual => {
                is_within
            }
            VersionOperator::EqualStar | VersionOperator::NotEqualStar => {
                is_within && named.release().len() > 2
            }
            _ => false,
        };
        let at_first = specifier.contains(&first);
        if has_point || at_first != specifier.contains(&last) {
            return Truth::Unknown;
        }
        known(at_first)
    }

    fn specifier(&self) -> Option<VersionSpecifier> {
        let Operator::Ordered(operator) = self.operator else {
            return None;
        };
        let pattern = VersionPattern::from_str(&self.literal).ok()?;
        VersionSpecifier::from_pattern(operator, pattern).ok()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut quote = '\'';
        if self.literal.contains(quote) {
            quote = '"';
        }
        let variable = self.variable.name();
        let operator = self.operator;
        let literal = &self.literal;
        if self.reversed {
            write!(f, "{quote}{literal}{quote} {operator} {variable}")
        } else {
            write!(f, "{variable} {operator} {quote}{literal}{quote}")
        }
    }
}

fn known(holds: bool) -> Truth {
    if holds { Truth::Yes } else { Truth::No }
}

/// What is true of all values is known; no value at all is not.
fn agreed(mut truths: impl Iterator<Item = Truth>) -> Truth {
    match truths.next() {
        Some(first) if truths.all(|truth| truth == first) => first,
        _ => Truth::Unknown,
    }
}
