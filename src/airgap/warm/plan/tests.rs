//! Plans over small pages made in memory.

use proptest::prelude::*;

use super::*;
use crate::airgap::warm::target::Target;

fn scope(name: &str) -> Scope {
    Scope::mirror(name).unwrap()
}

fn project() -> ProjectName {
    ProjectName::parse("a").unwrap()
}

fn digest(filename: &str) -> Digest {
    Digest::of(filename.as_bytes())
}

/// A page of `a`; a file name that begins with `!` is yanked.
fn page(of: &str, filenames: &[&str]) -> Looked {
    let file = |name: &&str| {
        let (is_yanked, name) = name.strip_prefix('!').map_or((false, *name), |name| (true, name));
        serde_json::json!({"filename": name, "url": format!("/{of}/p/{name}"), "yanked": is_yanked, "size": 10,
            "hashes": {"sha256": digest(name).to_string()}, "upload-time": "2024-01-01T00:00:00Z"})
    };
    let files: Vec<_> = filenames.iter().map(file).collect();
    let json = serde_json::json!({"meta": {"api-version": "1.0"}, "name": "a", "files": files}).to_string();
    Looked::Page(Listing::read(scope(of), &project(), json.as_bytes(), "").unwrap())
}

fn want(versions: Versions, files: Files) -> Wanted {
    Wanted {
        project: project(),
        versions,
        files,
        requires_python: None,
        marker: None,
        prereleases: None,
        place: "test".to_owned(),
    }
}

fn pin(version: &str) -> Versions {
    Versions::Exactly(version.parse().unwrap())
}

fn named(filename: &str, sha256: Option<Digest>) -> Files {
    Files::Named(vec![NamedFile { filename: filename.to_owned(), sha256, size: None, url: None }])
}

fn made(wanted: Wanted, looked: Vec<Looked>, rules: &Rules) -> Plan {
    plan(&[wanted], &Pages::from([(project(), looked)]), rules)
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.files.iter().map(|file| file.filename.as_str()).collect()
}

fn whys(plan: &Plan) -> Vec<String> {
    plan.missing.iter().map(|missing| missing.why.to_string()).collect()
}

const WHEEL: &str = "a-1.0-py3-none-any.whl";
const SDIST: &str = "a-1.0.tar.gz";

#[test]
fn a_locked_file_is_taken_by_its_hash_and_no_other() {
    let rules = Rules::default();
    let by_hash = Files::Hashed([digest(WHEEL), digest("gone")].into());
    let plan = made(want(pin("1.0"), by_hash), vec![page("one", &[WHEEL, SDIST])], &rules);
    assert_eq!(names(&plan), [WHEEL]);
    assert_eq!(whys(&plan), ["no file on the page has this sha256"]);
    assert_eq!(plan.bytes(), (10, 0));

    let agrees =
        made(want(pin("1.0"), named(WHEEL, Some(digest(WHEEL)))), vec![page("one", &[WHEEL])], &rules);
    assert_eq!(names(&agrees), [WHEEL]);
    let other = made(want(pin("1.0"), named(WHEEL, Some(digest("x")))), vec![page("one", &[WHEEL])], &rules);
    assert_eq!(whys(&other), [format!("the page says another sha256: {}", digest(WHEEL))]);
    let gone = made(want(pin("2.0"), named("a-2.0.tar.gz", None)), vec![page("one", &[WHEEL])], &rules);
    assert_eq!(whys(&gone), ["no file on the page has this name"]);
}

#[test]
fn a_page_that_was_not_had_is_said_to_be_the_cause() {
    let rules = Rules::default();
    let lock = || want(pin("1.0"), named(WHEEL, Some(digest(WHEEL))));
    let refused = Looked::Failed(scope("one"), "the index refused: 403".to_owned());
    let plan = made(lock(), vec![refused.clone(), page("two", &[SDIST])], &rules);
    assert_eq!(whys(&plan), ["one: the index refused: 403"]);
    let none = made(lock(), vec![Looked::NotThere(scope("one")), Looked::NotThere(scope("two"))], &rules);
    assert_eq!(whys(&none), ["no such project in one, two"]);
    let second = made(lock(), vec![refused, page("two", &[WHEEL])], &rules);
    assert_eq!(names(&second), [WHEEL], "a hash tells who may be believed");
}

#[test]
fn an_unlocked_project_comes_from_the_first_scope_that_has_it() {
    let rules = Rules::default();
    let any = || want(Versions::Latest(1), Files::Any);
    let two = || page("two", &["a-9.0-py3-none-any.whl"]);
    let plan =
        made(any(), vec![Looked::NotThere(scope("zero")), page("one", &[WHEEL, SDIST]), two()], &rules);
    assert_eq!(names(&plan), [WHEEL, SDIST]);
    let refused = Looked::Failed(scope("one"), "timed out".to_owned());
    let plan = made(any(), vec![refused, two()], &rules);
    assert_eq!((names(&plan).len(), whys(&plan)), (0, vec!["one: timed out".to_owned()]));
    let plan = made(want(pin("3.0"), Files::Any), vec![page("one", &[WHEEL])], &rules);
    assert_eq!(whys(&plan), ["no version matches"]);
}

#[test]
fn filters_leave_out_and_say_why() {
    let windows = "a-1.0-cp312-cp312-win_amd64.whl";
    let linux = "a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl";
    let looked = || vec![page("one", &[windows, linux, "!a-1.1-py3-none-any.whl", SDIST])];
    let target = |sdists| Rules {
        target: Target::parse(&["3.12".to_owned()], &["manylinux_2_28_x86_64".to_owned()], None, &[])
            .unwrap(),
        sdists,
        ..Rules::default()
    };
    let any = || want(Versions::Latest(1), Files::Any);
    let plan = made(any(), looked(), &target(Sdists::IfNoWheel));
    assert_eq!(names(&plan), [linux]);
    let filtered: Vec<(&str, &Filter)> =
        plan.filtered.iter().map(|out| (out.item.as_str(), &out.why)).collect();
    assert_eq!(
        filtered,
        [(windows, &Filter::Tags), ("a-1.1-py3-none-any.whl", &Filter::Yanked), (SDIST, &Filter::HasWheel)]
    );
    assert_eq!(names(&made(any(), looked(), &target(Sdists::Also))), [linux, SDIST]);
    assert_eq!(names(&made(any(), looked(), &target(Sdists::Never))), [linux]);

    let yanked = Files::Hashed([digest("a-1.1-py3-none-any.whl")].into());
    let plan = made(want(pin("1.1"), yanked), looked(), &target(Sdists::Also));
    assert_eq!(names(&plan), ["a-1.1-py3-none-any.whl"], "locked by hash");
    let early = Rules { before: Some(std::time::UNIX_EPOCH), ..Rules::default() };
    assert_eq!(whys(&made(any(), looked(), &early)), ["no file of a matching version passes the filters"]);
    let python = Wanted { requires_python: ">=3.13".parse().ok(), ..any() };
    let plan = made(python, looked(), &target(Sdists::Also));
    assert!(plan.files.is_empty() && plan.missing.is_empty() && plan.filtered.len() == 1);
}

proptest! {
    #[test]
    fn each_locked_hash_is_planned_left_out_or_missing_once(
        on_page in proptest::collection::btree_set(0..12u8, 0..8),
        locked in proptest::collection::btree_set(0..12u8, 1..8),
        no_sdists in any::<bool>(),
        twice in any::<bool>(),
    ) {
        let name = |n: &u8| if n.is_multiple_of(3) { format!("a-1.{n}.tar.gz") } else { format!("a-1.{n}-py3-none-any.whl") };
        let filenames: Vec<String> = on_page.iter().map(name).collect();
        let filenames: Vec<&str> = filenames.iter().map(String::as_str).collect();
        let hashes = Files::Hashed(locked.iter().map(|n| digest(&name(n))).collect());
        let sdists = if no_sdists { Sdists::Never } else { Sdists::Also };
        let rules = Rules { sdists, ..Rules::default() };
        let one = want(pin("1.0"), hashes);
        let wanted = if twice { vec![one.clone(), one] } else { vec![one] };
        let plan = plan(&wanted, &Pages::from([(project(), vec![page("one", &filenames)])]), &rules);
        let expected: BTreeSet<String> =
            locked.intersection(&on_page).filter(|n| !no_sdists || !n.is_multiple_of(3)).map(name).collect();
        let found: BTreeSet<String> = plan.files.iter().map(|file| file.filename.clone()).collect();
        prop_assert_eq!(plan.files.len(), found.len());
        prop_assert_eq!(found, expected);
        prop_assert_eq!(plan.missing.len(), locked.difference(&on_page).count());
        prop_assert_eq!(plan.files.len() + plan.filtered.len() + plan.missing.len(), locked.len());
    }
}
