//! GitLab's packages API, as `lib/api/project_packages.rb`, `group_packages.rb` and
//! `package_files.rb` have it: which tokens it takes, how it searches, and its pages.

use serde_json::{Value, json};

use super::super::http::{Answer, Head};
use super::access::{Caller, Rights};
use super::request::Scope;
use super::settings::Settings;
use super::token::TokenKind;
use super::universe::{Package, Project, StoredFile, Universe};

/// Entries of a page unless the request says otherwise, and the most that it may ask for.
const PER_PAGE: usize = 20;
const PER_PAGE_MAX: usize = 100;

/// One request to the API.
pub(super) struct PackagesApi<'a> {
    pub universe: &'a Universe,
    pub settings: &'a Settings,
    pub request: &'a Head,
}

/// A version, and the project that it is in.
type Version<'a> = (&'a Project, &'a Package);

impl<'a> PackagesApi<'a> {
    /// Job tokens are not allowed on a group's list.
    pub(super) fn packages(&self, scope: &Scope) -> Result<Answer, Answer> {
        let mut versions: Vec<Version<'a>> = match scope {
            Scope::Project(id) => {
                let project = self.project(id)?;
                let of_it = project.packages.iter().map(|package| (project, package));
                of_it.collect()
            }
            Scope::Group(id) => {
                let group = self.universe.find_group(id).ok_or_else(Answer::not_found)?;
                let caller = self.identify(false)?;
                let rights = self.rights(&caller);
                rights.read_group(group).map_err(unseen)?;
                let visible = self
                    .universe
                    .projects_below(group)
                    .filter(|project| rights.read_project(project).is_ok());
                visible
                    .flat_map(|project| {
                        project
                            .packages
                            .iter()
                            .map(move |package| (project, package))
                    })
                    .collect()
            }
        };
        if let Some(words) = self.request.query("package_name") {
            versions.retain(|(_, package)| is_found(&package.name, &words));
        }
        versions.sort_by_key(|(_, package)| package.created());
        if self.request.query("sort").as_deref() == Some("desc") {
            versions.reverse();
        }
        let of_group = matches!(scope, Scope::Group(_));
        Ok(self.page(&versions, |version| package_entity(version, of_group)))
    }

    pub(super) fn files(&self, project: &str, package: &str) -> Result<Answer, Answer> {
        let project = self.project(project)?;
        let package = project
            .packages
            .iter()
            .find(|known| known.id.to_string() == package)
            .ok_or_else(Answer::not_found)?;
        let files: Vec<_> = package.files.iter().collect();
        Ok(self.page(&files, |file| file_entity(package, file)))
    }

    fn project(&self, id: &str) -> Result<&'a Project, Answer> {
        let project = self
            .universe
            .find_project(id)
            .ok_or_else(Answer::not_found)?;
        let caller = self.identify(true)?;
        self.rights(&caller).read_project(project).map_err(unseen)?;
        Ok(project)
    }

    /// Neither Basic nor a deploy token counts: such a caller is anonymous.
    fn identify(&self, job_token_allowed: bool) -> Result<Caller, Answer> {
        if let Some(secret) = self.request.header("JOB-TOKEN")
            && job_token_allowed
        {
            let mut tokens = self.universe.tokens.iter();
            let known = tokens.find(|token| {
                token.secret == secret && token.kind == TokenKind::Job && token.is_active()
            });
            return match known {
                Some(token) => Ok(Caller::Known(token.clone())),
                None => Err(Answer::unauthorized()),
            };
        }
        super::access::identify_by_header(self.universe, self.request)
    }

    fn rights<'b>(&'b self, caller: &'b Caller) -> Rights<'b> {
        Rights {
            universe: self.universe,
            settings: self.settings,
            caller,
        }
    }

    /// One page of a list, with the fields of offset pagination.
    fn page<T>(&self, all: &[T], entity: impl Fn(&T) -> Value) -> Answer {
        let number = |key: &str| {
            self.request
                .query(key)
                .and_then(|text| text.parse::<usize>().ok())
        };
        let per_page = number("per_page")
            .unwrap_or(PER_PAGE)
            .clamp(1, PER_PAGE_MAX);
        let page = number("page").unwrap_or(1).max(1);
        let pages = all.len().div_ceil(per_page).max(1);
        let shown = all.iter().skip((page - 1) * per_page).take(per_page);
        let body: Vec<Value> = shown.map(entity).collect();
        let next = if page < pages {
            (page + 1).to_string()
        } else {
            String::new()
        };
        let before = if page > 1 {
            (page - 1).to_string()
        } else {
            String::new()
        };
        Answer::json(200, &Value::from(body).to_string())
            .header("X-Per-Page", per_page.to_string())
            .header("X-Page", page.to_string())
            .header("X-Next-Page", next)
            .header("X-Prev-Page", before)
            .header("X-Total", all.len().to_string())
            .header("X-Total-Pages", pages.to_string())
    }
}

/// What the package registry answers 401 to, the API says is not there.
fn unseen(refusal: Answer) -> Answer {
    if refusal.status == 401 {
        Answer::not_found()
    } else {
        refusal
    }
}

/// Each word is a part of the name as it was uploaded.
fn is_found(name: &str, words: &str) -> bool {
    let name = name.to_lowercase();
    words
        .split_whitespace()
        .all(|word| name.contains(&word.to_lowercase()))
}

fn package_entity((project, package): &Version<'_>, of_group: bool) -> Value {
    let mut entity = json!({
        "id": package.id,
        "name": package.name,
        "version": package.version,
        "package_type": "pypi",
        "status": "default",
        "created_at": written(package.created()),
        "_links": { "web_path": format!("/{}/-/packages/{}", project.path, package.id) },
        "tags": [],
    });
    if of_group {
        entity["project_id"] = project.id.into();
        entity["project_path"] = project.path.clone().into();
    }
    entity
}

fn file_entity(package: &Package, file: &StoredFile) -> Value {
    json!({
        "id": file.id,
        "package_id": package.id,
        "created_at": written(file.created),
        "file_name": file.name,
        "size": file.bytes.len(),
        "file_md5": null,
        "file_sha1": "0".repeat(40),
        "file_sha256": file.sha256,
    })
}

fn written(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
