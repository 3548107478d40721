//! The grammar of PEP 508's markers: text in, conditions out, or the place where it ceases to be
//! one.

use std::sync::Arc;

use super::compare::{Comparison, MarkerVariable, Operator};
use super::tree::{Marker, MarkerTree};

/// Parentheses within parentheses.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an environment marker: {what} at byte {at} of `{text}`")]
pub struct MarkerError {
    /// Bytes from the marker's beginning.
    pub at: usize,
    pub what: &'static str,
    pub text: String,
}

/// The text that is still to be read.
struct MarkerParser<'t> {
    text: &'t str,
    at: usize,
}

enum Operand<'t> {
    Variable(MarkerVariable),
    Literal(&'t str),
}

const OPERATORS: [(&str, Operator); 8] = [
    ("===", Operator::Identical),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("~=", Operator::Compatible),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Marker {
    /// Reads the text after a requirement's `;`. The error names the place, in bytes, and the text.
    pub fn parse(text: &str) -> Result<Self, MarkerError> {
        let mut reader = MarkerParser { text, at: 0 };
        let marker = reader.any(0)?;
        reader.skip_blanks();
        if reader.rest().is_empty() {
            Ok(marker)
        } else {
            Err(reader.error("`and`, `or` or the end expected"))
        }
    }
}

impl<'t> MarkerParser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, what: &'static str) -> MarkerError {
        MarkerError {
            at: self.at,
            what,
            text: self.text.to_owned(),
        }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn word(&mut self) -> &'t str {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    fn take_word(&mut self, word: &str) -> bool {
        let there = self.word() == word;
        if there {
            self.at += word.len();
        }
        there
    }

    fn any(&mut self, depth: usize) -> Result<Marker, MarkerError> {
        let mut parts = vec![self.all(depth)?];
        while self.take_word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(joined(parts, MarkerTree::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Marker, MarkerError> {
        let mut parts = vec![self.one(depth)?];
        while self.take_word("and") {
            parts.push(self.one(depth)?);
        }
        Ok(joined(parts, MarkerTree::All))
    }

    fn one(&mut self, depth: usize) -> Result<Marker, MarkerError> {
        if self.take("(") {
            if depth >= DEPTH_MAX {
                return Err(self.error("too many parentheses"));
            }
            let inner = self.any(depth + 1)?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err(self.error("`)` expected"))
            };
        }
        self.skip_blanks();
        let from = self.at;
        let left = self.operand()?;
        let operator = self.operator()?;
        let right = self.operand()?;
        let condition = match (left, right) {
            (Operand::Variable(variable), Operand::Literal(literal)) => {
                MarkerTree::Compare(Comparison {
                    variable,
                    operator,
                    literal: literal.to_owned(),
                    reversed: false,
                })
            }
            (Operand::Literal(literal), Operand::Variable(variable)) => {
                MarkerTree::Compare(Comparison {
                    variable,
                    operator: operator.turned().unwrap_or(operator),
                    literal: literal.to_owned(),
                    reversed: operator.turned().is_none(),
                })
            }
            _ => MarkerTree::Unclear(self.text.get(from..self.at).unwrap_or_default().to_owned()),
        };
        Ok(Marker(Arc::new(condition)))
    }

    fn operator(&mut self) -> Result<Operator, MarkerError> {
        if self.take_word("in") {
            return Ok(Operator::In);
        }
        if self.take_word("not") {
            return if self.take_word("in") {
                Ok(Operator::NotIn)
            } else {
                Err(self.error("`in` expected after `not`"))
            };
        }
        OPERATORS
            .into_iter()
            .find(|(text, _)| self.take(text))
            .map(|(_, operator)| operator)
            .ok_or_else(|| self.error("a comparison expected"))
    }

    fn operand(&mut self) -> Result<Operand<'t>, MarkerError> {
        self.skip_blanks();
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            let inner = rest.get(1..).unwrap_or_default();
            let end = inner
                .find(quote)
                .ok_or_else(|| self.error("a quotation has no end"))?;
            self.at += end + 2;
            return Ok(Operand::Literal(inner.get(..end).unwrap_or_default()));
        }
        let name = self.word();
        let variable = MarkerVariable::named(name)
            .ok_or_else(|| self.error("a variable or a quoted text expected"))?;
        self.at += name.len();
        Ok(Operand::Variable(variable))
    }
}

fn joined(mut parts: Vec<Marker>, join: fn(Vec<Marker>) -> MarkerTree) -> Marker {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            Marker(Arc::new(join(parts)))
        }
    }
}
