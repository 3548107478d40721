//! A release of a project, made ready to be compared with many records.
//!
//! Must not know records.

use std::borrow::Cow;

use pep440_rs::Version;

/// A version as a file or a lock writes it.
#[derive(Clone, Debug)]
pub struct Release {
    /// `None` if it is no version of PEP 440.
    version: Option<ReleaseVersion>,
    /// As [`canonical`] writes it.
    text: Box<str>,
}

#[derive(Clone, Debug)]
struct ReleaseVersion {
    whole: Version,
    /// Without its local label, and so as text; only if it has one.
    public: Option<(Version, Box<str>)>,
}

impl Release {
    /// `_` stands for `-`, because a wheel's file name writes the one for the other.
    pub fn parse(written: &str) -> Self {
        let dashed = match written.contains('_') {
            true => Cow::Owned(written.replace('_', "-")),
            false => Cow::Borrowed(written),
        };
        let Ok(whole) = dashed.trim().parse::<Version>() else {
            return Self {
                version: None,
                text: dashed.trim().to_lowercase().into(),
            };
        };
        let mut public = None;
        if whole.is_local() {
            let version = whole.clone().without_local();
            let text = canonical(&version).into();
            public = Some((version, text));
        }
        Self {
            text: canonical(&whole).into(),
            version: Some(ReleaseVersion { whole, public }),
        }
    }

    /// Whether it is a version of PEP 440.
    pub(super) fn is_version(&self) -> bool {
        self.version.is_some()
    }

    /// Whether this version, in its canonical spelling, is what a record means by `text`.
    pub(super) fn is(&self, text: &str) -> bool {
        if *self.text == *text {
            return true;
        }
        match &self.version {
            Some(version) => match &version.public {
                Some((_, public)) => **public == *text,
                None => false,
            },
            None => false,
        }
    }

    /// Without its local label.
    pub(super) fn public(&self) -> Option<&Version> {
        let version = self.version.as_ref()?;
        match &version.public {
            Some((public, _)) => Some(public),
            None => Some(&version.whole),
        }
    }

    /// The canonical spellings by which it may be listed.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let public = match &self.version {
            Some(version) => version.public.as_ref(),
            None => None,
        };
        let public = public.map(|(_, text)| &**text);
        std::iter::once(&*self.text).chain(public)
    }

    /// What is compared with a version that a record names; none if this is no version.
    pub(super) fn beside(&self, bound: &Version) -> Option<&Version> {
        let version = self.version.as_ref()?;
        match &version.public {
            Some((public, _)) if !bound.is_local() => Some(public),
            _ => Some(&version.whole),
        }
    }
}

/// The one spelling of a version: normalised, and without the zeros that make no difference.
pub(super) fn canonical(version: &Version) -> String {
    let release = version.release();
    let zeros = release.iter().rev().take_while(|&&part| part == 0).count();
    let kept = (release.len() - zeros).max(1);
    if kept == release.len() {
        return version.to_string();
    }
    let shortened = release[..kept].to_vec();
    version.clone().with_release(shortened).to_string()
}
