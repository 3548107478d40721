//! What the command line says about the configuration.
//!
//! Must not know the commands.

use serde::{Deserialize, Serialize};

/// What the command line says about the configuration. Absent means: as configured elsewhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overrides {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<GitLabOverrides>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GitLabOverrides {
    pub url: String,
}
