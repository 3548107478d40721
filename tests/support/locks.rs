//! The lock files in `tests/locks`, and exactly the files that they lock.
//!
//! They were made by the real tools against a stand-in that offered what [`publish_to`] offers;
//! `tests/locks/README.md` says how. In them the index is `http://index.example/simple/` and its
//! files are below `http://files.example/`; [`Lock::at`] puts a running stand-in in their places.

use std::path::PathBuf;

use super::public_index::{Offer, PublicIndex};
use super::wheel::{Artifact, Distribution};

pub const INDEX: &str = "http://index.example";
pub const FILES: &str = "http://files.example";

/// Of the project that is locked; knows no index.
pub const PROJECT: &str = "[project]\nname = \"forge\"\nversion = \"0.1.0\"\nrequires-python = \">=3.9\"\n\
     dependencies = [\"anvil\", \"dowel==3.0.1\", \"hinge; python_version < '3.11'\"]\n";

/// Tags of the platform wheels of `bellows`. They do for any Python 3, except the first.
pub const BELLOWS: [&str; 6] = [
    "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
    "py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64",
    "py3-none-musllinux_1_2_x86_64",
    "py3-none-manylinux_2_28_aarch64",
    "py3-none-macosx_11_0_arm64",
    "py3-none-win_amd64",
];

/// A lock file of `tests/locks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    Uv,
    /// By `uv export`: for all platforms.
    Pylock,
    /// By `pip lock`: for one machine, Python 3.11 on Linux.
    PylockOfPip,
    Poetry,
    Pdm,
    PdmStaticUrls,
    Pipfile,
    /// By `uv export`, with hashes and markers.
    Requirements,
}

impl Lock {
    pub const ALL: [Self; 8] = [
        Self::Uv,
        Self::Pylock,
        Self::PylockOfPip,
        Self::Poetry,
        Self::Pdm,
        Self::PdmStaticUrls,
        Self::Pipfile,
        Self::Requirements,
    ];

    /// Its name in `tests/locks`.
    pub fn stored_name(self) -> &'static str {
        match self {
            Self::Pylock => "pylock.uv.toml",
            Self::PylockOfPip => "pylock.pip.toml",
            Self::PdmStaticUrls => "pdm.static.lock",
            other => other.filename(),
        }
    }

    /// The name that its tool gives it.
    pub fn filename(self) -> &'static str {
        match self {
            Self::Uv => "uv.lock",
            Self::Pylock | Self::PylockOfPip => "pylock.toml",
            Self::Poetry => "poetry.lock",
            Self::Pdm | Self::PdmStaticUrls => "pdm.lock",
            Self::Pipfile => "Pipfile.lock",
            Self::Requirements => "requirements.txt",
        }
    }

    pub fn path(self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/locks")
            .join(self.stored_name())
    }

    /// As stored.
    pub fn text(self) -> String {
        std::fs::read_to_string(self.path()).expect("a lock file of the repository")
    }

    /// As it would have been made at this stand-in.
    pub fn at(self, index: &PublicIndex) -> String {
        self.text()
            .replace(INDEX, index.origin())
            .replace(FILES, index.files_origin())
    }

    /// The file names that it locks, sorted; what the index offers and the lock does not name is
    /// missing here.
    pub fn files(self) -> Vec<String> {
        let text = self.text();
        let mut files: Vec<String> = offers()
            .into_iter()
            .filter(|offer| text.contains(&offer.sha256))
            .map(|offer| offer.filename)
            .collect();
        files.sort();
        files
    }
}

/// Everything that the index has: what is locked, and an older version that nothing locks.
pub fn offers() -> Vec<Offer> {
    let anvil = |version: &str| {
        Distribution::new("Anvil", version)
            .requires_python(">=3.8")
            .depends_on("bellows>=2")
            .depends_on("chisel; sys_platform == 'win32'")
            .stored()
    };
    let bellows = Distribution::new("bellows", "2.1.0")
        .requires_python(">=3.8")
        .stored();
    let chisel = Distribution::new("chisel", "0.4.6").stored();
    let dowel = Distribution::new("dowel", "3.0.1").stored();
    let hinge = Distribution::new("hinge", "1.1.0")
        .requires_python(">=3.7")
        .stored();
    let both = |distribution: &Distribution| [distribution.wheel(), distribution.sdist()];

    let mut artifacts: Vec<Artifact> = both(&anvil("1.1.0")).into();
    artifacts.extend(both(&anvil("1.2.0")));
    artifacts.extend(BELLOWS.map(|tag| bellows.clone().tagged(tag).wheel()));
    artifacts.push(bellows.sdist());
    artifacts.extend(both(&chisel));
    artifacts.extend(both(&hinge));
    let mut offers: Vec<Offer> = artifacts.into_iter().map(Offer::from).collect();
    offers.extend(both(&dowel).map(|artifact| Offer::from(artifact).yanked("a broken hinge")));
    offers
}

/// Offers exactly the files that the lock files name, and one older version.
pub fn publish_to(index: &PublicIndex) {
    for offer in offers() {
        index.publish(offer);
    }
}
