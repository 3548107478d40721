//! Addresses of GitLab's packages API, which tells of files what its Simple pages do not.
//!
//! Owns their paths and queries. Must not know what is answered, or to whom.

use url::Url;

use super::base::Base;
use super::scope::{Scope, ScopeKind};
use crate::simple::ProjectName;

/// Entries of one page of a list: the most that GitLab gives.
pub const PACKAGES_PER_PAGE: usize = 100;

/// What is asked; `page` counts from 1.
#[derive(Clone, Copy, Debug)]
pub enum PackagesAddress<'a> {
    /// The versions of a project in the registry of a GitLab project or group, newest first.
    Packages {
        scope: &'a Scope,
        name: &'a ProjectName,
        page: u32,
    },
    /// The files of one of them.
    PackageFiles {
        project: &'a Scope,
        package: u64,
        page: u32,
    },
}

impl PackagesAddress<'_> {
    /// Which page of the list.
    pub fn page(&self) -> u32 {
        match self {
            Self::Packages { page, .. } | Self::PackageFiles { page, .. } => *page,
        }
    }

    /// None for a mirror, which has no such API.
    pub fn url(&self, base: &Base) -> Option<Url> {
        let mut url = match self {
            Self::Packages { scope, name, .. } => {
                let mut url = base.packages_api(&scope.packages_api()?);
                // GitLab compares each word by itself with a part of the name as it was uploaded,
                // whichever of `-`, `_` and `.` stands between them there.
                let words = name.as_str().replace('-', " ");
                url.query_pairs_mut()
                    .append_pair("package_type", "pypi")
                    .append_pair("package_name", &words)
                    .append_pair("order_by", "created_at")
                    .append_pair("sort", "desc");
                url
            }
            Self::PackageFiles {
                project, package, ..
            } => {
                let path = format!("{}/{package}/package_files", project.packages_api()?);
                base.packages_api(&path)
            }
        };
        url.query_pairs_mut()
            .append_pair("per_page", &PACKAGES_PER_PAGE.to_string())
            .append_pair("page", &self.page().to_string());
        Some(url)
    }
}

impl Scope {
    /// The GitLab project of this number.
    pub fn project(number: u64) -> Option<Self> {
        Self::parse(ScopeKind::Project, &number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(scope: &str, page: u32) -> Option<String> {
        let base = Base::parse("https://gitlab.example.com/gitlab").ok()?;
        let scope = Scope::named(scope)?;
        let name = ProjectName::parse("My_Pkg.x").ok()?;
        let address = PackagesAddress::Packages {
            scope: &scope,
            name: &name,
            page,
        };
        Some(address.url(&base)?.to_string())
    }

    #[test]
    fn a_list_is_of_one_project_by_the_words_of_its_name() {
        let query =
            "package_type=pypi&package_name=my+pkg+x&order_by=created_at&sort=desc&per_page=100";
        let below = "https://gitlab.example.com/gitlab/api/v4";
        assert_eq!(
            url("projects/acme/widgets", 1),
            Some(format!(
                "{below}/projects/acme%2Fwidgets/packages?{query}&page=1"
            ))
        );
        assert_eq!(
            url("groups/7", 2),
            Some(format!("{below}/groups/7/packages?{query}&page=2"))
        );
        assert_eq!(url("pypi", 1), None, "a mirror has none");
    }

    #[test]
    fn files_are_a_packages() {
        let base = Base::parse("https://gitlab.example.com").ok();
        let project = Scope::project(42);
        let address = PackagesAddress::PackageFiles {
            project: &project.unwrap_or_else(|| panic!("a number is one")),
            package: 5,
            page: 1,
        };
        let url = base.and_then(|base| Some(address.url(&base)?.to_string()));
        let expected = "https://gitlab.example.com/api/v4/projects/42/packages/5/package_files?per_page=100&page=1";
        assert_eq!(url.as_deref(), Some(expected));
    }
}
