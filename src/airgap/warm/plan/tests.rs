//! Plans over small pages made in memory.

use proptest::prelude::*;

use super::*;
use crate::airgap::lockfile::marker::Marker;
use crate::airgap::warm::target::TargetEnvironment;

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
fn page(of: &str, filenames: &[&str]) -> PageLookup {
    let file = |name: &&str| {
        let (is_yanked, name) = name
            .strip_prefix('!')
            .map_or((false, *name), |name| (true, name));
        serde_json::json!({"filename": name, "url": format!("/{of}/p/{name}"), "yanked": is_yanked, "size": 10,
            "hashes": {"sha256": digest(name).to_string()}, "upload-time": "2024-01-01T00:00:00Z"})
    };
    let files: Vec<_> = filenames.iter().map(file).collect();
    let json = serde_json::json!({"meta": {"api-version": "1.0"}, "name": "a", "files": files})
        .to_string();
    PageLookup::Page(ServedPage::read(scope(of), &project(), json.as_bytes(), "").unwrap())
}

fn want(versions: WantedVersions, files: WantedFiles) -> WantedProject {
    WantedProject {
        project: project(),
        versions,
        files,
        requires_python: None,
        marker: None,
        prereleases: None,
        place: "test".to_owned(),
    }
}

fn pin(version: &str) -> WantedVersions {
    WantedVersions::Exactly(version.parse().unwrap())
}

fn named(filename: &str, sha256: Option<Digest>) -> WantedFiles {
    WantedFiles::Named(vec![NamedFile {
        filename: filename.to_owned(),
        sha256,
        size: None,
        url: None,
    }])
}

fn made(wanted: WantedProject, looked: Vec<PageLookup>, rules: &SelectionRules) -> WarmPlan {
    plan(&[wanted], &ProjectPages::from([(project(), looked)]), rules)
}

fn names(plan: &WarmPlan) -> Vec<&str> {
    plan.files
        .iter()
        .map(|file| file.filename.as_str())
        .collect()
}

fn whys(plan: &WarmPlan) -> Vec<String> {
    plan.missing
        .iter()
        .map(|missing| missing.why.to_string())
        .collect()
}

const WHEEL: &str = "a-1.0-py3-none-any.whl";
const SDIST: &str = "a-1.0.tar.gz";

#[test]
fn a_locked_file_is_taken_by_its_hash_and_no_other() {
    let rules = SelectionRules::default();
    let by_hash = WantedFiles::Hashed([digest(WHEEL), digest("gone")].into());
    let plan = made(
        want(pin("1.0"), by_hash),
        vec![page("one", &[WHEEL, SDIST])],
        &rules,
    );
    assert_eq!(names(&plan), [WHEEL]);
    assert_eq!(whys(&plan), ["no file on the page has this sha256"]);
    assert_eq!(plan.bytes(), (10, 0));

    let agrees = made(
        want(pin("1.0"), named(WHEEL, Some(digest(WHEEL)))),
        vec![page("one", &[WHEEL])],
        &rules,
    );
    assert_eq!(names(&agrees), [WHEEL]);
    let other = made(
        want(pin("1.0"), named(WHEEL, Some(digest("x")))),
        vec![page("one", &[WHEEL])],
        &rules,
    );
    assert_eq!(
        whys(&other),
        [format!("the page says another sha256: {}", digest(WHEEL))]
    );
    let gone = made(
        want(pin("2.0"), named("a-2.0.tar.gz", None)),
        vec![page("one", &[WHEEL])],
        &rules,
    );
    assert_eq!(whys(&gone), ["no file on the page has this name"]);
}

#[test]
fn a_page_that_was_not_had_is_said_to_be_the_cause() {
    let rules = SelectionRules::default();
    let lock = || want(pin("1.0"), named(WHEEL, Some(digest(WHEEL))));
    let refused = PageLookup::Failed(scope("one"), "the index refused: 403".to_owned());
    let plan = made(lock(), vec![refused.clone(), page("two", &[SDIST])], &rules);
    assert_eq!(whys(&plan), ["one: the index refused: 403"]);
    let none = made(
        lock(),
        vec![
            PageLookup::NotThere(scope("one")),
            PageLookup::NotThere(scope("two")),
        ],
        &rules,
    );
    assert_eq!(whys(&none), ["no such project in one, two"]);
    let second = made(lock(), vec![refused, page("two", &[WHEEL])], &rules);
    assert_eq!(names(&second), [WHEEL], "a hash tells who may be believed");
}

#[test]
fn an_unlocked_project_comes_from_the_first_scope_that_has_it() {
    let rules = SelectionRules::default();
    let any = || want(WantedVersions::Latest(1), WantedFiles::Any);
    let two = || page("two", &["a-9.0-py3-none-any.whl"]);
    let plan = made(
        any(),
        vec![
            PageLookup::NotThere(scope("zero")),
            page("one", &[WHEEL, SDIST]),
            two(),
        ],
        &rules,
    );
    assert_eq!(names(&plan), [WHEEL, SDIST]);
    let refused = PageLookup::Failed(scope("one"), "timed out".to_owned());
    let plan = made(any(), vec![refused, two()], &rules);
    assert_eq!(
        (names(&plan).len(), whys(&plan)),
        (0, vec!["one: timed out".to_owned()])
    );
    let plan = made(
        want(pin("3.0"), WantedFiles::Any),
        vec![page("one", &[WHEEL])],
        &rules,
    );
    assert_eq!(whys(&plan), ["no version matches"]);
}

#[test]
fn filters_leave_out_and_say_why() {
    let windows = "a-1.0-cp312-cp312-win_amd64.whl";
    let linux = "a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl";
    let looked = || {
        vec![page(
            "one",
            &[windows, linux, "!a-1.1-py3-none-any.whl", SDIST],
        )]
    };
    let target = |sdists| SelectionRules {
        target: TargetEnvironment::parse(
            &["3.12".to_owned()],
            &["manylinux_2_28_x86_64".to_owned()],
            None,
            &[],
        )
        .unwrap(),
        sdists,
        ..SelectionRules::default()
    };
    let any = || want(WantedVersions::Latest(1), WantedFiles::Any);
    let plan = made(any(), looked(), &target(Sdists::IfNoWheel));
    assert_eq!(names(&plan), [linux]);
    let filtered: Vec<(&str, &FilterReason)> = plan
        .filtered
        .iter()
        .map(|out| (out.item.as_str(), &out.why))
        .collect();
    assert_eq!(
        filtered,
        [
            (windows, &FilterReason::Tags),
            ("a-1.1-py3-none-any.whl", &FilterReason::Yanked),
            (SDIST, &FilterReason::HasWheel)
        ]
    );
    assert_eq!(
        names(&made(any(), looked(), &target(Sdists::Also))),
        [linux, SDIST]
    );
    assert_eq!(
        names(&made(any(), looked(), &target(Sdists::Never))),
        [linux]
    );

    let yanked = WantedFiles::Hashed([digest("a-1.1-py3-none-any.whl")].into());
    let plan = made(want(pin("1.1"), yanked), looked(), &target(Sdists::Also));
    assert_eq!(names(&plan), ["a-1.1-py3-none-any.whl"], "locked by hash");
    let early = SelectionRules {
        before: Some(std::time::UNIX_EPOCH),
        ..SelectionRules::default()
    };
    assert_eq!(
        whys(&made(any(), looked(), &early)),
        ["no file of a matching version passes the filters"]
    );
    let python = WantedProject {
        requires_python: ">=3.13".parse().ok(),
        ..any()
    };
    let plan = made(python, looked(), &target(Sdists::Also));
    assert!(plan.files.is_empty() && plan.missing.is_empty() && plan.filtered.len() == 1);
}

const LINUX: &str = "a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl";
const WINDOWS: &str = "a-1.0-cp311-cp311-win_amd64.whl";

/// For 3.11 and 3.12, on Linux and Windows.
fn four_machines(sdists: Sdists) -> SelectionRules {
    let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let target = TargetEnvironment::parse(
        &words("3.11,3.12"),
        &words("manylinux_2_28_x86_64,win_amd64"),
        None,
        &[],
    );
    SelectionRules {
        target: target.unwrap(),
        sdists,
        ..SelectionRules::default()
    }
}

/// The machines that lack something, and those that need anything.
fn short(plan: &WarmPlan) -> (Vec<&str>, usize) {
    (
        plan.missing
            .iter()
            .filter_map(|missing| missing.target.as_deref())
            .collect(),
        plan.needs.len(),
    )
}

#[test]
fn a_machine_for_which_no_locked_file_is_lacks_the_package() {
    let locked = |filenames: &[&str]| {
        let file = |name: &&str| NamedFile {
            filename: (*name).to_owned(),
            sha256: Some(digest(name)),
            size: None,
            url: None,
        };
        want(
            pin("1.0"),
            WantedFiles::Named(filenames.iter().map(file).collect()),
        )
    };
    let looked = || vec![page("one", &[LINUX, WINDOWS, SDIST])];
    let rules = four_machines(Sdists::Also);
    let plan = made(locked(&[LINUX, WINDOWS]), looked(), &rules);
    assert_eq!(
        short(&plan),
        (vec!["3.11 manylinux_2_28_x86_64", "3.12 win_amd64"], 4)
    );
    assert_eq!(
        whys(&plan)[0],
        "none of the locked files fits (2 for other machines)"
    );
    assert_eq!(
        short(&made(locked(&[LINUX, WINDOWS, SDIST]), looked(), &rules)),
        (vec![], 4),
        "can be built"
    );
    let never = made(
        locked(&[LINUX, WINDOWS, SDIST]),
        looked(),
        &four_machines(Sdists::Never),
    );
    assert_eq!(short(&never).0.len(), 2);
    assert_eq!(
        whys(&never)[0],
        "none of the locked files fits (1 a source distribution, 2 for other machines)"
    );

    // Where its marker is false no machine lacks it, and where it is not for this Python.
    let marked = |marker: &str| WantedProject {
        marker: Marker::parse(marker).ok(),
        ..locked(&[LINUX])
    };
    let linux = "python_version >= '3.12' and sys_platform == 'linux'";
    assert_eq!(short(&made(marked(linux), looked(), &rules)), (vec![], 1));
    assert_eq!(
        short(&made(marked("sys_platform == 'linux'"), looked(), &rules)),
        (vec!["3.11 manylinux_2_28_x86_64"], 2)
    );
    assert_eq!(
        short(&made(
            marked("implementation_name == 'pypy'"),
            looked(),
            &rules
        )),
        (vec![], 0)
    );
    let python = WantedProject {
        requires_python: ">=3.12".parse().ok(),
        ..locked(&[LINUX])
    };
    assert_eq!(
        short(&made(python, looked(), &rules)),
        (vec!["3.12 win_amd64"], 2)
    );

    // What is missing by name explains the machine that it is for, and no other.
    let gone = made(
        locked(&[LINUX, WINDOWS]),
        vec![page("one", &[LINUX])],
        &rules,
    );
    assert_eq!(
        short(&gone).0,
        ["3.11 manylinux_2_28_x86_64", "3.12 win_amd64"]
    );
    assert!(
        whys(&gone).contains(&"no file on the page has this name".to_owned())
            && gone.missing.len() == 3
    );
    // A hash does not tell what it is for.
    let hashes = want(
        pin("1.0"),
        WantedFiles::Hashed([digest(LINUX), digest("gone")].into()),
    );
    assert_eq!(short(&made(hashes, looked(), &rules)), (vec![], 4));
    let hashes = want(pin("1.0"), WantedFiles::Hashed([digest(LINUX)].into()));
    assert_eq!(short(&made(hashes, looked(), &rules)).0.len(), 3);
}

#[test]
fn an_sdist_is_left_out_where_each_machine_has_a_wheel() {
    let looked = |filenames: &[&str]| vec![page("one", filenames)];
    let rules = four_machines(Sdists::IfNoWheel);
    let any = || want(pin("1.0"), WantedFiles::Any);
    assert_eq!(
        names(&made(any(), looked(&[LINUX, WINDOWS, SDIST]), &rules)),
        [LINUX, WINDOWS, SDIST]
    );
    assert_eq!(
        names(&made(any(), looked(&[WHEEL, SDIST]), &rules)),
        [WHEEL]
    );
}

#[test]
fn each_machine_gets_the_newest_version_that_it_takes() {
    let older = "a-0.9-py3-none-any.whl";
    let any = || want(WantedVersions::Latest(1), WantedFiles::Any);
    let looked = || vec![page("one", &[LINUX, older, "a-0.8-py3-none-any.whl"])];
    let plan = made(any(), looked(), &four_machines(Sdists::Also));
    assert_eq!(
        (names(&plan), short(&plan)),
        (vec![LINUX, older], (vec![], 4))
    );
    let pinned = made(
        want(pin("1.0"), WantedFiles::Any),
        looked(),
        &four_machines(Sdists::Also),
    );
    assert_eq!(short(&pinned).0.len(), 3);
    assert_eq!(
        whys(&pinned)[0],
        "no file of a matching version passes the filters"
    );
}

#[test]
fn a_local_version_is_looked_for_in_every_scope() {
    let cpu = "a-2.0+cpu-py3-none-any.whl";
    let rules = SelectionRules::default();
    let pinned = |version: &str, looked| made(want(pin(version), WantedFiles::Any), looked, &rules);
    let two = || page("two", &[cpu, "a-2.0-py3-none-any.whl"]);
    let plan = pinned(
        "2.0+cpu",
        vec![page("one", &["a-2.0-py3-none-any.whl"]), two()],
    );
    assert_eq!(names(&plan), [cpu]);
    assert!(plan.files[0].route.path().starts_with("/two/"));
    let refused = PageLookup::Failed(scope("one"), "timed out".to_owned());
    assert_eq!(
        whys(&pinned("2.0+cpu", vec![refused, two()])),
        ["one: timed out"],
        "it may have it"
    );
    assert_eq!(
        whys(&pinned("2.0+rocm", vec![two()])),
        ["no version matches"]
    );
    // Any other version is that of the scope that has the project first.
    assert_eq!(
        whys(&pinned("2.0", vec![page("one", &[WHEEL]), two()])),
        ["no version matches"]
    );
}

proptest! {
    #[test]
    fn a_machine_lacks_a_package_or_has_a_file_that_it_takes(
        on_page in proptest::collection::btree_set((0..5usize, 6..9u64), 0..8),
        platforms in proptest::collection::btree_set(0..3usize, 1..4),
        pythons in proptest::collection::btree_set(6..9u64, 1..3),
        named in any::<bool>(),
    ) {
        const PLATFORMS: [&str; 3] = ["manylinux_2_28_x86_64", "win_amd64", "macosx_14_0_arm64"];
        let name = |(kind, minor): &(usize, u64)| match kind {
            3 => "a-1.0-py3-none-any.whl".to_owned(),
            4 => "a-1.0.tar.gz".to_owned(),
            at => format!("a-1.0-cp3{minor}-cp3{minor}-{}.whl", PLATFORMS[*at]),
        };
        let filenames: BTreeSet<String> = on_page.iter().map(name).collect();
        let filenames: Vec<&str> = filenames.iter().map(String::as_str).collect();
        let file = |name: &&str| NamedFile { filename: (*name).to_owned(), sha256: Some(digest(name)), size: None, url: None };
        let files = if named { WantedFiles::Named(filenames.iter().map(file).collect()) } else { WantedFiles::Any };
        let words: Vec<String> = pythons.iter().map(|minor| format!("3.{minor}")).collect();
        let tags: Vec<String> = platforms.iter().map(|at| PLATFORMS[*at].to_owned()).collect();
        let target = TargetEnvironment::parse(&words, &tags, None, &[]).unwrap();
        let rules = SelectionRules { target: target.clone(), ..SelectionRules::default() };
        prop_assume!(!filenames.is_empty());
        let plan = made(want(pin("1.0"), files), vec![page("one", &filenames)], &rules);
        let for_all = on_page.iter().any(|(kind, _)| *kind > 2);
        for (at, machine) in target.machines().iter().enumerate() {
            let (minor, platform) = (pythons.iter().nth(at / tags.len()).unwrap(), platforms.iter().nth(at % tags.len()).unwrap());
            let has_file = for_all || on_page.contains(&(*platform, *minor));
            let need = plan.needs.iter().find(|need| need.machine == at).unwrap();
            prop_assert_eq!(!need.files.is_empty(), has_file);
            let label = machine.to_string();
            prop_assert_eq!(plan.missing.iter().any(|missing| missing.target.as_ref() == Some(&label)), !has_file);
            for address in &need.files {
                prop_assert!(plan.files.iter().any(|file| file.route.path() == *address));
            }
        }
    }

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
        let hashes = WantedFiles::Hashed(locked.iter().map(|n| digest(&name(n))).collect());
        let sdists = if no_sdists { Sdists::Never } else { Sdists::Also };
        let rules = SelectionRules { sdists, ..SelectionRules::default() };
        let one = want(pin("1.0"), hashes);
        let wanted = if twice { vec![one.clone(), one] } else { vec![one] };
        let plan = plan(&wanted, &ProjectPages::from([(project(), vec![page("one", &filenames)])]), &rules);
        let expected: BTreeSet<String> =
            locked.intersection(&on_page).filter(|n| !no_sdists || !n.is_multiple_of(3)).map(name).collect();
        let found: BTreeSet<String> = plan.files.iter().map(|file| file.filename.clone()).collect();
        prop_assert_eq!(plan.files.len(), found.len());
        prop_assert_eq!(found, expected);
        let (of_machines, of_files): (Vec<&Missing>, Vec<&Missing>) =
            plan.missing.iter().partition(|missing| missing.target.is_some());
        prop_assert_eq!(of_files.len(), locked.difference(&on_page).count());
        prop_assert_eq!(plan.files.len() + plan.filtered.len() + of_files.len(), locked.len());
        // With all that it locks left out, no machine has it.
        prop_assert_eq!(of_machines.len(), usize::from(plan.files.is_empty() && of_files.is_empty()));
    }
}
