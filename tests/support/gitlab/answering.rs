//! GitLab's answer to each reading route.

use std::io::Write as _;

use super::super::http::entity::Entity;
use super::super::http::{Answer, Head};
use super::super::wheel::normalise;
use super::access::{self, Caller, Intent, Rights};
use super::object_store;
use super::packages::PackagesApi;
use super::pages;
use super::request::{Route, Scope};
use super::settings::{Settings, Storage};
use super::state::State;
use super::universe::{Package, Project, StoredFile, Universe};

/// Everything but uploads.
pub(super) fn answer(state: &State, request: &Head, route: &Route) -> Answer {
    let settings = state.settings();
    if let Some(retry_after) = settings.throttle {
        return Answer::throttled(retry_after);
    }
    match (request.method.as_str(), route) {
        ("GET" | "HEAD", Route::Upload { .. }) => {
            return Answer::error(400, "package_id is invalid");
        }
        ("GET" | "HEAD", _) if *route != Route::Authorize => {}
        ("POST", Route::Authorize) => return Answer::forbidden(),
        ("OPTIONS", _) => return Answer::new(204).header("Allow", route.methods()),
        _ => return Answer::error(405, "405 Not Allowed").header("Allow", route.methods()),
    }
    let universe = state.universe();
    let reading = Reading {
        state,
        settings: &settings,
        universe: &universe,
        request,
    };
    let answer = reading.answer(route).unwrap_or_else(|refusal| refusal);
    if settings.gzip {
        compressed(answer, request)
    } else {
        answer
    }
}

/// One GET or HEAD with all that it is decided by.
struct Reading<'a> {
    state: &'a State,
    settings: &'a Settings,
    universe: &'a Universe,
    request: &'a Head,
}

/// What a caller sees of a scope: its name, its address, its packages in the order of upload.
struct View<'a> {
    title: &'a str,
    /// The registry's URL, up to and with `pypi`.
    prefix: String,
    packages: Vec<&'a Package>,
}

impl<'a> Reading<'a> {
    fn answer(&self, route: &Route) -> Result<Answer, Answer> {
        match route {
            Route::Index(scope) => self.index(scope),
            Route::Page(scope, name) => self.page(scope, name),
            Route::File {
                scope,
                sha256,
                filename,
            } => self.file(scope, sha256, filename),
            Route::Forward {
                project,
                name,
                rest,
            } => self.forward(project, name, rest),
            Route::Version => self.version(),
            Route::Packages(scope) => self.packages_api().packages(scope),
            Route::PackageFiles { project, package } => self.packages_api().files(project, package),
            Route::Upload { .. } | Route::Authorize => Err(Answer::not_found()),
        }
    }

    fn packages_api(&self) -> PackagesApi<'a> {
        PackagesApi {
            universe: self.universe,
            settings: self.settings,
            request: self.request,
        }
    }

    /// For whoever is known.
    fn version(&self) -> Result<Answer, Answer> {
        match access::identify(self.universe, self.request, Intent::Read)? {
            Caller::Known(_) => Ok(Answer::new(200)
                .header("Content-Type", "application/json")
                .body(r#"{"version":"17.5.0-ee","revision":"0123abc"}"#)),
            Caller::Anonymous => Err(Answer::unauthorized()),
        }
    }

    fn index(&self, scope: &Scope) -> Result<Answer, Answer> {
        let view = self.view(scope)?;
        Ok(if self.wants_json() {
            self.json_page(pages::index_json(&view.packages))
        } else {
            self.html_page(&pages::index_html(view.title, &view.prefix, &view.packages))
        })
    }

    fn page(&self, scope: &Scope, name: &str) -> Result<Answer, Answer> {
        if name.split('/').any(|segment| segment == "..") {
            return Err(Answer::error(
                400,
                "package_name should be a valid file path",
            ));
        }
        let mut view = self.view(scope)?;
        let wanted = name.to_lowercase();
        view.packages
            .retain(|package| normalise(&package.name) == wanted);
        if view.packages.is_empty() {
            return Ok(self.missing_package(scope, &view.prefix, name));
        }
        let status = self.universe.status.get(&wanted);
        Ok(if self.wants_json() {
            let page = pages::package_json(&view.prefix, &view.packages);
            self.json_page(pages::with_status_json(page, status))
        } else {
            let page = pages::package_html(&view.prefix, &view.packages);
            self.html_page(&pages::with_status_html(page, status))
        })
    }

    fn missing_package(&self, scope: &Scope, prefix: &str, name: &str) -> Answer {
        if self.settings.firewall && matches!(scope, Scope::Project(_)) {
            let host = self.public_files_host();
            return Answer::new(200)
                .header("Content-Type", "text/html")
                .header("Content-Disposition", "attachment")
                .header("Vary", "Accept")
                .header("ETag", "\"public-index-etag\"")
                .body(pages::firewall_html(prefix, host, name));
        }
        if self.settings.forwarding {
            let location = format!("{}/simple/{name}/", self.settings.public_index);
            return Answer::redirect(&location, self.request.is_head());
        }
        Answer::package_not_found()
    }

    fn forward(&self, project: &str, name: &str, rest: &str) -> Result<Answer, Answer> {
        let project = self
            .universe
            .find_project(project)
            .ok_or_else(Answer::not_found)?;
        self.permitted(|rights| rights.read_project(project))?;
        let rest = rest
            .strip_prefix(self.public_files_host())
            .filter(|rest| rest.contains(name));
        match rest {
            Some(path) if self.settings.firewall => {
                let location = format!("{}{path}", self.settings.public_files);
                Ok(Answer::redirect(&location, self.request.is_head()))
            }
            _ => Err(Answer::error(404, "404 Not Found")),
        }
    }

    fn file(&self, scope: &Scope, sha256: &str, filename: &str) -> Result<Answer, Answer> {
        let (packages, not_found): (Vec<&Package>, _) = match scope {
            Scope::Project(id) => {
                let project = self
                    .universe
                    .find_project(id)
                    .ok_or_else(Answer::not_found)?;
                self.permitted(|rights| rights.read_project(project))?;
                (
                    project.packages.iter().collect(),
                    Answer::package_not_found(),
                )
            }
            // Every project of the group counts, also those the caller may not see.
            Scope::Group(id) => {
                let group = self.universe.find_group(id).ok_or_else(Answer::not_found)?;
                self.permitted(|rights| rights.read_group(group))?;
                let packages = self
                    .universe
                    .projects_below(group)
                    .flat_map(|project| &project.packages);
                (packages.collect(), Answer::message(404, "404 Not found"))
            }
        };
        // The package is found by name and digest, then its last file of that name is taken.
        let holds = |file: &&StoredFile| file.name == filename && file.sha256 == sha256;
        let package = packages
            .into_iter()
            .find(|package| package.files.iter().any(|file| holds(&file)));
        let file =
            package.and_then(|package| package.files.iter().rfind(|file| file.name == filename));
        let file = file.ok_or(not_found)?;
        if file.lost {
            return Err(Answer::not_found());
        }
        Ok(match self.settings.storage {
            Storage::Disk => self.off_disk(file),
            Storage::Redirect => self.to_store(file),
            Storage::Proxied => object_store::serve(file, self.request)
                .header("Cache-Control", "no-cache")
                .by_rails(),
        })
    }

    fn off_disk(&self, file: &StoredFile) -> Answer {
        let entity = Entity {
            bytes: &file.bytes,
            etag: None,
            modified: file.modified,
            content_type: "application/octet-stream",
        };
        entity
            .answer(self.request)
            .header(
                "Content-Disposition",
                format!(
                    "attachment; filename=\"{0}\"; filename*=UTF-8''{0}",
                    file.name
                ),
            )
            .header("Content-Transfer-Encoding", "binary")
            .header("Cache-Control", "no-cache")
            .by_rails()
    }

    fn to_store(&self, file: &StoredFile) -> Answer {
        let head = self.request.is_head();
        let method = if head && self.settings.sign_head {
            "HEAD"
        } else {
            "GET"
        };
        let url = self.state.signatures.sign(
            &self.state.store_url,
            method,
            file,
            self.settings.signed_for,
        );
        Answer::redirect(&url, head)
    }

    /// What the caller may see of a scope, or the refusal.
    fn view(&self, scope: &Scope) -> Result<View<'a>, Answer> {
        let base = self
            .settings
            .external_url
            .as_deref()
            .unwrap_or(&self.state.own_url);
        match scope {
            Scope::Project(id) => {
                let project = self
                    .universe
                    .find_project(id)
                    .ok_or_else(Answer::not_found)?;
                self.permitted(|rights| rights.read_project(project))?;
                let prefix = format!("{base}/api/v4/projects/{}/packages/pypi", project.id);
                Ok(View {
                    title: last_segment(&project.path),
                    prefix,
                    packages: packages_of([project]),
                })
            }
            Scope::Group(id) => {
                let group = self.universe.find_group(id).ok_or_else(Answer::not_found)?;
                let caller = access::identify(self.universe, self.request, Intent::Read)?;
                let rights = self.rights(&caller);
                rights.read_group(group)?;
                let visible = self
                    .universe
                    .projects_below(group)
                    .filter(|project| rights.read_project(project).is_ok());
                let prefix = format!("{base}/api/v4/groups/{}/-/packages/pypi", group.id);
                Ok(View {
                    title: last_segment(&group.path),
                    prefix,
                    packages: packages_of(visible),
                })
            }
        }
    }

    fn permitted(
        &self,
        check: impl FnOnce(&Rights<'_>) -> Result<(), Answer>,
    ) -> Result<(), Answer> {
        let caller = access::identify(self.universe, self.request, Intent::Read)?;
        check(&self.rights(&caller))
    }

    fn rights<'b>(&'b self, caller: &'b Caller) -> Rights<'b> {
        Rights {
            universe: self.universe,
            settings: self.settings,
            caller,
        }
    }

    fn wants_json(&self) -> bool {
        self.settings.pep691 && pages::wants_json(self.request.header("Accept"))
    }

    fn html_page(&self, html: &str) -> Answer {
        let spaces = if self.settings.leading_spaces {
            "        "
        } else {
            ""
        };
        self.any_page(pages::HTML, format!("{spaces}{html}"))
    }

    fn json_page(&self, json: String) -> Answer {
        self.any_page(pages::JSON, json)
    }

    fn any_page(&self, content_type: &str, body: String) -> Answer {
        let answer = Answer::page(
            content_type,
            body,
            self.request.header("If-None-Match"),
            self.request.is_head(),
        );
        if self.settings.pep691 {
            answer.header("Vary", "Accept")
        } else {
            answer
        }
    }

    fn public_files_host(&self) -> &str {
        self.settings
            .public_files
            .split_once("://")
            .map_or("", |(_, host)| host)
    }
}

fn packages_of<'a>(projects: impl IntoIterator<Item = &'a Project>) -> Vec<&'a Package> {
    let mut packages: Vec<&Package> = projects
        .into_iter()
        .flat_map(|project| &project.packages)
        .collect();
    packages.sort_by_key(|package| package.id);
    packages
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What nginx in front does to a page.
fn compressed(mut answer: Answer, request: &Head) -> Answer {
    let a_page = answer
        .header_value("Content-Type")
        .is_some_and(|kind| kind.starts_with("text/html") || kind.contains("json"));
    if answer.status != 200
        || !a_page
        || answer.length_unsaid
        || !request.header_contains("Accept-Encoding", "gzip")
    {
        return answer;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&answer.body).expect("writing to memory");
    answer.body = encoder.finish().expect("writing to memory").into();
    answer
        .header("Content-Encoding", "gzip")
        .header("Vary", "Accept-Encoding")
}
