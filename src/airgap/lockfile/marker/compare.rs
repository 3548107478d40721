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
pub(super) enum Operator {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Compatible,
    Identical,
    In,
    NotIn,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub variable: MarkerVariable,
    pub operator: Operator,
    pub literal: String,
    /// The literal stands on the left: `'linux' in sys_platform`. Only for the operators that
    /// cannot be turned round.
    pub reversed: bool,
}

/// A micro release that no Python reaches.
const LAST_MICRO: u64 = 9999;

impl MarkerVariable {
    /// By its name, the spellings before PEP 508 included.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "os_name" | "os.name" => Self::OsName,
            "sys_platform" | "sys.platform" => Self::SysPlatform,
            "platform_machine" | "platform.machine" => Self::PlatformMachine,
            "platform_python_implementation"
            | "platform.python_implementation"
            | "python_implementation" => Self::PlatformPythonImplementation,
            "platform_release" => Self::PlatformRelease,
            "platform_system" => Self::PlatformSystem,
            "platform_version" | "platform.version" => Self::PlatformVersion,
            "python_version" => Self::PythonVersion,
            "python_full_version" => Self::PythonFullVersion,
            "implementation_name" => Self::ImplementationName,
            "implementation_version" => Self::ImplementationVersion,
            "extra" => Self::Extra,
            "extras" => Self::Extras,
            "dependency_groups" => Self::DependencyGroups,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::OsName => "os_name",
            Self::SysPlatform => "sys_platform",
            Self::PlatformMachine => "platform_machine",
            Self::PlatformPythonImplementation => "platform_python_implementation",
            Self::PlatformRelease => "platform_release",
            Self::PlatformSystem => "platform_system",
            Self::PlatformVersion => "platform_version",
            Self::PythonVersion => "python_version",
            Self::PythonFullVersion => "python_full_version",
            Self::ImplementationName => "implementation_name",
            Self::ImplementationVersion => "implementation_version",
            Self::Extra => "extra",
            Self::Extras => "extras",
            Self::DependencyGroups => "dependency_groups",
        }
    }

    fn is_version(self) -> bool {
        matches!(
            self,
            Self::PythonVersion | Self::PythonFullVersion | Self::ImplementationVersion
        )
    }

    /// What a machine is does not tell which extras somebody installs.
    pub(super) fn is_chosen(self) -> bool {
        matches!(self, Self::Extra | Self::Extras | Self::DependencyGroups)
    }
}

impl Operator {
    /// The operator that says the same with its sides exchanged.
    pub(super) fn turned(self) -> Option<Self> {
        Some(match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual | Self::Identical => self,
            Self::Compatible | Self::In | Self::NotIn => return None,
        })
    }

    fn text(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
            Self::Compatible => "~=",
            Self::Identical => "===",
            Self::In => "in",
            Self::NotIn => "not in",
        }
    }

    fn of_versions(self) -> Option<VersionOperator> {
        VersionOperator::from_str(self.text()).ok()
    }
}

impl Comparison {
    pub(super) fn truth(
        &self,
        environment: &dyn Fn(MarkerVariable) -> Option<Vec<String>>,
    ) -> Truth {
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
        match self.operator {
            Operator::In | Operator::NotIn => self.contained(value),
            Operator::Equal | Operator::NotEqual if !self.variable.is_version() => {
                known((value == self.literal) == (self.operator == Operator::Equal))
            }
            // A release of a kernel may look like a version or not.
            _ => match (Version::from_str(value), self.specifier()) {
                (Ok(version), Some(specifier)) => known(specifier.contains(&version)),
                _ => self.as_text(value),
            },
        }
    }

    fn as_text(&self, value: &str) -> Truth {
        let order = value.cmp(self.literal.as_str());
        match self.operator {
            Operator::Less => known(order.is_lt()),
            Operator::LessOrEqual => known(order.is_le()),
            Operator::Greater => known(order.is_gt()),
            Operator::GreaterOrEqual => known(order.is_ge()),
            Operator::Equal | Operator::Identical => known(order.is_eq()),
            Operator::NotEqual => known(order.is_ne()),
            Operator::Compatible | Operator::In | Operator::NotIn => Truth::Unknown,
        }
    }

    /// Python's `in` looks for a part of the text; some clients take the text as a list of words.
    fn contained(&self, value: &str) -> Truth {
        let (part, whole) = if self.reversed {
            (self.literal.as_str(), value)
        } else {
            (value, self.literal.as_str())
        };
        let within = whole.contains(part);
        let mut words = whole.split([' ', ',', '|']).map(str::trim);
        if self.variable.is_version() && within != words.any(|word| word == part) {
            return Truth::Unknown;
        }
        known(within == (self.operator == Operator::In))
    }

    /// For all final releases of one minor Python, as `3.12`.
    fn of_series(&self, minor: &str) -> Truth {
        let Ok(first) = Version::from_str(minor) else {
            return Truth::Unknown;
        };
        let series: Vec<u64> = first.release().iter().copied().take(2).collect();
        let (Some(major), Some(minor), Some(specifier)) =
            (series.first(), series.get(1), self.specifier())
        else {
            return Truth::Unknown;
        };
        let first = Version::new([*major, *minor, 0]);
        let last = Version::new([*major, *minor, LAST_MICRO]);
        let at_first = specifier.contains(&first);
        let at_last = specifier.contains(&last);
        // A point within the series can change the answer between two ends that agree.
        let ordered = !matches!(
            specifier.operator(),
            VersionOperator::Equal
                | VersionOperator::NotEqual
                | VersionOperator::ExactEqual
                | VersionOperator::EqualStar
                | VersionOperator::NotEqualStar
        );
        let stars = matches!(
            specifier.operator(),
            VersionOperator::EqualStar | VersionOperator::NotEqualStar
        );
        let named = specifier.version();
        let inside = named >= &first && named <= &last && !(stars && named.release().len() <= 2);
        if at_first == at_last && (ordered || !inside) {
            known(at_first)
        } else {
            Truth::Unknown
        }
    }

    fn specifier(&self) -> Option<VersionSpecifier> {
        let pattern = VersionPattern::from_str(&self.literal).ok()?;
        VersionSpecifier::from_pattern(self.operator.of_versions()?, pattern).ok()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.literal.contains('\'') {
            '"'
        } else {
            '\''
        };
        let (variable, operator, literal) =
            (self.variable.name(), self.operator.text(), &self.literal);
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
fn agreed(truths: impl Iterator<Item = Truth>) -> Truth {
    truths
        .reduce(|left, right| if left == right { left } else { Truth::Unknown })
        .unwrap_or(Truth::Unknown)
}
