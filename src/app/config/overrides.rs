//! What the command line says about the configuration.
//!
//! Must not know the commands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the command line says about the configuration. Absent means: as configured elsewhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overrides {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<GitLabOverrides>,
    /// By name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mirrors: BTreeMap<String, MirrorOverrides>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogOverrides>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MirrorOverrides {
    pub url: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GitLabOverrides {
    pub url: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogOverrides {
    pub level: String,
}
