//! Set me up: the lines that make each tool use this larder, with the right address and
//! placeholders for what is secret.
//!
//! Pure. The token is never more than a placeholder, whatever its reader may see. Must not know HTML.

use super::address::Origin;
use crate::registry::{AdminEndpoint, PageRef, Route, Scope, ScopeKind};

/// In place of the token that a person puts in.
const TOKEN: &str = "YOUR_TOKEN";

/// The user name that GitLab takes with any token.
const USER: &str = "__token__";

/// What a person chose in the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub kind: ScopeKind,
    /// As it was typed; empty if nothing was.
    pub id: String,
    /// Why the id is none, in words.
    pub fault: Option<&'static str>,
    scope: Scope,
}

/// One tool's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    /// For the addresses of elements: one lower-case word.
    pub key: &'static str,
    pub name: &'static str,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub what: String,
    /// None where there is nothing to copy.
    pub lines: Option<String>,
}

impl Choice {
    /// Reads the form's fields. What is not understood stands as a placeholder, with a word about
    /// it.
    pub(super) fn read(kind: Option<&str>, id: Option<&str>, mirrors: &[Scope]) -> Option<Self> {
        let id = id.unwrap_or_default().trim();
        let kind = match kind {
            Some("group") => ScopeKind::Group,
            Some("mirror") if !mirrors.is_empty() => ScopeKind::Mirror,
            _ => ScopeKind::Project,
        };
        let placeholder = match kind {
            ScopeKind::Project => "PROJECT_ID",
            ScopeKind::Group => "GROUP_ID",
            ScopeKind::Mirror => "",
        };
        let spelled = id.trim_matches('/').replace('/', "%2F");
        let chosen = Scope::parse(kind, &spelled)
            .filter(|scope| !scope.is_mirror() || mirrors.contains(scope))
            .or_else(|| {
                mirrors
                    .first()
                    .filter(|_| kind == ScopeKind::Mirror)
                    .cloned()
            });
        let sound = id.is_empty() || Scope::parse(kind, &spelled).is_some();
        let fault = match kind {
            _ if sound => None,
            ScopeKind::Mirror => Some("no mirror of this name is configured"),
            _ => Some("an ID is a number, or the full path such as acme/widgets"),
        };
        let scope = chosen.or_else(|| Scope::parse(kind, placeholder))?;
        Some(Self {
            kind,
            id: id.to_owned(),
            fault,
            scope,
        })
    }

    pub(super) fn word(&self) -> &'static str {
        match self.kind {
            ScopeKind::Project => "project",
            ScopeKind::Group => "group",
            ScopeKind::Mirror => "mirror",
        }
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// The lines for every tool.
pub(super) fn tools(origin: &Origin, choice: &Choice) -> Vec<Tool> {
    let scope = choice.scope().clone();
    let index = Route::Page(PageRef::index(scope.clone())).path();
    let upload = (choice.kind == ScopeKind::Project).then(|| Route::Upload { scope }.path());
    let lines = Lines {
        origin,
        index,
        upload,
        open: choice.kind == ScopeKind::Mirror,
    };
    vec![
        lines.pip(),
        lines.uv(),
        lines.poetry(),
        lines.twine(),
        lines.gitlab_ci(),
        lines.docker(),
    ]
}

struct Lines<'o> {
    origin: &'o Origin,
    index: String,
    /// Where uploads go; only a project takes them.
    upload: Option<String>,
    /// No login is needed.
    open: bool,
}

impl Lines<'_> {
    fn index(&self) -> String {
        self.origin.with(&self.index)
    }

    /// Pip ignores an index that it takes for insecure.
    fn trust(&self) -> Option<Step> {
        let insecure = !self.origin.is_secure() && !self.origin.is_loopback();
        insecure.then(|| {
            Step::lines(
                "This address is plain http: tell pip that you trust it",
                format!(
                    "pip config set global.trusted-host {}",
                    self.origin.authority()
                ),
            )
        })
    }

    fn netrc(&self) -> Option<Step> {
        (!self.open).then(|| {
            Step::lines(
                "The token, once, in ~/.netrc (only you may read it: chmod 600 ~/.netrc)",
                format!(
                    "machine {} login {USER} password {TOKEN}",
                    self.origin.host()
                ),
            )
        })
    }

    fn pip(&self) -> Tool {
        let mut steps = vec![Step::lines(
            "Use this index from now on",
            format!("pip config set global.index-url {}", self.index()),
        )];
        steps.extend(self.netrc());
        steps.extend(self.trust());
        let once = format!("pip install --index-url {} PACKAGE", self.index());
        steps.push(Step::lines("Or only this once", once));
        Tool {
            key: "pip",
            name: "pip",
            steps,
        }
    }

    fn uv(&self) -> Tool {
        let always = if self.open {
            ""
        } else {
            "\nauthenticate = \"always\""
        };
        let index = format!(
            "[[tool.uv.index]]\nname = \"larder\"\nurl = \"{}\"\ndefault = true{always}",
            self.index()
        );
        let mut steps = vec![Step::lines(
            "In pyproject.toml, if every machine that installs reaches this address: uv.lock will name it",
            index,
        )];
        if !self.open {
            steps.push(Step::lines(
                "The token, in the environment",
                format!("export UV_INDEX_LARDER_USERNAME={USER}\nexport UV_INDEX_LARDER_PASSWORD={TOKEN}"),
            ));
        }
        steps.push(Step::lines(
            "Else lock without larder, and have it lead the lock here before you install",
            self.rewrite_lock(),
        ));
        if let Some(upload) = &self.upload {
            steps.push(Step::lines(
                "Publish",
                format!(
                    "uv publish --publish-url {} \\\n    --username {USER} --password {TOKEN}",
                    self.origin.with(upload)
                ),
            ));
        }
        Tool {
            key: "uv",
            name: "uv",
            steps,
        }
    }

    /// A lock that names other addresses, led to this one.
    fn rewrite_lock(&self) -> String {
        let path = Route::Admin(AdminEndpoint::RewriteLock).path();
        let rewriter = self.origin.with(&path);
        let to = self.origin.with("");
        format!("curl -sSf --data-binary @uv.lock \"{rewriter}?to={to}\" -o uv.lock")
    }

    fn poetry(&self) -> Tool {
        let source = format!(
            "poetry source add --priority=primary larder {}",
            self.index()
        );
        let mut steps = vec![Step::lines("Use this index in a project", source)];
        if !self.open {
            let login = format!("poetry config http-basic.larder {USER} {TOKEN}");
            steps.push(Step::lines("The token", login));
        }
        if let Some(upload) = &self.upload {
            steps.push(Step::lines(
                "Publish",
                format!(
                    "poetry config repositories.larder-upload {}\npoetry config http-basic.larder-upload {USER} {TOKEN}\n\
                     poetry publish --build --repository larder-upload",
                    self.origin.with(upload)
                ),
            ));
        }
        Tool {
            key: "poetry",
            name: "Poetry",
            steps,
        }
    }

    fn twine(&self) -> Tool {
        let steps = match &self.upload {
            Some(upload) => {
                let file = format!(
                    "[distutils]\nindex-servers = larder\n\n[larder]\nrepository = {}\nusername = {USER}\npassword = {TOKEN}",
                    self.origin.with(upload)
                );
                vec![
                    Step::lines("In ~/.pypirc (chmod 600 ~/.pypirc)", file),
                    Step::lines("Upload", "twine upload --repository larder dist/*".to_owned()),
                ]
            }
            None => vec![Step {
                what: "Packages are uploaded to a project. Choose one above; a group or a mirror takes none."
                    .to_owned(),
                lines: None,
            }],
        };
        Tool {
            key: "twine",
            name: "twine",
            steps,
        }
    }

    fn gitlab_ci(&self) -> Tool {
        let login = "gitlab-ci-token:${CI_JOB_TOKEN}";
        let index = if self.open {
            self.index()
        } else {
            self.origin.with_login(login, &self.index)
        };
        let mut lines =
            format!("variables:\n  PIP_INDEX_URL: \"{index}\"\n  UV_DEFAULT_INDEX: \"{index}\"");
        if !self.origin.is_secure() && !self.origin.is_loopback() {
            lines.push_str("\n  PIP_TRUSTED_HOST: \"");
            lines.push_str(self.origin.authority());
            lines.push('"');
        }
        let mut steps = vec![Step::lines(
            "In .gitlab-ci.yml; the job's own token is used",
            lines,
        )];
        steps.push(Step::lines(
            "A job with a uv.lock of other addresses, which uv would refuse (--locked) or follow past larder (--frozen)",
            format!(
                "install:\n  script:\n    - {}\n    - uv sync --locked",
                self.rewrite_lock()
            ),
        ));
        if let Some(upload) = &self.upload {
            steps.push(Step::lines(
                "A job that publishes",
                format!(
                    "publish:\n  variables:\n    TWINE_USERNAME: gitlab-ci-token\n    TWINE_PASSWORD: $CI_JOB_TOKEN\n  \
                     script:\n    - twine upload --repository-url {} dist/*",
                    self.origin.with(upload)
                ),
            ));
        }
        Tool {
            key: "ci",
            name: "GitLab CI",
            steps,
        }
    }

    fn docker(&self) -> Tool {
        let index = if self.open {
            self.index()
        } else {
            self.origin
                .with_login(&format!("{USER}:{TOKEN}"), &self.index)
        };
        let mut steps = vec![
            Step::lines(
                "In the Dockerfile; the address with its token is a secret of the build and in no layer",
                "# syntax=docker/dockerfile:1\nRUN --mount=type=secret,id=index,env=PIP_INDEX_URL \\\n    pip install PACKAGE"
                    .to_owned(),
            ),
            Step::lines(
                "Build",
                format!("PIP_INDEX_URL={index} \\\n    docker build --secret id=index,env=PIP_INDEX_URL ."),
            ),
        ];
        if self.origin.is_loopback() {
            steps.push(Step {
                what: "This address is the machine itself, which a container does not see: build with --network=host, or \
                       open this page under the address that containers can reach."
                    .to_owned(),
                lines: None,
            });
        }
        Tool {
            key: "docker",
            name: "Docker",
            steps,
        }
    }
}

impl Step {
    fn lines(what: &str, lines: String) -> Self {
        Self {
            what: what.to_owned(),
            lines: Some(lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(host: &str, kind: &str, id: &str) -> String {
        let mirrors: Vec<Scope> = Scope::mirror("pypi").into_iter().collect();
        let choice = Choice::read(Some(kind), Some(id), &mirrors).expect("a choice");
        let origin = Origin::find("", Some(host), false, None);
        let tools = tools(&origin, &choice);
        let lines = tools
            .iter()
            .flat_map(|tool| &tool.steps)
            .filter_map(|step| step.lines.clone());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_scope_has_its_own_addresses() {
        let project = all("l.example", "project", "acme/widgets");
        assert!(
            project
                .contains("http://l.example/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/"),
            "{project}"
        );
        assert!(project.contains("twine upload") && project.contains("trusted-host l.example"));
        let group = all("127.0.0.1:3141", "group", "");
        assert!(
            group.contains("/api/v4/groups/GROUP_ID/-/packages/pypi/simple/"),
            "{group}"
        );
        assert!(
            !group.contains("twine upload") && !group.contains("trusted"),
            "{group}"
        );
        for lines in [&project, &group] {
            assert!(lines.contains("/-/rewrite-lock?to=http://"), "{lines}");
        }
        let mirror = all("l.example", "mirror", "pypi");
        assert!(
            mirror.contains("http://l.example/pypi/simple/") && !mirror.contains(TOKEN),
            "{mirror}"
        );
    }

    #[test]
    fn what_is_no_id_is_said_to_be_none_and_stands_in_no_line() {
        for id in ["acme widgets", "../x", "$(id)", "\"><script>"] {
            let choice = Choice::read(Some("project"), Some(id), &[]).expect("a choice");
            assert!(choice.fault.is_some(), "{id}");
            assert_eq!(choice.scope().to_string(), "projects/PROJECT_ID");
        }
        assert_eq!(
            Choice::read(Some("mirror"), Some("x"), &[]).map(|choice| choice.word()),
            Some("project")
        );
        let known: Vec<Scope> = Scope::mirror("pypi").into_iter().collect();
        let choice = Choice::read(Some("mirror"), Some("other"), &known).expect("a choice");
        assert_eq!(choice.scope().to_string(), "pypi");
    }

    proptest! {
        #[test]
        fn no_input_gets_past_the_alphabet_of_addresses(id in "\\PC{0,30}", kind in "project|group|mirror|x") {
            let choice = Choice::read(Some(&kind), Some(&id), &[]).expect("a choice");
            let scope = choice.scope().to_string();
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '%' | '/');
            prop_assert!(scope.chars().all(known), "{}", scope);
        }
    }
}
