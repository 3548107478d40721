//! What `larder explain` prints: the same facts as text for people and as one line of JSON for
//! machines.
//!
//! Pure. Must not know how a fact was found.

use std::fmt;

use serde::Serialize;

use crate::server::Refusal;

/// How larder would answer, as far as can be told without asking upstream.
#[derive(Debug, Default, Serialize)]
pub struct Explanation {
    /// The address as larder's path.
    pub address: String,
    /// In one word, as in the log.
    pub route: &'static str,
    /// What is there, in a few words.
    pub what: String,
    /// Whose configuration it is that tells.
    pub configuration: String,
    /// Remarks on the URL that was given.
    pub notes: Vec<String>,
    /// Who decides who may have it.
    pub right: Option<String>,
    /// The URL that would be asked.
    pub upstream: Option<String>,
    /// In whose name.
    pub asked_as: Option<String>,
    pub rules: Vec<String>,
    pub stored: Vec<String>,
    pub verdict: Verdict,
    pub why: String,
    /// The running daemon's own word, if there is one.
    pub daemon: Option<Daemon>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_daemon: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// larder answers it out of itself.
    Yes,
    /// What upstream and the caller's right make of it.
    #[default]
    Depends,
    No,
}

#[derive(Debug, Serialize)]
pub struct Daemon {
    pub address: String,
    pub asked_as: &'static str,
    pub status: u16,
    pub reason: String,
    pub cache_status: Option<String>,
    /// The same in words.
    pub cache: Option<&'static str>,
    pub age_seconds: Option<u64>,
    /// Of a view, which source answered.
    pub source: Option<String>,
    /// Of an error, what its body says.
    pub detail: Option<String>,
}

impl Explanation {
    pub fn rule(&mut self, rule: impl Into<String>) {
        self.rules.push(rule.into());
    }

    /// What was concluded is yes.
    pub fn confirm(&mut self, why: &str) {
        self.verdict = Verdict::Yes;
        self.why = why.to_owned();
    }

    /// What was concluded is no.
    pub fn deny(&mut self, why: impl Into<String>) {
        self.verdict = Verdict::No;
        self.why = why.into();
    }

    /// What was concluded is no, for the reason that the daemon gives its clients.
    pub fn refuse(&mut self, why: impl Into<Refusal>) {
        let why = why.into();
        self.deny(format!("{why} ({})", why.status().as_u16()));
    }

    /// Whether the answer is, or would be, no. The daemon's word counts before what was concluded
    /// without it.
    pub fn is_no(&self) -> bool {
        match &self.daemon {
            Some(daemon) => daemon.status >= 400,
            None => self.verdict == Verdict::No,
        }
    }
}

const LABEL: usize = 9;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.address)?;
        lines(f, "what", [&self.what])?;
        lines(f, "config", [&self.configuration])?;
        lines(f, "note", &self.notes)?;
        lines(f, "right", &self.right)?;
        lines(f, "asks", &self.upstream)?;
        lines(f, "as", &self.asked_as)?;
        lines(f, "rules", &self.rules)?;
        lines(f, "on disk", &self.stored)?;
        let verdict = match self.verdict {
            Verdict::Yes => "yes",
            Verdict::Depends => "depends",
            Verdict::No => "no",
        };
        lines(f, "answer", [format!("{verdict}: {}", self.why)])?;
        match (&self.daemon, &self.no_daemon) {
            (Some(daemon), _) => daemon.fmt(f),
            (None, Some(why)) => lines(f, "daemon", [why]),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = format!("at {}, asked {}", self.address, self.asked_as);
        writeln!(f)?;
        lines(f, "daemon", [asked])?;
        lines(f, "answers", [format!("{} {}", self.status, self.reason)])?;
        if let Some(detail) = &self.detail
            && *detail != self.reason
        {
            lines(f, "because", [detail])?;
        }
        if let Some(source) = &self.source {
            lines(f, "source", [format!("{source} answered")])?;
        }
        lines(f, "cache", self.cache)?;
        if let Some(age) = self.age_seconds {
            lines(f, "age", [format!("upstream was last asked {age} s ago")])?;
        }
        Ok(())
    }
}

/// A label, and its lines one below the other.
fn lines<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    texts: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (at, text) in texts.into_iter().enumerate() {
        writeln!(f, "{:LABEL$}{text}", if at == 0 { label } else { "" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(verdict: Verdict, status: Option<u16>) -> Explanation {
        let daemon = status.map(|status| Daemon {
            address: "127.0.0.1:3141".to_owned(),
            asked_as: "without a credential",
            status,
            reason: "Reason".to_owned(),
            cache_status: None,
            cache: None,
            age_seconds: None,
            source: None,
            detail: None,
        });
        Explanation {
            address: "/pypi/simple/a/".to_owned(),
            route: "page",
            what: "a page".to_owned(),
            configuration: "of a.toml".to_owned(),
            notes: Vec::new(),
            right: None,
            upstream: None,
            asked_as: None,
            rules: vec!["one".to_owned(), "two".to_owned()],
            stored: Vec::new(),
            verdict,
            why: "so".to_owned(),
            daemon,
            no_daemon: None,
        }
    }

    #[test]
    fn the_daemons_word_counts_before_the_conclusion() {
        assert!(explanation(Verdict::No, None).is_no());
        assert!(!explanation(Verdict::Depends, None).is_no());
        assert!(!explanation(Verdict::No, Some(304)).is_no());
        assert!(explanation(Verdict::Depends, Some(404)).is_no());
    }

    #[test]
    fn lines_of_one_label_stand_below_each_other() {
        let text = explanation(Verdict::Depends, Some(200)).to_string();
        assert!(
            text.starts_with("/pypi/simple/a/\n\nwhat     a page\nconfig   of a.toml\nrules    one\n         two\n"),
            "{text}"
        );
        assert!(
            text.contains("answer   depends: so\n\ndaemon   at 127.0.0.1:3141"),
            "{text}"
        );
    }
}
