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

/// One that begins with another stands before it.
const OPERATORS: [&str; 8] = ["===", "==", "!=", "<=", ">=", "~=", "<", ">"];

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
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let after = rest.trim_start_matches(is_part);
        rest.strip_suffix(after).unwrap_or_default()
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
        Ok(Marker::joined(parts, MarkerTree::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Marker, MarkerError> {
        let mut parts = vec![self.one(depth)?];
        while self.take_word("and") {
            parts.push(self.one(depth)?);
        }
        Ok(Marker::joined(parts, MarkerTree::All))
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
                let turned = operator.turned();
                MarkerTree::Compare(Comparison {
                    variable,
                    operator: turned.unwrap_or(operator),
                    literal: literal.to_owned(),
                    reversed: turned.is_none(),
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
        for text in OPERATORS {
            if self.take(text)
                && let Ok(operator) = text.parse()
            {
                return Ok(Operator::Ordered(operator));
            }
        }
        Err(self.error("a comparison expected"))
    }

    fn operand(&mut self) -> Result<Operand<'t>, MarkerError> {
        self.skip_blanks();
        let rest = self.rest();
        for quote in ['\'', '"'] {
            let Some(inner) = rest.strip_prefix(quote) else {
                continue;
            };
            let Some((literal, _)) = inner.split_once(quote) else {
                return Err(self.error("a quotation has no end"));
            };
            self.at += literal.len() + 2;
            return Ok(Operand::Literal(literal));
        }
        let name = self.word();
        let Some(variable) = MarkerVariable::named(name) else {
            return Err(self.error("a variable or a quoted text expected"));
        };
        self.at += name.len();
        Ok(Operand::Variable(variable))
    }
}
