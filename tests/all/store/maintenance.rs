//! Looking after the store: with a daemon and without, the same; and never at the cost of a client.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::common::delivery::{eventually, kept};
use crate::common::mirror;
use crate::support::{
    Artifact, Client, Distribution, GitLab, Kind, Larder, PublicIndex, StoreListing, path, token,
    wheel::sha256_hex,
};

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

/// Publishes, fetches and waits until file, page and metadata are kept.
fn fetched(gitlab: &GitLab, larder: &Larder, name: &str, bytes: usize) -> Artifact {
    let file = Distribution::new(name, "1.0").payload(bytes).wheel();
    gitlab.publish(42, &file);
    let before = index_lines(larder);
    reader(larder)
        .get(&path::project_page(42, name))
        .expect(200);
    reader(larder)
        .get(&path::project_file(42, &file))
        .expect(200);
    kept(larder, &file);
    eventually("page and metadata are stored", || {
        index_lines(larder) == before + 3
    });
    file
}

/// Lines in all files of the index, whether or not they count.
fn index_lines(larder: &Larder) -> usize {
    let files = files_below(&larder.cache_dir().join("index-v5"));
    let lines = files
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok());
    lines
        .map(|text| text.lines().filter(|line| !line.is_empty()).count())
        .sum()
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

#[track_caller]
fn run(larder: &Larder, arguments: &[&str], code: i32) -> Vec<Value> {
    let output = larder.command(arguments);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{out:.800}\n{err:.800}"
    );
    json_lines(&output)
}

fn of_kind<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], at).expect("a byte");
}

pub fn blob_path(larder: &Larder, sha256: &str) -> PathBuf {
    StoreListing::of(&larder.cache_dir())
        .blob(sha256)
        .expect("it is stored")
        .path
        .clone()
}

/// As if it had been put in long ago.
fn aged(path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(2 * 3600);
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(then))
        .expect("a time");
}

/// Bytes under their right digest to which nothing leads.
fn stray(larder: &Larder, content: &[u8]) -> (PathBuf, String) {
    let sha256 = sha256_hex(content);
    let folder = larder
        .cache_dir()
        .join("content-v2/sha256")
        .join(&sha256[..2])
        .join(&sha256[2..4]);
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(&sha256[4..]);
    std::fs::write(&path, content).expect("a file");
    (path, sha256)
}

/// The bodies of pages and metadata, by telling all others apart.
fn bodies_but(larder: &Larder, files: &[&Artifact]) -> Vec<String> {
    let listing = StoreListing::of(&larder.cache_dir());
    let named = listing.blobs.iter().map(|blob| blob.named.clone());
    named
        .filter(|sha256| files.iter().all(|file| file.sha256 != *sha256))
        .collect()
}

#[test]
fn stats_and_ls_say_the_same_of_a_running_daemon_and_of_a_resting_folder() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    let one = fetched(&gitlab, &larder, "one", 5_000);
    let two = fetched(&gitlab, &larder, "two", 7_000);
    let running = [
        run(&larder, &["stats", "--json"], 0),
        run(&larder, &["ls", "--json"], 0),
    ];
    larder.terminate();
    let resting = [
        run(&larder, &["stats", "--json"], 0),
        run(&larder, &["ls", "--json"], 0),
    ];
    assert_eq!(running, resting);

    let [stats, files] = running;
    let bytes = (one.bytes.len() + two.bytes.len()) as u64;
    assert_eq!(
        (&stats[0]["files"]["count"], &stats[0]["files"]["bytes"]),
        (&2.into(), &bytes.into())
    );
    assert_eq!(stats[0]["scopes"]["projects/42"]["count"], 2);
    assert_eq!(stats[0]["pages"]["count"], 2);
    assert_eq!(stats[0]["metadata"]["count"], 2);
    assert_eq!(files.len(), 2);
    assert_eq!(
        (&files[0]["project"], &files[0]["sha256"]),
        (&"one".into(), &one.sha256.as_str().into())
    );
    assert_eq!(files[1]["address"], path::project_file(42, &two));
    assert_eq!(files[1]["is_held"], true);

    assert_eq!(run(&larder, &["ls", "tw*", "--json"], 0).len(), 1);
    assert_eq!(run(&larder, &["ls", "projects/42", "--json"], 0).len(), 2);
    assert_eq!(run(&larder, &["ls", "groups/7", "--json"], 0).len(), 0);
    // One grammar for all that take names.
    let first = &run(&larder, &["ls", "two", "--json"], 0)[0];
    let sha256 = first["sha256"].as_str().expect("a digest");
    let address = first["address"].as_str().expect("an address");
    for name in [
        "two",
        "projects/42/two",
        "projects/42/t?o",
        "/api/v4/projects/42/packages/pypi/simple/two/",
        address,
        sha256,
    ] {
        assert_eq!(run(&larder, &["ls", name, "--json"], 0).len(), 1, "{name}");
        let gone = run(&larder, &["purge", name, "--dry-run", "--json"], 0);
        assert!(!of_kind(&gone, "line").is_empty(), "{name}: {gone:?}");
    }
    assert_eq!(
        run(&larder, &["ls", "projects/43/two", "--json"], 0).len(),
        0
    );
    for name in ["two", "t*", "projects/42", "projects/42/two"] {
        let marked = run(&larder, &["refresh", name, "--json"], 0);
        assert!(!marked.is_empty(), "{name}");
    }
    run(&larder, &["refresh", sha256], 2);
}

#[test]
fn verify_finds_a_flipped_byte_in_a_file_a_page_and_metadata_and_mends_it() {
    for running in [true, false] {
        let gitlab = GitLab::start();
        let mut larder = Larder::start(&gitlab);
        let file = fetched(&gitlab, &larder, "one", 5_000);
        if !running {
            larder.terminate();
        }
        let clean = run(&larder, &["verify", "--json"], 0);
        assert_eq!(clean.last().expect("an end")["faults"], 0);

        let mut damaged = bodies_but(&larder, &[&file]);
        assert_eq!(damaged.len(), 2, "a page and metadata");
        damaged.push(file.sha256.clone());
        damaged
            .iter()
            .for_each(|sha256| flip(&blob_path(&larder, sha256), 20));
        let found = run(&larder, &["verify", "--json"], 1);
        assert_eq!(found.last().expect("an end")["faults"], 3);
        let told: Vec<&str> = of_kind(&found, "damaged")
            .iter()
            .filter_map(|line| line["sha256"].as_str())
            .collect();
        assert!(
            damaged.iter().all(|sha256| told.contains(&sha256.as_str())),
            "{told:?} {damaged:?}"
        );
        let mine = of_kind(&found, "damaged")
            .into_iter()
            .find(|line| line["sha256"] == file.sha256);
        assert_eq!(
            mine.expect("told")["addresses"][0],
            path::project_file(42, &file)
        );
        run(&larder, &["verify", "--json"], 0);
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();

        let larder = if running { larder } else { larder.restart() };
        let client = reader(&larder);
        client.get(&path::project_page(42, "one")).expect(200);
        assert_eq!(
            client.get(&path::project_file(42, &file)).expect(200),
            &file.bytes[..]
        );
        client
            .get(&format!("{}.metadata", path::project_file(42, &file)))
            .expect(200);
        assert_eq!(gitlab.log().file_bodies().transfers, 2, "fetched again");
    }
}

/// The sha256 of one that is stored.
pub fn body_of_a_page(larder: &Larder) -> String {
    let page = bodies_but(larder, &[]).into_iter().find(|sha256| {
        let body = std::fs::read(blob_path(larder, sha256)).expect("a readable folder");
        body.starts_with(b"{") || body.starts_with(b"<")
    });
    page.expect("a page")
}

#[test]
fn verify_counts_pages_that_a_power_cut_emptied_apart_from_damage() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let file = fetched(&gitlab, &larder, "one", 5_000);
    let empty =
        |sha256: &str| std::fs::write(blob_path(&larder, sha256), "").expect("a writable folder");
    empty(&body_of_a_page(&larder));
    let found = run(&larder, &["verify", "--json"], 0);
    let told = of_kind(&found, "emptied");
    assert!(
        told[0]["addresses"][0]
            .as_str()
            .expect("an address")
            .ends_with(&path::project_page(42, "one"))
    );
    assert_eq!(
        (told.len(), &found.last().expect("an end")["faults"]),
        (1, &0.into()),
        "{found:?}"
    );
    assert_eq!(larder.metric("larder_store_emptied_total"), Some(1.0));
    assert_eq!(larder.metric("larder_store_quarantined_total"), Some(0.0));
    // Files are on the disk before anything refers to them: one without a byte is damage.
    empty(&file.sha256);
    let found = run(&larder, &["verify", "--json"], 1);
    assert_eq!(
        (
            of_kind(&found, "damaged").len(),
            of_kind(&found, "emptied").len()
        ),
        (1, 0),
        "{found:?}"
    );
    reader(&larder)
        .get(&path::project_page(42, "one"))
        .expect(200);
    assert_eq!(
        reader(&larder)
            .get(&path::project_file(42, &file))
            .expect(200),
        &file.bytes[..]
    );
}

#[test]
fn verify_clears_a_damaged_line_of_the_index_away() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    fetched(&gitlab, &larder, "one", 5_000);
    larder.terminate();
    let lines = files_below(&larder.cache_dir().join("index-v5"));
    let lines_of = |word: &str| {
        lines
            .iter()
            .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(word)))
    };
    flip(lines_of("/files/").expect("a file's line"), 90);
    let found = run(&larder, &["verify", "--json"], 1);
    assert_eq!(of_kind(&found, "unreadable_lines").len(), 1, "{found:?}");
    run(&larder, &["verify", "--json"], 0);
    assert_eq!(
        run(&larder, &["ls", "--json"], 0).len(),
        0,
        "it is not known any more"
    );
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn gc_removes_what_nothing_leads_to_and_nothing_else() {
    for running in [true, false] {
        let gitlab = GitLab::start();
        let mut larder = Larder::start(&gitlab);
        let file = fetched(&gitlab, &larder, "one", 5_000);
        let (old, old_sha256) = stray(&larder, b"an old stray");
        aged(&old);
        let (young, _) = stray(&larder, b"a young stray");
        for sha256 in bodies_but(&larder, &[]) {
            if !young.ends_with(&sha256[4..]) {
                aged(&blob_path(&larder, &sha256));
            }
        }
        if !running {
            larder.terminate();
        }
        let before = StoreListing::of(&larder.cache_dir()).files;
        let planned = run(&larder, &["gc", "--dry-run", "--json"], 0);
        assert_eq!(StoreListing::of(&larder.cache_dir()).blobs.len(), 5);
        assert!(
            before
                .iter()
                .all(|path| larder.cache_dir().join(path).exists() || path.ends_with(".control"))
        );
        let done = run(&larder, &["gc", "--json"], 0);
        let removed = |lines: &[Value]| {
            let lines = of_kind(lines, "unreferenced").into_iter();
            lines
                .map(|line| line["sha256"].as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (removed(&planned), removed(&done)),
            (vec![old_sha256.clone()], vec![old_sha256])
        );
        assert!(!old.exists() && young.exists());
        assert_eq!(run(&larder, &["ls", "--json"], 0)[0]["is_held"], true);
        assert_eq!(
            run(&larder, &["gc", "--json"], 0).len(),
            1,
            "a second one finds nothing"
        );
        let larder = if running { larder } else { larder.restart() };
        reader(&larder)
            .get(&path::project_file(42, &file))
            .expect(200);
        assert_eq!(gitlab.log().file_bodies().transfers, 1, "not fetched again");
    }
}

#[test]
fn gc_shortens_the_index_and_forgets_pages_of_a_mirror_that_is_no_more() {
    let (gitlab, index) = (GitLab::start(), PublicIndex::start());
    index.publish(Distribution::new("six", "1.0").wheel());
    let mut larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
    larder.client().get("/pypi/simple/six/").expect(200);
    eventually("the page is stored", || {
        run(&larder, &["stats", "--json"], 0)[0]["pages"]["count"] == 1
    });
    assert_eq!(
        run(&larder, &["gc", "--json"], 0).last().expect("an end")["lines"],
        0
    );
    // Written over, the first line counts no more.
    index.publish(Distribution::new("six", "2.0").wheel());
    larder
        .client()
        .get_with("/pypi/simple/six/", &[("cache-control", "no-cache")])
        .expect(200);
    eventually("the page is stored anew", || {
        run(&larder, &["stats", "--json"], 0)[0]["superseded_lines"] == 1
    });
    let shortened = run(&larder, &["gc", "--json"], 0);
    assert_eq!(shortened.last().expect("an end")["index"]["count"], 1);
    assert_eq!(
        run(&larder, &["stats", "--json"], 0)[0]["superseded_lines"],
        0
    );
    assert_eq!(
        run(&larder, &["stats", "--json"], 0)[0]["pages"]["count"],
        1,
        "the page is still known"
    );

    larder.terminate();
    let config = std::fs::read_to_string(larder.config_file()).expect("a file");
    let (before, _) = config.split_once("[mirrors.pypi]").expect("a section");
    std::fs::write(larder.config_file(), before).expect("a file");
    let lines = run(&larder, &["gc", "--json"], 0);
    let line = of_kind(&lines, "line");
    assert_eq!(line.len(), 1, "{lines:?}");
    assert!(
        line[0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("no longer configured"))
    );
}

#[test]
fn gc_brings_the_store_under_its_budget() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    let files: Vec<_> = (0..4)
        .map(|n| fetched(&gitlab, &larder, &format!("p{n}"), 30_000))
        .collect();
    larder.terminate();
    let config = std::fs::read_to_string(larder.config_file()).expect("a file");
    std::fs::write(
        larder.config_file(),
        format!("cache_size = \"80KiB\"\n{config}"),
    )
    .expect("a file");
    let stored = || {
        run(&larder, &["stats", "--json"], 0)[0]["stored_bytes"]
            .as_u64()
            .expect("a number")
    };
    let before = stored();
    assert!(before > 4 * 30_000 && files.len() == 4);
    let dry = run(&larder, &["gc", "--dry-run", "--json"], 0);
    assert_eq!(stored(), before);
    let done = run(&larder, &["gc", "--json"], 0);
    assert_eq!(of_kind(&done, "over_budget"), of_kind(&dry, "over_budget"));
    assert!(stored() <= 80 << 10, "{}", stored());
    assert!(stored() > 30_000, "no more than had to: {}", stored());
}

#[test]
fn a_page_that_is_on_its_way_while_pages_are_forgotten_is_asked_for_again() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    fetched(&gitlab, &larder, "one", 3_000);
    gitlab.publish(42, Distribution::new("two", "1.0").wheel());
    let (client, page) = (reader(&larder), path::project_page(42, "two"));
    gitlab.log().clear();
    let gate = gitlab.hold(Kind::Page, 0);
    let before = client.start("GET", &page, &[]);
    gate.wait_for(1);
    run(&larder, &["purge", "projects/42/one", "--json"], 0);
    let after = client.start("GET", &page, &[]);
    gate.wait_for(2);
    gate.open();
    before.finish().expect(200);
    after.finish().expect(200);
    client.get(&page).expect(200);
    assert_eq!(
        gitlab.log().count(Kind::Page),
        2,
        "a page from before it was joined, or one from after it was not kept"
    );
    // Nobody came meanwhile: what has come in late is no page to be shown.
    let gate = gitlab.hold(Kind::Page, 0);
    let late = client.start("GET", &path::project_page(42, "one"), &[]);
    gate.wait_for(1);
    run(&larder, &["purge", "projects/42/two", "--json"], 0);
    gate.open();
    late.finish().expect(200);
    client.get(&path::project_page(42, "one")).expect(200);
    assert_eq!(gitlab.log().count(Kind::Page), 4);
}

#[test]
fn purge_takes_what_is_named_and_leaves_the_rest() {
    for running in [true, false] {
        let gitlab = GitLab::start();
        let mut larder = Larder::start(&gitlab);
        let files: Vec<_> = ["one", "two", "three", "four"]
            .map(|name| fetched(&gitlab, &larder, name, 3_000))
            .into();
        let address = path::project_file(42, &files[1]);
        if !running {
            larder.terminate();
        }
        let known = |larder: &Larder| run(larder, &["ls", "--json"], 0).len();
        let dry = run(
            &larder,
            &["purge", "projects/42/One", "--dry-run", "--json"],
            0,
        );
        assert_eq!(known(&larder), 4);
        let done = run(&larder, &["purge", "projects/42/One", "--json"], 0);
        assert_eq!(of_kind(&done, "line"), of_kind(&dry, "line"));
        assert_eq!(
            of_kind(&done, "line").len(),
            3,
            "file, page, metadata: {done:?}"
        );
        assert_eq!(of_kind(&done, "body").len(), 3);
        run(
            &larder,
            &[
                "purge",
                &format!("http://larder.example{address}"),
                "--json",
            ],
            0,
        );
        run(&larder, &["purge", &files[2].sha256, "--json"], 0);
        assert_eq!(known(&larder), 1);
        run(&larder, &["purge", &files[2].sha256, "--json"], 1);
        run(&larder, &["purge", "nonsense", "--json"], 1);
        run(&larder, &["purge", "no name"], 2);
        run(&larder, &["purge"], 2);
        let larder = if running { larder } else { larder.restart() };
        for file in &files {
            assert_eq!(
                reader(&larder)
                    .get(&path::project_file(42, file))
                    .expect(200),
                &file.bytes[..]
            );
        }
        assert_eq!(
            gitlab.log().file_bodies().transfers,
            4 + 3,
            "three were fetched again"
        );
        for file in &files {
            kept(&larder, file);
        }
        run(&larder, &["purge", "--all", "--json"], 0);
        assert_eq!(
            (
                known(&larder),
                StoreListing::of(&larder.cache_dir()).blobs.len()
            ),
            (0, 0)
        );
    }
}

#[test]
fn purge_takes_the_addresses_of_upstreams_as_larders_own() {
    let (gitlab, index) = (GitLab::start(), PublicIndex::start());
    let wheel = Distribution::new("left.pad", "1.3").payload(3_000).wheel();
    index.publish(wheel.clone());
    let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
    larder.client().get(&mirror::page("left-pad")).expect(200);
    larder
        .client()
        .get(&mirror::file(&index, &wheel.filename))
        .expect(200);
    kept(&larder, &wheel);
    let one = fetched(&gitlab, &larder, "one", 3_000);
    let page = format!("{}left-pad/", index.url());
    let private = format!("{}{}", gitlab.url(), path::project_file(42, &one));
    for upstream in [&page, &private] {
        let gone = run(&larder, &["purge", upstream, "--json"], 0);
        assert!(!of_kind(&gone, "line").is_empty(), "{upstream}: {gone:?}");
    }
    run(
        &larder,
        &["purge", "ftp://index.example/simple/left-pad/"],
        2,
    );
}

#[test]
fn clients_lose_nothing_while_gc_verify_and_purge_run() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let files: Vec<_> = (0..24)
        .map(|n| {
            Distribution::new(&format!("p{n}"), "1.0")
                .payload(40_000)
                .wheel()
        })
        .collect();
    files.iter().for_each(|file| gitlab.publish(42, file));
    reader(&larder)
        .get(&path::project_page(42, &files[3].name))
        .expect(200);
    reader(&larder)
        .get(&path::project_file(42, &files[3]))
        .expect(200);
    kept(&larder, &files[3]);
    std::thread::scope(|threads| {
        for half in files.chunks(12) {
            let larder = &larder;
            threads.spawn(move || {
                for round in 0..4 {
                    for file in half {
                        let reply = reader(larder).get(&path::project_file(42, file));
                        assert_eq!(reply.expect(200), &file.bytes[..], "round {round}");
                        reader(larder)
                            .get(&path::project_page(42, &file.name))
                            .expect(200);
                    }
                }
            });
        }
        for order in [["gc", "--json"], ["verify", "--json"]] {
            let larder = &larder;
            threads.spawn(move || (0..4).for_each(|_| drop(run(larder, &order, 0))));
        }
        let larder = &larder;
        threads.spawn(move || drop(run(larder, &["purge", "projects/42/p3", "--json"], 0)));
    });
    for file in &files {
        assert_eq!(
            reader(&larder)
                .get(&path::project_file(42, file))
                .expect(200),
            &file.bytes[..]
        );
        kept(&larder, file);
    }
    StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    run(&larder, &["verify", "--json"], 0);
    let held = run(&larder, &["ls", "--json"], 0);
    assert_eq!(
        held.iter().filter(|file| file["is_held"] == true).count(),
        files.len()
    );
}

#[test]
fn two_commands_at_once_share_one_folder() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    fetched(&gitlab, &larder, "one", 5_000);
    larder.terminate();
    std::thread::scope(|threads| {
        for order in [
            &["verify", "--json"][..],
            &["gc", "--json"],
            &["stats", "--json"],
            &["ls", "--json"],
        ] {
            let larder = &larder;
            threads.spawn(move || drop(run(larder, order, 0)));
        }
    });
    assert!(!larder.cache_dir().join(".control").exists());
}

#[test]
fn a_killed_command_leaves_a_good_store() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    let files: Vec<_> = (0..6)
        .map(|n| fetched(&gitlab, &larder, &format!("p{n}"), 30_000))
        .collect();
    larder.terminate();
    for (number, order) in [["verify"], ["gc"], ["purge"]]
        .iter()
        .cycle()
        .take(12)
        .enumerate()
    {
        let mut command = larder.start_command(order);
        if order == &["purge"] {
            command.arg(format!("projects/42/p{}", number % 6));
        }
        let mut process = command.spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(7 * number as u64));
        let _ = process.kill();
        let _ = process.wait();
    }
    run(&larder, &["verify", "--json"], 0);
    let larder = larder.restart();
    for file in &files {
        assert_eq!(
            reader(&larder)
                .get(&path::project_file(42, file))
                .expect(200),
            &file.bytes[..]
        );
    }
    StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
}

#[test]
fn verify_is_interrupted_and_says_how_far_it_came() {
    use rustix::process::Signal;
    for (running, sent) in [
        (true, Signal::INT),
        (false, Signal::INT),
        (false, Signal::TERM),
    ] {
        interrupted(running, sent);
    }
}

fn interrupted(running: bool, sent: rustix::process::Signal) {
    let mut larder = Larder::start(&GitLab::start());
    if !running {
        larder.terminate();
    }
    // Sparse: nothing on the disk, and long to hash.
    let (path, _) = stray(&larder, b"sparse");
    File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(8 << 30))
        .expect("a long file");
    let process = larder
        .start_command(&["verify"])
        .spawn()
        .expect("it starts");
    // By the daemon, or by the command itself.
    let hashing = if running { larder.pid() } else { process.id() };
    eventually("the file is being hashed", || has_open(hashing, &path));
    std::thread::sleep(Duration::from_millis(100));
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, sent).expect("it runs");
    let output = process.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("interrupted: 0 of 1 bodies were checked"),
        "{said}"
    );
    assert!(path.exists(), "not judged before its end");
    assert_eq!(
        larder.cache_dir().join(".control").exists(),
        running,
        "a daemon inside it ends in order"
    );
}

fn has_open(pid: u32, path: &std::path::Path) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == path))
}
