//! R34: what a bundle says of files loosens the far side's policies only by the word of a key that
//! its operator allows, and only for as long as the near side says it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{JSON, get_as, names};
use crate::support::larder::Builder;
use crate::support::{Artifact, Distribution, GitLab, Larder, NewFile, path, token};

const RULE: &str = "min_age = \"7d\"";
const DATES: &str = "[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"\nupload_dates = true\n";
const OPEN: &str = "[auth]\noffline = \"open\"\n";

fn wheel() -> Artifact {
    Distribution::new("some.lib", "2.0").wheel()
}

fn page() -> String {
    path::project_page(42, "some-lib")
}

fn gitlab(days: u64) -> GitLab {
    let uploaded = SystemTime::now() - Duration::from_secs(days * 86_400);
    let gitlab = GitLab::start();
    gitlab.publish(42, NewFile::from(wheel()).uploaded(uploaded));
    gitlab
}

/// A key in this folder, and the section that allows it.
fn key(folder: &Path) -> (String, String) {
    let key = folder.join("key").to_string_lossy().into_owned();
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", "ed25519", "-f", &key])
        .status();
    assert!(made.expect("ssh-keygen").success());
    let public = std::fs::read_to_string(format!("{key}.pub")).expect("a public key");
    let signers = folder.join("signers");
    std::fs::write(&signers, format!("larder {public}")).expect("a writable folder");
    (key, format!("[import]\nallowed_signers = {signers:?}\n"))
}

fn run(larder: &Larder, arguments: &[&str]) {
    let done = larder.command(arguments);
    assert!(done.status.success(), "{done:?}");
}

fn far(gitlab: &GitLab, top: &str, sections: &str) -> Builder {
    Larder::builder(gitlab)
        .setting(top)
        .gitlab_setting(RULE)
        .sections(sections)
}

fn in_force(larder: &Larder) -> u64 {
    let status = larder.client().get("/-/status").json();
    let holding = &status["policies"]["exceptions"]["in_force"];
    holding.as_u64().expect("a number")
}

/// Blocks until the wall clock shows another second: bundles are dated by it.
fn next_second() {
    let second = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.expect("after the epoch").as_secs()
    };
    let before = second();
    eventually("a second passes", || second() > before);
}

#[test]
fn r34_an_exception_that_the_near_side_withdrew_is_over_on_the_far_side() {
    let gitlab = gitlab(1);
    let exception = |until: &str| {
        format!(
            "[[exceptions]]\npackage = \"some-lib\"\nversion = \"==2.0\"\nuntil = \"{until}\"\nreason = \"a fix\"\n"
        )
    };
    let near = |sections: &str| far(&gitlab, "", &format!("{DATES}{sections}"));
    let mut exporting = near(&exception("2999-01-01")).start();
    let client = exporting.client().token(token::READER);
    get_as(&client, &page(), JSON).expect(200);
    client.get(&path::project_file(42, &wheel())).expect(200);
    kept(&exporting, &wheel());
    let (key, import) = key(exporting.home());
    let folder = exporting.home().to_owned();
    let bundle = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let long = bundle("long.tar");
    run(&exporting, &["export", "--sign", &key, &long]);
    let mut later = Vec::new();
    for (name, sections) in [
        ("short.tar", exception("2998-01-01")),
        ("none.tar", String::new()),
    ] {
        exporting.terminate();
        next_second();
        exporting = near(&sections).at_home_of(&exporting).start();
        let bundle = bundle(name);
        run(&exporting, &["export", "--sign", &key, &bundle]);
        later.push(bundle);
    }
    let [short, none] = &later[..] else {
        panic!("two bundles: {later:?}");
    };
    let sections = format!("{import}{OPEN}");
    let mut importing = far(&gitlab, "offline = true", &sections).start();
    // A newer bundle without the package says nothing of it.
    let other = far(&gitlab, "", DATES).start();
    let reader = other.client().token(token::READER);
    let pkg = Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel();
    get_as(&reader, &path::project_page(42, "my-pkg"), JSON).expect(200);
    reader.get(&path::project_file(42, &pkg)).expect(200);
    kept(&other, &pkg);
    let apart = bundle("apart.tar");
    run(&other, &["export", "--sign", &key, &apart]);
    let beside = far(&gitlab, "offline = true", &format!("{import}{OPEN}")).start();
    for bundle in [&long, &apart] {
        run(&beside, &["import", bundle]);
        assert_eq!(in_force(&beside), 1, "{bundle}");
    }
    // What a newer bundle says takes the place of what one before said, its silence too; an older
    // one brings nothing back.
    for (bundle, count) in [(&long, 1), (short, 1), (&long, 1), (none, 0), (&long, 0)] {
        run(&importing, &["import", bundle]);
        assert_eq!(in_force(&importing), count, "{bundle}");
        let given = importing.client().get(&path::project_file(42, &wheel()));
        assert_eq!(given.status, if count == 1 { 200 } else { 403 }, "{bundle}");
        let shown = get_as(&importing.client(), &page(), JSON);
        assert_eq!(names(&shown).len() as u64, count, "{bundle}");
    }
    importing.wait_for_log("those of a newer bundle count");
    importing = importing.restart();
    assert_eq!(in_force(&importing), 0, "after a restart");
}

/// A bundle is made for another place: what it has nothing of is not named there.
#[test]
fn a_bundle_names_no_package_that_it_does_not_carry() {
    let gitlab = gitlab(30);
    let exception = |package: &str| {
        format!(
            "[[exceptions]]\npackage = \"{package}\"\nversion = \"==2.0\"\nuntil = \"2999-01-01\"\nreason = \"of {package}\"\n"
        )
    };
    let packages = ["some-lib", "some-secret", "public-lib"];
    let exceptions: String = packages.map(exception).concat();
    let larder = far(&gitlab, "", &format!("{DATES}{exceptions}"))
        .private_names(&["some-*"])
        .start();
    let client = larder.client().token(token::READER);
    get_as(&client, &page(), JSON).expect(200);
    client.get(&path::project_file(42, &wheel())).expect(200);
    kept(&larder, &wheel());
    let bundle = larder.home().join("bundle.tar");
    run(&larder, &["export", &bundle.to_string_lossy()]);
    let bytes = std::fs::read(bundle).expect("a bundle");
    let text = String::from_utf8_lossy(&bytes);
    for (package, is_named) in [
        ("some-lib", true),
        ("some-secret", false),
        ("public-lib", false),
    ] {
        let reason = format!("of {package}");
        assert_eq!(text.contains(&reason), is_named, "{package}");
    }
}

/// The near side's GitLab says that the file is old, the far side's that it is of yesterday.
#[test]
fn r34_a_bundle_that_no_allowed_key_signed_makes_no_file_older() {
    let old = gitlab(9000);
    let young = gitlab(1);
    let exporting = Larder::builder(&old)
        .gitlab_setting("min_age = \"7d\"\nundated = \"first-seen\"")
        .sections(DATES)
        .start();
    let client = exporting.client().token(token::READER);
    let address = path::project_file(42, &wheel());
    get_as(&client, &page(), JSON).expect(200);
    client.get(&address).expect(200);
    kept(&exporting, &wheel());
    let (key, import) = key(exporting.home());
    let [signed, unsigned] = ["signed.tar", "unsigned.tar"].map(|name| {
        let bundle = exporting.home().join(name);
        bundle.to_string_lossy().into_owned()
    });
    run(&exporting, &["export", "--sign", &key, &signed]);
    run(&exporting, &["export", &unsigned]);
    for (case, top, sections, arguments, given) in [
        (
            "signed",
            "offline = true",
            import.as_str(),
            vec!["import", signed.as_str()],
            true,
        ),
        (
            "any may come",
            "offline = true",
            "",
            vec!["import", unsigned.as_str()],
            true,
        ),
        (
            "let in",
            "offline = true",
            &import,
            vec!["import", "--unsigned", unsigned.as_str()],
            false,
        ),
        (
            "online, let in",
            "",
            &import,
            vec!["import", "--unsigned", unsigned.as_str()],
            false,
        ),
        ("online", "", "", vec!["import", unsigned.as_str()], false),
    ] {
        let sections = format!("{DATES}{OPEN}{sections}");
        let importing = far(&young, top, &sections).start();
        run(&importing, &arguments);
        let client = importing.client().token(token::READER);
        let reply = client.get(&address);
        assert_eq!(
            reply.status,
            if given { 200 } else { 403 },
            "{case}: {reply:?}"
        );
        let shown = get_as(&client, &page(), JSON);
        assert_eq!(names(&shown).len(), usize::from(given), "{case}: {shown:?}");
    }
}
