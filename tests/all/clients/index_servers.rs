//! Real index servers as mirrors: every page through larder says to other people's parsers what it
//! says directly, and uv installs from each.

use crate::support::index_server::{IndexServer, Program};
use crate::support::oracle::{Case, Sight, judge};
use crate::support::wheel::real_wheels;
use crate::support::{Client, Larder, PublicIndex, Reply, Workbench, corpus, python};

/// What is asked for; five more follow from it.
const WANTED: [&str; 2] = ["requests", "python-dateutil"];

struct Pair {
    upstream: PublicIndex,
    server: IndexServer,
    larder: Larder,
}

impl Pair {
    fn start(program: Program) -> Self {
        let upstream = PublicIndex::start();
        let wheels = real_wheels();
        for wheel in &wheels {
            upstream.publish(wheel.clone());
        }
        let server = IndexServer::start(program, &upstream, &wheels);
        // What larder adds of its own would be a difference; the install below has it.
        let sections = format!(
            "[metadata]\nprefetch = 0\n[mirrors.other]\nurl = {:?}\nfile_urls = [\"http://{}/\"]\nredirects = [{:?}]",
            server.url(),
            server.address(),
            upstream.files_origin()
        );
        let larder = Larder::in_front_of(upstream.origin())
            .sections(&sections)
            .start();
        Self {
            upstream,
            server,
            larder,
        }
    }

    fn sight(&self, label: String, url: String, reply: Reply) -> Sight {
        let content_type = reply.header("Content-Type").unwrap_or_default().to_owned();
        let origins = (
            format!("{}/other/", self.larder.url()),
            format!("http://{}/", self.server.address()),
        );
        let index = (
            format!("{}/other/simple/", self.larder.url()),
            self.server.url(),
        );
        Sight {
            label,
            url,
            content_type,
            body: reply.body,
            prefixes: vec![index, origins],
            served: Vec::new(),
        }
    }

    /// A page as the server gives it and as larder gives it.
    fn look_at(&self, program: Program, name: &str, accept: &str) -> Case {
        let tail = if name.is_empty() {
            String::new()
        } else {
            format!("{name}/")
        };
        let seen_at = |client: Client, url: String, path: String, label: &str| {
            let reply = client.get_with(&path, &[("Accept", accept)]);
            assert_eq!(reply.status, 200, "{program:?} {label} {path}: {reply:?}");
            self.sight(format!("{program:?} {label} {accept}"), url, reply)
        };
        let direct = Client::new(self.server.address());
        let [ours, theirs] = [
            format!("/other/simple/{tail}"),
            format!("{}{tail}", program.index_path()),
        ];
        let original = seen_at(
            direct,
            format!("{}{tail}", self.server.url()),
            theirs,
            "direct",
        );
        let seen = seen_at(
            self.larder.client(),
            format!("{}{ours}", self.larder.url()),
            ours,
            "through larder",
        );
        let seen = Sight {
            served: vec![format!("http://{}/", self.server.address())],
            ..seen
        };
        let original = Sight {
            prefixes: Vec::new(),
            ..original
        };
        Case {
            name: format!("{name:?}"),
            is_index: name.is_empty(),
            original,
            seen: vec![seen],
        }
    }
}

fn reads_and_installs_as_without_larder(program: Program) {
    let pair = Pair::start(program);
    let names: Vec<String> = real_wheels()
        .iter()
        .map(|wheel| wheel.name.replace('_', "-"))
        .collect();
    let names = || std::iter::once("").chain(names.iter().map(String::as_str));
    let cases: Vec<Case> = [corpus::HTML, corpus::JSON]
        .iter()
        .map(|accept| accept.split(';').next().unwrap_or_default())
        .flat_map(|accept| names().map(move |name| (name, accept)))
        .map(|(name, accept)| pair.look_at(program, name, accept))
        .collect();
    let verdict = judge(&cases);
    assert!(
        verdict.differences.is_empty(),
        "{program:?}:\n{}",
        verdict.differences.join("\n")
    );
    assert!(
        verdict.unread.is_empty(),
        "{program:?}: {:#?}",
        verdict.unread
    );
    assert!(
        verdict.compared > 20,
        "{program:?}: only {} comparisons",
        verdict.compared
    );

    for round in ["cold", "warm"] {
        pair.upstream.log().clear();
        let user = Workbench::new();
        let site = user.folder().join("site").to_string_lossy().into_owned();
        let python = python::program("python").to_string_lossy().into_owned();
        let index = format!("{}/other/simple/", pair.larder.url());
        let arguments = [
            "pip",
            "install",
            "--python",
            &python,
            "--target",
            &site,
            "--default-index",
            &index,
        ];
        let done = user.uv(&[&arguments[..], &WANTED].concat());
        assert!(
            done.succeeded(),
            "{program:?} {round}: {done:#?}\n{}",
            pair.larder.log()
        );
        for name in [
            "requests",
            "dateutil",
            "six.py",
            "urllib3",
            "idna",
            "certifi",
            "charset_normalizer",
        ] {
            assert!(
                user.folder().join("site").join(name).exists(),
                "{program:?} {round}: {name} is not there"
            );
        }
    }
    let log = pair.larder.log();
    assert!(!log.contains("WARN"), "{program:?}: {log}");
}

#[test]
fn pages_of_devpi_read_the_same_and_uv_installs() {
    reads_and_installs_as_without_larder(Program::Devpi);
}

#[test]
fn pages_of_pypiserver_read_the_same_and_uv_installs() {
    reads_and_installs_as_without_larder(Program::PypiServer);
}

#[test]
fn pages_of_simple_repository_server_read_the_same_and_uv_installs() {
    reads_and_installs_as_without_larder(Program::SimpleRepositoryServer);
}

#[test]
fn pages_of_dumb_pypi_read_the_same_and_uv_installs() {
    reads_and_installs_as_without_larder(Program::DumbPypi);
}

#[test]
fn pages_of_proxpi_read_the_same_and_uv_installs() {
    reads_and_installs_as_without_larder(Program::Proxpi);
}
