//! R34: what is refused is refused on every path: each kind of address × method × format × cold, warm, stale and
//! offline × each policy, quarantine, private names and a mirror's audience.
//!
//! * A row for each kind of address: [`row`], which does not compile when a kind is added without one; and each row
//!   must be met by an address of [`Sweep::addresses`].
//! * A column for each thing that is refused: [`columns`]. A mirror's audience is about callers: [`OUTSIDERS`].
//! * What is listed and given where: [`PLACES`].

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use http::{Method, Uri};
use larder::registry::{AdminEndpoint, OsvRequest, Route};
use rustix::process::Signal;

use super::policy::{FILES, PROJECT, Word, World, artifact, asked, days_ago, offer};
use crate::common::mirror::{FORMATS, HTML, JSON, names};
use crate::support::larder::Builder;
use crate::support::{
    Artifact, Client, Distribution, Larder, NewFile, Offer, Place as Member, ProjectStatus,
    PublicIndex, Reply, Role, Visibility, path, token,
};

/// Names each kind once, so that none is left out of the list.
macro_rules! rows {
    ($($row:ident),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        enum Row { $($row),+ }
        const ROWS: &[Row] = &[$(Row::$row),+];
    };
}

rows! {
    List, Page, ProjectPage, File, Metadata, MirrorFile, MirrorMetadata, Upload, OsvQuery, OsvQueryBatch, OsvRecord,
    Live, Ready, Metrics, Root, Home, Status, Find, RewriteLock, Options,
}

fn row(route: &Route) -> Row {
    match route {
        Route::Page(page) if page.name.is_none() => Row::List,
        Route::Page(_) => Row::Page,
        Route::ProjectPage(_) => Row::ProjectPage,
        Route::File(_) => Row::File,
        Route::Metadata(_) => Row::Metadata,
        Route::Mirrored(path) if path.metadata_of().is_some() => Row::MirrorMetadata,
        Route::Mirrored(_) => Row::MirrorFile,
        Route::Upload { .. } => Row::Upload,
        Route::Osv(request) => match request {
            OsvRequest::Query => Row::OsvQuery,
            OsvRequest::QueryBatch => Row::OsvQueryBatch,
            OsvRequest::Record(_) => Row::OsvRecord,
        },
        Route::Admin(endpoint) => match endpoint {
            AdminEndpoint::Live => Row::Live,
            AdminEndpoint::Ready => Row::Ready,
            AdminEndpoint::Metrics => Row::Metrics,
            AdminEndpoint::Root => Row::Root,
            AdminEndpoint::Home => Row::Home,
            AdminEndpoint::Status => Row::Status,
            AdminEndpoint::Find => Row::Find,
            AdminEndpoint::RewriteLock => Row::RewriteLock,
            AdminEndpoint::Options => Row::Options,
        },
    }
}

/// A file, and what is said of it at GitLab and at mirrors. To add a policy, add its file here; what a stand-in has
/// to say of it, [`Sweep::new`] has it say.
#[derive(Clone, Debug)]
struct Column {
    project: &'static str,
    artifact: Artifact,
    at_gitlab: Verdict,
    at_mirrors: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Given,
    /// By its own words; its project's page is given without it.
    LeftOut(&'static str),
    /// With all files of its project, whose page says so.
    Quarantined,
    /// With its project's page.
    Private,
}

impl From<Word> for Verdict {
    fn from(word: Word) -> Self {
        match word {
            Word::Given => Self::Given,
            Word::Refused(words) => Self::LeftOut(words),
        }
    }
}

const PRIVATE: &str = "acme-tool";
const FROZEN: &str = "frozen-lib";

/// The versions that were there before the policies, of the projects with one version.
fn single(spelled: &str) -> Artifact {
    Distribution::new(spelled, "1.0").payload(20_000).wheel()
}

fn columns() -> Vec<Column> {
    let mut columns = Vec::new();
    for (version, at_gitlab, at_mirrors) in FILES {
        columns.push(Column {
            project: PROJECT,
            artifact: artifact(version),
            at_gitlab: at_gitlab.into(),
            at_mirrors: at_mirrors.into(),
        });
    }
    columns.push(Column {
        project: PRIVATE,
        artifact: single("Acme.Tool"),
        at_gitlab: Verdict::Given,
        at_mirrors: Verdict::Private,
    });
    columns.push(Column {
        project: FROZEN,
        artifact: single("frozen.lib"),
        at_gitlab: Verdict::Quarantined,
        at_mirrors: Verdict::Quarantined,
    });
    columns
}

const PROJECTS: [&str; 3] = [PROJECT, PRIVATE, FROZEN];

/// Whose packages a place gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    GitLab,
    Mirror,
    /// With an audience.
    Licensed,
}

/// A scope or a view, with pages, and perhaps files.
#[derive(Clone, Copy, Debug)]
struct Place {
    scope: &'static str,
    source: Source,
    has_files: bool,
    /// GitLab is asked first, each time.
    in_gitlabs_place: bool,
}

const fn place(scope: &'static str, source: Source, has_files: bool) -> Place {
    Place {
        scope,
        source,
        has_files,
        in_gitlabs_place: false,
    }
}

const PLACES: [Place; 9] = [
    place("projects/42", Source::GitLab, true),
    place("groups/7", Source::GitLab, true),
    place("pypi", Source::Mirror, true),
    place("licensed", Source::Licensed, true),
    place("ours", Source::GitLab, false),
    place("others", Source::Mirror, false),
    place("seats", Source::Licensed, false),
    Place {
        in_gitlabs_place: true,
        ..place("projects/44", Source::Mirror, false)
    },
    Place {
        in_gitlabs_place: true,
        ..place("last", Source::Mirror, false)
    },
];

const VIEWS: &str = "[[views]]\nname = \"ours\"\nsources = [\"groups/7\", \"pypi\"]\n\
     [[views]]\nname = \"others\"\nsources = [\"pypi\"]\n\
     [[views]]\nname = \"seats\"\nsources = [\"licensed\"]\n\
     [[views]]\nname = \"last\"\nsources = [\"projects/44\"]\n";

/// Callers that are not in the audience of `licensed`.
const OUTSIDERS: [Option<&str>; 2] = [Some(token::DEVELOPER), None];

impl Place {
    fn list(self) -> String {
        match self.scope.split_once('/') {
            Some(("projects", id)) => format!("/api/v4/projects/{id}/packages/pypi/simple/"),
            Some((_, id)) => format!("/api/v4/groups/{id}/-/packages/pypi/simple/"),
            None => format!("/{}/simple/", self.scope),
        }
    }

    fn page(self, project: &str) -> String {
        format!("{}{project}/", self.list())
    }

    fn project_page(self, project: &str) -> String {
        let kind = if self.scope.contains('/') {
            ""
        } else {
            "mirrors/"
        };
        format!("/-/{kind}{}/{project}", self.scope)
    }

    fn file(self, sweep: &Sweep, artifact: &Artifact) -> String {
        let index = match self.source {
            Source::GitLab if self.scope == "groups/7" => return path::group_file(7, artifact),
            Source::GitLab => return path::project_file(42, artifact),
            Source::Mirror => &sweep.world.index,
            Source::Licensed => &sweep.licensed,
        };
        format!("/{}/{}", self.scope, index.file_path(&artifact.filename))
    }

    fn verdict(self, column: &Column) -> Verdict {
        match self.source {
            Source::GitLab => column.at_gitlab,
            Source::Mirror | Source::Licensed => column.at_mirrors,
        }
    }

    /// A refusal names the key of the mirror that has the file.
    fn said(self, words: &str) -> String {
        match self.source {
            Source::Licensed => words.replace("mirrors.pypi", "mirrors.licensed"),
            Source::GitLab | Source::Mirror => words.to_owned(),
        }
    }
}

/// What an address is about.
#[derive(Clone, Debug)]
enum About {
    Nothing,
    Names(Place),
    Project(Place, &'static str),
    File(Place, Box<Column>),
}

/// What larder has, and whom it can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Cold,
    Warm,
    /// Nothing upstream answers; what is here was asked for by this process.
    Stale,
    /// Nothing upstream answers since before the policies were set, by a reload.
    Reloaded,
    Offline,
}

impl State {
    /// Whether nothing given will do as well: what only upstream can tell is not known.
    fn may_lack(self, place: Place) -> bool {
        match self {
            Self::Cold | Self::Warm | Self::Offline => false,
            Self::Stale => place.in_gitlabs_place,
            Self::Reloaded => true,
        }
    }
}

struct Sweep {
    world: World,
    licensed: PublicIndex,
    columns: Vec<Column>,
    /// Of pages without policies.
    tags: RefCell<HashMap<(String, &'static str), String>>,
}

impl Sweep {
    fn new() -> Self {
        let world = World::new();
        let licensed = PublicIndex::start();
        for (version, ..) in FILES {
            licensed.publish(offer(version));
        }
        let month_ago = days_ago(30);
        let text = humantime::format_rfc3339_seconds(month_ago).to_string();
        for wheel in [single("Acme.Tool"), single("frozen.lib")] {
            for index in [&licensed, &world.index] {
                index.publish(Offer::from(&wheel).uploaded(&text));
            }
            let uploaded = NewFile::from(&wheel).uploaded(month_ago);
            world.gitlab.publish(42, uploaded);
        }
        world.gitlab.change(|universe| {
            universe.add_group(20, "licensed", Visibility::Private);
            universe.add_project(60, "licensed/seat", Visibility::Private);
            universe.grant(token::READER, Member::Group(20), Role::Reporter);
        });
        Self {
            world,
            licensed,
            columns: columns(),
            tags: RefCell::default(),
        }
    }

    /// With nothing but where everything is, or with all that refuses something.
    fn larder(&self, has_policies: bool, auth: &str) -> Builder {
        let (top, lines) = match has_policies {
            true => (
                "private_packages = [\"acme-*\"]",
                "audience = \"groups/20\"\nmin_age = \"7d\"",
            ),
            false => ("", ""),
        };
        self.world
            .larder(has_policies, top)
            .mirror_with(
                "licensed",
                &self.licensed,
                &format!("ttl = \"0s\"\n{lines}"),
            )
            .sections(VIEWS)
            .sections(&format!("[auth]\ncache_ttl = \"300s\"\n{auth}"))
    }

    /// From now on the indexes report each question about a private name, and a project is
    /// quarantined.
    fn begin(&self) {
        let status = ProjectStatus {
            status: "quarantined",
            reason: None,
        };
        for index in [&self.world.index, &self.licensed] {
            let said = status.clone();
            index.change(|catalogue| catalogue.status.insert(FROZEN.to_owned(), said));
        }
        let said = (FROZEN.to_owned(), status);
        let gitlab = &self.world.gitlab;
        gitlab.change(|universe| universe.status.insert(said.0, said.1));
        for index in [&self.world.index, &self.licensed] {
            index.log().clear();
            index.declare_private(&["acme-*"]);
        }
    }

    fn stop(&self) {
        self.assert_innocent();
        self.world.gitlab.stop();
        self.world.index.stop();
        self.licensed.stop();
    }

    fn assert_innocent(&self) {
        for index in [&self.world.index, &self.licensed] {
            index.log().assert_nothing_unexpected();
            index.assert_never_told(&[token::READER, token::DEVELOPER]);
        }
    }

    /// Every file and page of every place is cached, by a larder without policies.
    fn fill(&self, larder: &Larder) {
        let client = larder.client().token(token::READER);
        for place in PLACES {
            for accept in FORMATS {
                client.get_with(&place.list(), &[("Accept", accept)]);
            }
            for project in PROJECTS {
                let all = self.columns.iter().filter(|known| known.project == project);
                let all = all.count();
                for accept in FORMATS {
                    let page = place.page(project);
                    let shown = client.get_with(&page, &[("Accept", accept)]);
                    assert_eq!(names(&shown).len(), all, "{page} {accept}: {shown:?}");
                    let tag = shown.header("ETag").unwrap_or_default().to_owned();
                    self.tags.borrow_mut().insert((page, accept), tag);
                }
            }
            for column in self.columns.iter().filter(|_| place.has_files) {
                let address = place.file(self, &column.artifact);
                client.get(&address).expect(200);
                client.get(&format!("{address}.metadata")).expect(200);
            }
        }
        // Something of the project that has none of these.
        client.get(&path::project_page(44, "gear")).expect(200);
        let gear = Distribution::new("gear", "0.3").wheel();
        client.get(&path::project_file(44, &gear)).expect(200);
    }

    fn addresses(&self) -> Vec<(String, About)> {
        let mut addresses = Vec::new();
        for place in PLACES {
            addresses.push((place.list(), About::Names(place)));
            for project in PROJECTS {
                let about = About::Project(place, project);
                addresses.push((place.page(project), about.clone()));
                addresses.push((place.project_page(project), about));
            }
            if !place.has_files {
                continue;
            }
            for column in &self.columns {
                let about = About::File(place, Box::new(column.clone()));
                let address = place.file(self, &column.artifact);
                addresses.push((format!("{address}.metadata"), about.clone()));
                addresses.push((address, about));
            }
        }
        for own in [
            &path::upload(42),
            "/-/osv/v1/query",
            "/-/osv/v1/querybatch",
            "/-/osv/v1/vulns/MAL-2026-6",
            "/-/health/live",
            "/-/health/ready",
            "/-/metrics",
            "/",
            "/-/",
            "/-/status",
            "/-/find?project=some-lib",
            "/-/rewrite-lock",
            "*",
        ] {
            addresses.push((own.to_owned(), About::Nothing));
        }
        addresses
    }

    /// Asks every address of everything in every way.
    fn hold(&self, larder: &Larder, state: State) {
        let reader = larder.client().token(token::READER);
        let mut met = BTreeSet::new();
        for (address, about) in self.addresses() {
            let row = row(&parse(&address));
            met.insert(row);
            let case = format!("{state:?}: {row:?} {address}");
            match (row, &about) {
                (Row::List, About::Names(place)) => {
                    self.hold_list(&reader, &address, *place, state, &case);
                }
                (Row::Page, About::Project(place, project)) => {
                    self.hold_page(&reader, *place, project, state, &case);
                }
                (Row::ProjectPage, About::Project(place, project)) => {
                    self.hold_project_page(&reader, *place, project, state, &case);
                }
                (
                    Row::File | Row::Metadata | Row::MirrorFile | Row::MirrorMetadata,
                    About::File(place, column),
                ) => self.hold_file(&reader, &address, *place, column, state),
                _ => self.assert_tells_nothing(&reader, &address, row, &case),
            }
            if state == State::Cold {
                self.assert_other_methods_tell_nothing(&reader, &address, row, &case);
            }
            if about.is_licensed() {
                for outsider in OUTSIDERS {
                    let client = match outsider {
                        Some(secret) => larder.client().token(secret),
                        None => larder.client(),
                    };
                    self.assert_given_nothing(&client, &address, state, &case);
                }
            }
        }
        let met: Vec<_> = met.into_iter().collect();
        assert_eq!(met, ROWS, "a row without an address of its kind");
    }

    fn hold_list(&self, client: &Client, address: &str, place: Place, state: State, case: &str) {
        for accept in FORMATS {
            let reply = client.get_with(address, &[("Accept", accept)]);
            if lacks(&reply, state, place, PRIVATE) {
                continue;
            }
            reply.expect(200);
            let text = reply.text();
            let lists_private = text.contains(PRIVATE) || text.contains("Acme.Tool");
            let expected = place.source == Source::GitLab;
            assert_eq!(lists_private, expected, "{case} {accept}: {text}");
        }
    }

    fn hold_page(
        &self,
        client: &Client,
        place: Place,
        project: &'static str,
        state: State,
        case: &str,
    ) {
        let given = self.given(place, project);
        let page = place.page(project);
        for accept in FORMATS {
            let case = format!("{case} {accept}");
            let wanted = [("Accept", accept)];
            let reply = client.get_with(&page, &wanted);
            let head = client.request("HEAD", &page, &wanted);
            if lacks(&reply, state, place, project) {
                continue;
            }
            let Some(given) = &given else {
                assert_refused(&reply, 404, "is a private name", &case);
                assert_refused(&head, 404, "", &case);
                continue;
            };
            let mut listed = names(&reply);
            listed.sort();
            assert_eq!(&listed, given, "{case}: {reply:?}");
            assert_eq!(head.status, 200, "{case}: {head:?}");
            // A client that has the page of before is not told that it still holds.
            let tags = self.tags.borrow();
            let before = tags.get(&(page.clone(), accept));
            let is_shorter = given.len() < self.of_project(project).len();
            if let Some(tag) = before.filter(|_| is_shorter) {
                let known = [("Accept", accept), ("If-None-Match", tag)];
                let again = client.get_with(&page, &known);
                assert_ne!(again.status, 304, "{case}: {again:?}");
                assert_eq!(again.text(), reply.text(), "{case}: {again:?}");
            }
        }
    }

    fn hold_project_page(
        &self,
        client: &Client,
        place: Place,
        project: &'static str,
        state: State,
        case: &str,
    ) {
        for accept in [HTML, "application/json"] {
            let reply = client.get_with(&place.project_page(project), &[("Accept", accept)]);
            if lacks(&reply, state, place, project) {
                continue;
            }
            let Some(given) = self.given(place, project) else {
                assert_eq!(reply.status, 404, "{case} {accept}: {reply:?}");
                continue;
            };
            reply.expect(200);
            let text = reply.text();
            for column in self.of_project(project) {
                let filename = &column.artifact.filename;
                let is_given = given.contains(filename);
                assert_eq!(text.contains(filename), is_given, "{case} {accept}: {text}");
            }
        }
    }

    fn hold_file(
        &self,
        client: &Client,
        address: &str,
        place: Place,
        column: &Column,
        state: State,
    ) {
        for (how, reply) in asked(client, address, &column.artifact.sha256) {
            if lacks(&reply, state, place, column.project) {
                continue;
            }
            let case = format!("{state:?}: {how} {address}");
            match place.verdict(column) {
                Verdict::Given => assert!(reply.status < 400, "{case}: {reply:?}"),
                Verdict::LeftOut(words) => {
                    assert_refused(&reply, 403, &place.said(words), &case);
                }
                Verdict::Quarantined => {
                    assert_refused(&reply, 403, "the project is quarantined", &case);
                }
                Verdict::Private => assert_refused(&reply, 404, "is a private name", &case),
            }
        }
    }

    /// The files that a project's page lists here; none where there is no page.
    fn given(&self, place: Place, project: &str) -> Option<Vec<String>> {
        let mut given = Vec::new();
        for column in self.of_project(project) {
            match place.verdict(column) {
                Verdict::Given => given.push(column.artifact.filename.clone()),
                Verdict::LeftOut(_) | Verdict::Quarantined => {}
                Verdict::Private => return None,
            }
        }
        given.sort();
        Some(given)
    }

    fn of_project(&self, project: &str) -> Vec<&Column> {
        let all = self.columns.iter();
        all.filter(|column| column.project == project).collect()
    }

    /// An address of larder's own names no file.
    fn assert_tells_nothing(&self, client: &Client, address: &str, row: Row, case: &str) {
        let query = r#"{"package":{"name":"some-lib","ecosystem":"PyPI"},"version":"6.0"}"#;
        let replies = match row {
            Row::Options => vec![client.request("OPTIONS", address, &[])],
            Row::Upload => Vec::new(),
            Row::RewriteLock => vec![client.post(address, "text/plain", b"some-lib==2.0\n")],
            Row::OsvQuery => vec![client.post(address, "application/json", query.as_bytes())],
            Row::OsvQueryBatch => {
                let queries = format!("{{\"queries\":[{query}]}}");
                vec![client.post(address, "application/json", queries.as_bytes())]
            }
            _ => [HTML, JSON, "application/json"]
                .map(|accept| client.get_with(address, &[("Accept", accept)]))
                .into(),
        };
        for reply in replies {
            self.assert_names_no_file(&reply, case);
        }
    }

    fn assert_other_methods_tell_nothing(
        &self,
        client: &Client,
        address: &str,
        row: Row,
        case: &str,
    ) {
        let takes_posts = matches!(
            row,
            Row::Upload | Row::RewriteLock | Row::OsvQuery | Row::OsvQueryBatch
        );
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if (method == "POST" && takes_posts) || (method == "OPTIONS" && row == Row::Options) {
                continue;
            }
            let reply = client.request(method, address, &[("Content-Length", "0")]);
            let is_refused = (400..500).contains(&reply.status);
            assert!(is_refused, "{case} {method}: {reply:?}");
            self.assert_names_no_file(&reply, &format!("{case} {method}"));
        }
    }

    fn assert_names_no_file(&self, reply: &Reply, case: &str) {
        let text = String::from_utf8_lossy(&reply.body);
        for column in &self.columns {
            let filename = &column.artifact.filename;
            assert!(!text.contains(filename), "{case}: {text}");
        }
    }

    /// A caller that is not in its audience.
    fn assert_given_nothing(&self, client: &Client, address: &str, state: State, case: &str) {
        let is_away = matches!(state, State::Stale | State::Reloaded);
        for method in ["GET", "HEAD"] {
            for headers in [
                [("Accept", HTML)],
                [("Accept", JSON)],
                [("Range", "bytes=0-9")],
                [("If-None-Match", "*")],
            ] {
                let reply = client.request(method, address, &headers);
                let is_refused = matches!(reply.status, 401 | 403 | 404)
                    || (is_away && matches!(reply.status, 502 | 504));
                assert!(is_refused, "{case} {method} {headers:?}: {reply:?}");
                self.assert_names_no_file(&reply, case);
            }
        }
    }
}

impl About {
    fn is_licensed(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Names(place) | Self::Project(place, _) | Self::File(place, _) => {
                place.source == Source::Licensed
            }
        }
    }
}

/// As larder reads it, with the method that it takes.
fn parse(address: &str) -> Route {
    let uri: Uri = address.parse().expect("a target");
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        if let Ok(route) = Route::parse(&method, &uri) {
            return route;
        }
    }
    panic!("{address} is no address of larder's");
}

/// Whether nothing can be told by a reply: nothing was given, where that will do, or upstream went
/// away before it could say that the project is quarantined.
fn lacks(reply: &Reply, state: State, place: Place, project: &str) -> bool {
    let is_unheard = state == State::Reloaded && project == FROZEN;
    is_unheard || (state.may_lack(place) && matches!(reply.status, 502 | 504))
}

#[track_caller]
fn assert_refused(reply: &Reply, status: u16, words: &str, case: &str) {
    assert_eq!(reply.status, status, "{case}: {reply:?}");
    let denied = reply.header("Cache-Status");
    assert_eq!(denied, Some("larder; detail=denied"), "{case}: {reply:?}");
    let is_told = reply.body.is_empty() || reply.text().contains(words);
    assert!(is_told, "{case}: {reply:?}");
}

/// Cold; then what is cached already.
#[test]
fn r34_what_is_refused_is_refused_on_every_path_while_nothing_is_cached() {
    let sweep = Sweep::new();
    sweep.begin();
    let larder = sweep.larder(true, "").start();
    sweep.hold(&larder, State::Cold);
    sweep.hold(&larder, State::Warm);
    sweep.assert_innocent();
}

/// Everything is cached, and then it is refused: warm, stale, and offline.
#[test]
fn r34_what_is_refused_is_refused_on_every_path_although_it_is_cached() {
    let sweep = Sweep::new();
    let mut before = sweep.larder(false, "").start();
    sweep.fill(&before);
    before.terminate();
    sweep.begin();
    let mut after = sweep.larder(true, "").at_home_of(&before).start();
    sweep.hold(&after, State::Warm);
    sweep.stop();
    sweep.hold(&after, State::Stale);
    after.terminate();

    let tokens = before.home().join("tokens");
    std::fs::write(&tokens, token::READER).expect("a writable folder");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&tokens, private).expect("a file of ours");
    let mut auth = String::new();
    write!(auth, "offline_tokens = {tokens:?}").expect("text");
    let offline = sweep
        .larder(true, &auth)
        .setting("offline = true")
        .at_home_of(&before)
        .start();
    sweep.hold(&offline, State::Offline);
}

/// A reload sets all of it while nothing upstream answers: pages that are in memory go by it too.
#[test]
fn r34_what_is_refused_is_refused_on_every_path_after_a_reload_with_upstream_away() {
    let sweep = Sweep::new();
    let larder = sweep.larder(false, "").start();
    sweep.fill(&larder);
    sweep.begin();
    let other = sweep.larder(true, "").start();
    let text = std::fs::read_to_string(other.config_file()).expect("a configuration");
    let cache = other.cache_dir().to_string_lossy().into_owned();
    let text = text.replace(&cache, &larder.cache_dir().to_string_lossy());
    drop(other);
    sweep.stop();
    std::fs::write(larder.config_file(), text).expect("a writable folder");
    larder.signal(Signal::HUP);
    larder.wait_for_log("the configuration was read again and is in force");
    sweep.hold(&larder, State::Reloaded);
}
