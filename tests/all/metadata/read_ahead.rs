//! Wheels' metadata, read by ranges before anybody asks for it.
//!
//! The services of the library by themselves, so that what is in line can be looked at.

use std::collections::HashSet;
use std::sync::Arc;

use larder::access::{Access, AuthConfig, Caller, Credential};
use larder::file::{FileDependencies, Files, FilesConfig, MetadataConfig};
use larder::registry::{Base, Bases, FileRef, Route};
use larder::store::{Store, WheelMark};
use larder::upstream::{
    AllowedOrigins, GitLabConfig, ProxyEnvironment, SystemRoots, Transport, TransportConfig,
    Upstream,
};
use larder::values::quantity::Span;

use crate::common::delivery::{MODES, eventually};
use crate::support::wheel::{noise, sha256_hex};
use crate::support::{Act, Artifact, Distribution, GitLab, Kind, Site, path, token};

/// Begins at once, with many of a page: these wheels are downloaded by nobody.
fn prompt() -> MetadataConfig {
    MetadataConfig {
        prefetch: 8,
        prefetch_delay: Span::seconds(0),
        ..MetadataConfig::default()
    }
}

struct Ahead {
    runtime: tokio::runtime::Runtime,
    store: Arc<Store>,
    files: Arc<Files>,
    caller: Caller,
    _home: tempfile::TempDir,
}

impl Ahead {
    fn new(gitlab: &GitLab, config: MetadataConfig) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(Store::open(home.path(), 1 << 30).expect("a fresh folder"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let access = Arc::new(Access::new(&AuthConfig::default()));
        let mut headers = http::HeaderMap::new();
        headers.insert(
            "private-token",
            http::HeaderValue::from_static(token::READER),
        );
        let credential = Credential::read(&headers).expect("a credential");
        let bases = Bases::new(Base::parse(gitlab.url()).expect("a base"), Vec::new());
        let stores = AllowedOrigins::parse(&[gitlab.store_url().to_owned()]).expect("an origin");
        let via = http::HeaderValue::from_static("1.1 larder-test");
        let environment = ProxyEnvironment::default();
        let roots = SystemRoots::default();
        let direct = Transport::open(&TransportConfig::UNUSED, None, &environment, &roots);
        let direct = direct.expect("no files");
        let upstream = Upstream::new(&GitLabConfig::default(), &direct, bases, stores, via, false);
        let upstream = upstream.expect("a client");
        let caller = access.identify(credential);
        let (upstream, counts) = (Arc::new(upstream), Arc::default());
        let parts = FileDependencies {
            upstream,
            access,
            store: Arc::clone(&store),
            running: Arc::default(),
            counts,
            shared_store_counts: Arc::default(),
            distrusted: Arc::default(),
        };
        let files = Files::new(FilesConfig::default(), config, HashSet::new(), parts);
        Self {
            runtime,
            store,
            files,
            caller,
            _home: home,
        }
    }

    fn read(&self, wheels: &[Artifact]) {
        let _inside = self.runtime.enter();
        let wheels = wheels.iter().map(file_ref).collect();
        self.files.prefetch(&self.caller, wheels);
    }

    fn known(&self, wheel: &Artifact) -> Option<String> {
        self.store
            .metadata_index
            .find(WheelMark::of(&file_ref(wheel)))
            .map(|digest| digest.to_string())
    }

    fn settle(&self) {
        eventually("all that was in line is read", || {
            self.files.prefetching() == 0
        });
    }
}

fn file_ref(wheel: &Artifact) -> FileRef {
    match Route::from_path(&path::project_file(42, wheel)) {
        Ok(Route::File(file)) => file,
        other => panic!("not a file: {other:?}"),
    }
}

/// Wheels of different versions.
fn published(gitlab: &GitLab, count: usize) -> Vec<Artifact> {
    let wheel = |n| {
        Distribution::new("many", &format!("1.{n}"))
            .payload(150_000)
            .wheel()
    };
    let wheels: Vec<_> = (0..count).map(wheel).collect();
    wheels.iter().for_each(|wheel| gitlab.publish(42, wheel));
    wheels
}

/// A wheel whose METADATA is longer than the tail that is read first.
fn talkative(dependency: &str) -> Artifact {
    let text: String = noise(dependency, 60_000)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Distribution::new("talkative", "1.0")
        .depends_on(&format!("{dependency}=={text}{text}"))
        .payload(150_000)
        .wheel()
}

#[test]
fn metadata_is_read_ahead_by_ranges() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let ahead = Ahead::new(&gitlab, prompt());
        let mut wheels = published(&gitlab, 4);
        wheels.push(talkative("chatty"));
        wheels.push(Distribution::new("tiny", "1.0").wheel());
        wheels[4..]
            .iter()
            .for_each(|wheel| gitlab.publish(42, wheel));
        let before = ahead.store.metadata_index.generation();
        ahead.read(&wheels);
        ahead.settle();
        for wheel in &wheels {
            assert_eq!(
                ahead.known(wheel),
                Some(sha256_hex(&wheel.metadata)),
                "{storage:?} {}",
                wheel.filename
            );
        }
        assert_eq!(
            ahead.store.metadata_index.generation(),
            before + 6,
            "{storage:?}"
        );
        let moved: u64 = gitlab
            .log()
            .entries()
            .iter()
            .filter(|e| e.is_file_body())
            .map(|e| e.body_sent)
            .sum();
        assert!(moved < 600_000, "{storage:?}: {moved} bytes of a million");
        let asked = gitlab.log().len();
        ahead.read(&wheels);
        ahead.settle();
        assert_eq!(
            gitlab.log().len(),
            asked,
            "{storage:?}: what is known is not read again"
        );
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn reading_ahead_is_bounded_and_gives_up() {
    let gitlab = GitLab::start();
    let wheels = published(&gitlab, 20);
    let ahead = Ahead::new(
        &gitlab,
        MetadataConfig {
            prefetch: 2,
            ..prompt()
        },
    );
    ahead.read(&wheels);
    ahead.settle();
    assert_eq!(gitlab.log().count(Kind::File), 2, "wheels of one page");

    let off = Ahead::new(
        &gitlab,
        MetadataConfig {
            prefetch: 0,
            ..prompt()
        },
    );
    off.read(&wheels);
    assert_eq!(off.files.prefetching(), 0);

    let rate = MetadataConfig {
        prefetch: 20,
        queue: 5,
        rate: 10,
        ..prompt()
    };
    let paced = Ahead::new(&gitlab, rate);
    gitlab.log().clear();
    let since = std::time::Instant::now();
    paced.read(&wheels);
    paced.settle();
    assert_eq!(gitlab.log().count(Kind::File), 5, "wheels in line");
    assert!(
        since.elapsed() >= std::time::Duration::from_millis(390),
        "wheels in a second"
    );

    let broken = Artifact::noise("broken", "1.0", 100_000);
    gitlab.publish(42, &broken);
    let small = Ahead::new(
        &gitlab,
        MetadataConfig {
            size: larder::values::quantity::Size(70_000),
            ..rate
        },
    );
    gitlab.publish(42, talkative("chatty"));
    let hopeless = [broken, talkative("chatty")];
    gitlab.log().clear();
    for _ in 0..3 {
        small.read(&hopeless);
        small.settle();
    }
    assert_eq!(
        gitlab.log().count(Kind::File),
        2,
        "what yielded nothing is left alone"
    );
    assert!(hopeless.iter().all(|wheel| small.known(wheel).is_none()));
}

#[test]
fn an_upstream_without_ranges_or_with_odd_ones_is_left_alone() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let one_by_one = MetadataConfig {
            concurrency: 1,
            ..prompt()
        };
        let wheels = published(&gitlab, 4);
        gitlab.plan(Act::IgnoreRange.at(Site::FileBody));
        let ahead = Ahead::new(&gitlab, one_by_one);
        for _ in 0..2 {
            ahead.read(&wheels);
            ahead.settle();
        }
        assert_eq!(
            gitlab.log().count(Kind::File),
            1,
            "{storage:?}: found out once"
        );
        gitlab.behave();

        let wide = talkative("chatty");
        gitlab.publish(42, &wide);
        gitlab.plan(Act::NoValidators.at(Site::FileBody));
        let ahead = Ahead::new(&gitlab, one_by_one);
        ahead.read(std::slice::from_ref(&wide));
        ahead.settle();
        assert_eq!(
            ahead.known(&wide),
            None,
            "{storage:?}: pieces that nothing ties together"
        );
        gitlab.behave();

        for act in [
            Act::Encoding("gzip"),
            Act::Flip { at: 200_000 },
            Act::Close { after: 1000 },
        ] {
            let case = format!("{storage:?} {act:?}");
            let ahead = Ahead::new(&gitlab, one_by_one);
            gitlab.plan(act.at(Site::FileBody));
            ahead.read(std::slice::from_ref(&wide));
            ahead.settle();
            assert_eq!(ahead.known(&wide), None, "{case}");
            gitlab.behave();
        }

        let gone = Ahead::new(&gitlab, one_by_one);
        gitlab.revoke(token::READER);
        gone.read(&wheels);
        gone.settle();
        assert!(
            wheels.iter().all(|wheel| gone.known(wheel).is_none()),
            "{storage:?}"
        );
    }
}

#[test]
fn an_upstream_that_refuses_ranges_from_the_end_is_asked_with_both_ends() {
    for storage in MODES {
        for status in [405, 501] {
            let gitlab = GitLab::builder().storage(storage).start();
            let wheels = published(&gitlab, 4);
            let refused = gitlab.plan(Act::RefuseRangesFromTheEnd(status).at(Site::FileBody));
            let ahead = Ahead::new(
                &gitlab,
                MetadataConfig {
                    concurrency: 1,
                    ..prompt()
                },
            );
            ahead.read(&wheels);
            ahead.settle();
            for wheel in &wheels {
                assert_eq!(
                    ahead.known(wheel),
                    Some(sha256_hex(&wheel.metadata)),
                    "{storage:?} {status}"
                );
            }
            refused.remove();
            let from_the_end = |range: &str| range.starts_with("bytes=-");
            let asked = gitlab.log().entries();
            let asked = asked
                .iter()
                .filter(|entry| entry.head.header("Range").is_some_and(from_the_end));
            assert_eq!(
                asked.filter(|entry| entry.carries_file).count(),
                1,
                "{storage:?} {status}: remembered"
            );
        }
        let gitlab = GitLab::builder().storage(storage).start();
        let wheels = published(&gitlab, 8);
        gitlab.plan(Act::RefuseRanges(501).at(Site::FileBody));
        let ahead = Ahead::new(
            &gitlab,
            MetadataConfig {
                concurrency: 1,
                ..prompt()
            },
        );
        ahead.read(&wheels);
        ahead.settle();
        let refused = gitlab
            .log()
            .entries()
            .iter()
            .filter(|entry| entry.carries_file)
            .count();
        assert_eq!(
            refused, 2,
            "{storage:?}: from the end, and from the beginning; then it is left alone"
        );
    }
}

#[test]
fn two_versions_of_a_wheel_are_never_mixed_when_read_ahead() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let (old, new) = (talkative("chatty"), talkative("gossip"));
        gitlab.publish(42, &old);
        let ahead = Ahead::new(&gitlab, prompt());
        let gate = gitlab.hold(Site::FileBody, 10_000);
        ahead.read(std::slice::from_ref(&old));
        gate.wait_for(1);
        gitlab.change(|universe| {
            for stored in universe.files_mut(42, &old.filename) {
                stored.bytes = new.bytes.clone();
                stored.modified += std::time::Duration::from_secs(60);
            }
        });
        gitlab.behave();
        gate.open();
        ahead.settle();
        assert_eq!(ahead.known(&old), None, "{storage:?}");
    }
}
