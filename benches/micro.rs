//! The small steps of a request, each by itself.
//!
//! ```text
//! cargo bench --profile dist --bench micro                     # time and allocations, by divan
//! cargo bench --profile dist --bench micro -- links            # those with this in their name
//! cargo bench --profile dist --bench micro -- --instructions   # instructions of each, as Markdown; needs valgrind
//! ```
//!
//! Times are good to a tenth on a quiet machine and mean little on a busy one. Instructions are
//! exact to a few in a thousand on any: valgrind counts those of the process, of all its threads,
//! while it does the step a number of times and twice that number, and the difference is divided.
//! What the kernel does is in neither.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own: it owns its clock and its folders"
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use divan::{AllocProfiler, Bencher};
use http::{Method, StatusCode, Uri};
use larder::access::{Access, AuthConfig, Caller, Credential, ListedFiles};
use larder::admin::Metrics;
use larder::index::Coding;
use larder::index::measured::{
    CacheEntry, CacheKey, LinkPolicy, LinkRules, Memory, Page, RewriteJob, Rewriting, RewrittenPage,
};
use larder::log::LogConfig;
use larder::registry::policy::{AgeRule, Policies};
use larder::registry::{
    AdvisoryFeed, AdvisoryRule, AdvisorySet, AdvisorySetBuilder, Base, Bases, FileRef, PageRef,
    PrivateNames, Route, Scope, ScopeKind, Severity, StaleRule, VulnerableRule,
};
use larder::server::measured::{AccessLogEntry, ClientAddress, LoggedRequest};
use larder::simple::{FileFacts, Format, WheelFilename};
use larder::store::{DatedFile, PageDates, Store};
use larder::upstream::Validators;
use larder::values::byte_range::{ByteRange, Extent};
use larder::values::cache_status::CacheStatus;
use larder::values::correlation::Correlation;
use larder::values::digest::Digest;
use larder::values::quantity::Size;
use larder::values::request_id::RequestId;
use larder::wheel::extract;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// In the order of a request's way.
const STEPS: [Step; 14] = [
    Step::new("route of a page", 20_000, page_route),
    Step::new("route of a file", 20_000, file_route),
    Step::new("range of a file", 20_000, range),
    Step::new("right to a page", 20_000, page_right),
    Step::new("right to a file", 20_000, file_right),
    Step::new("page in memory", 20_000, page_in_memory),
    Step::new("entry in the access log", 5_000, access_log_entry),
    Step::new("11 links rewritten", 100, eleven_links),
    Step::new("5,000 links rewritten", 2, many_links),
    Step::new("5,000 links rewritten, by age", 2, judged_links),
    Step::new("5,000 links rewritten, advisories", 2, known_links),
    Step::new("the same, 100 about the project", 2, guilty_links),
    Step::new("METADATA of a wheel", 100, metadata),
    Step::new("100,000 advisories read", 1, advisories),
];

/// `--run STEP TIMES`: what valgrind is to count.
const RUN: &str = "--run";

const INSTRUCTIONS: &str = "--instructions";

const GITLAB: &str = "https://gitlab.example";
const PAGE: &str = "/api/v4/projects/42/packages/pypi/simple/demo-pkg/";
const WHEEL: &str = "requests-2.34.2-py3-none-any.whl";
const FILE_BYTES: u64 = 1_000_000;

const ADVISORIES: usize = 100_000;

/// The callers that have a right beside the one that is looked up.
const CALLERS: usize = 1_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [RUN, name, times] => run(name, times),
        words if words.contains(&INSTRUCTIONS) => instructions(),
        _ => {
            divan::main();
            ExitCode::SUCCESS
        }
    }
}

#[divan::bench(args = STEPS.map(|step| step.name))]
fn micro(bencher: Bencher<'_, '_>, name: &str) {
    let step = Step::named(name).expect("of the list");
    let mut work = (step.prepare)();
    bencher.bench_local(&mut work);
}

/// What is measured: a closure that does it once.
type Work = Box<dyn FnMut()>;

#[derive(Clone, Copy)]
struct Step {
    name: &'static str,
    /// So often it is done for the count of its instructions.
    times: u64,
    prepare: fn() -> Work,
}

impl Step {
    const fn new(name: &'static str, times: u64, prepare: fn() -> Work) -> Self {
        Self {
            name,
            times,
            prepare,
        }
    }

    fn named(name: &str) -> Option<Self> {
        STEPS.into_iter().find(|step| step.name == name)
    }
}

fn run(name: &str, times: &str) -> ExitCode {
    let (Some(step), Ok(times)) = (Step::named(name), times.parse::<u64>()) else {
        return ExitCode::from(2);
    };
    let mut work = (step.prepare)();
    for _ in 0..times {
        work();
    }
    ExitCode::SUCCESS
}

fn instructions() -> ExitCode {
    println!("| step | instructions |");
    println!("| --- | ---: |");
    for step in STEPS {
        let counted = counted(step.name, step.times)
            .and_then(|once| Ok((once, counted(step.name, 2 * step.times)?)));
        match counted {
            Ok((once, twice)) => {
                let each = twice.saturating_sub(once) / step.times;
                println!("| {} | {} |", step.name, grouped(each));
            }
            Err(why) => {
                eprintln!("{}: {why}", step.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// The instructions of a process of this program that does the step so often.
fn counted(name: &str, times: u64) -> Result<u64, String> {
    let folder = TempDir::new().map_err(|why| why.to_string())?;
    let counts = folder.path().join("counts");
    let program = std::env::current_exe().map_err(|why| why.to_string())?;
    let ended = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(program)
        .args([RUN, name, &times.to_string()])
        .stderr(Stdio::null())
        .status()
        .map_err(|why| format!("valgrind: {why}"))?;
    if !ended.success() {
        return Err(format!("valgrind: {ended}"));
    }
    let counts = fs::read_to_string(counts).map_err(|why| why.to_string())?;
    let totals = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let totals = totals.ok_or("valgrind tells no totals")?;
    totals.trim().parse().map_err(|_| totals.to_owned())
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn page_route() -> Work {
    let uri = Uri::from_static(PAGE);
    Box::new(move || {
        black_box(Route::parse(&Method::GET, black_box(&uri))).expect("a page");
    })
}

fn file_route() -> Work {
    let uri: Uri = file(0).path().parse().expect("an address");
    Box::new(move || {
        black_box(Route::parse(&Method::GET, black_box(&uri))).expect("a file");
    })
}

fn range() -> Work {
    Box::new(|| {
        let range = ByteRange::parse(black_box("bytes=983616-999999"));
        let extent = range.and_then(|range| range.on(black_box(FILE_BYTES)));
        black_box(extent).expect("satisfiable");
    })
}

/// A table of rights in which many callers have one to the page and its files, and the last of them.
fn rights() -> (Access, Caller) {
    let access = Access::new(&AuthConfig::default());
    let files: Vec<FileRef> = (0..11).map(file).collect();
    let listings = [(project(), Arc::new(ListedFiles::new(&files)))];
    let mut caller = Caller::anonymous();
    for number in 0..=CALLERS {
        let token = format!("glpat-{number}");
        caller = access.identify(Credential::basic("job", token.as_bytes()));
        access.admit_page(caller.fingerprint(), &page(), &listings, Instant::now());
    }
    (access, caller)
}

fn page_right() -> Work {
    let (access, caller) = rights();
    let page = page();
    let now = Instant::now();
    Box::new(move || {
        let standing = access.page(caller.fingerprint(), black_box(&page), now);
        black_box(standing).permit().expect("a right");
    })
}

fn file_right() -> Work {
    let (access, caller) = rights();
    let file = file(7);
    let now = Instant::now();
    Box::new(move || {
        let standing = access.file(caller.fingerprint(), black_box(&file), now);
        black_box(standing).permit().expect("a right");
    })
}

fn page_in_memory() -> Work {
    let folder = TempDir::new().expect("a folder");
    let store = Store::open(folder.path(), 1 << 30).expect("a store");
    let memory = Memory::new(Size::mebibytes(16));
    let caller = Caller::anonymous();
    let body = listing(11);
    let prepared = Page::prepare(
        rewritten(&job(Policies::default()), &body),
        &store.metadata_index,
        0,
        Instant::now(),
    );
    let key = CacheKey::new(page(), Format::Html, &caller);
    let kept = memory.keep(
        &key,
        &body,
        &Arc::new(prepared.expect("a page")),
        Some(Instant::now()),
    );
    memory.show(&key, CacheEntry::new(kept, Instant::now()));
    let page = page();
    Box::new(move || {
        let key = CacheKey::new(black_box(&page).clone(), Format::Html, &caller);
        let (_, page) = memory.entry(&key).expect("it is there");
        black_box(page.forms().choose([Coding::Gzip]).body.clone());
    })
}

/// With the line of the log, as it is by default, and the writing of it.
fn access_log_entry() -> Work {
    // It is a log of lines that are not to be read.
    let nowhere = File::create("/dev/null").expect("everything goes in there");
    rustix::stdio::dup2_stderr(&nowhere).expect("another standard error");
    let log = larder::log::start(&LogConfig::default()).ok();
    let metrics = Arc::new(Metrics::default());
    let client = ClientAddress::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    let route = Route::from_path(PAGE).expect("a page's");
    Box::new(move || {
        // Kept with the work; a second log is refused, and the first one goes on.
        let _ = &log;
        let request = LoggedRequest {
            client: Some(client),
            method: Method::GET,
            route: Ok(route.clone()),
            user_agent: None,
            since: Instant::now(),
            correlation: Correlation::new(RequestId::random()),
        };
        let mut entry = AccessLogEntry::new(Arc::clone(&metrics), request);
        entry.answered(StatusCode::OK, CacheStatus::HIT, None);
        entry.promised(Some(1_700));
        entry.sent(1_700);
        entry.ended();
        drop(black_box(entry));
    })
}

fn eleven_links() -> Work {
    links(11)
}

fn many_links() -> Work {
    links(5_000)
}

/// With a minimum age, and a date of each file.
fn judged_links() -> Work {
    let body = listing(5_000);
    let policies = Policies {
        gitlab: AgeRule {
            min_age: Duration::from_secs(7 * 24 * 3600),
            section: "gitlab".into(),
            ..AgeRule::default()
        },
        ..Policies::default()
    };
    let mut dates = PageDates::default();
    for number in 0..5_000 {
        let file = file(number);
        dates.add(DatedFile {
            digest: file.digest,
            filename: file.filename.as_str().to_owned(),
            facts: FileFacts {
                size: Some(1),
                upload_time: Some(SystemTime::UNIX_EPOCH),
            },
        });
    }
    let job = RewriteJob {
        dates: Arc::new(dates),
        ..job(policies)
    };
    Box::new(move || {
        black_box(rewritten(black_box(&job), black_box(&body)));
    })
}

/// No record is about the page's project, as of nearly every one.
fn known_links() -> Work {
    known(0)
}

fn guilty_links() -> Work {
    known(100)
}

fn known(about_the_project: usize) -> Work {
    let feed = AdvisoryFeed::new(Duration::ZERO, StaleRule::Refuse);
    feed.replace(Arc::new(read_advisories(about_the_project)), UNIX_EPOCH);
    let policies = Policies {
        advisories: AdvisoryRule {
            feed: Some(Arc::new(feed)),
            vulnerable: VulnerableRule::Refuse,
            min_severity: Severity::High,
        },
        ..Policies::default()
    };
    let body = listing(5_000);
    let job = job(policies);
    Box::new(move || {
        black_box(rewritten(&job, black_box(&body)));
    })
}

fn advisories() -> Work {
    Box::new(|| {
        black_box(read_advisories(0));
    })
}

/// Four of five about malware, as in what is published; the others about vulnerabilities, of which
/// some are about the page's project in versions that it does not have.
fn read_advisories(about_the_project: usize) -> AdvisorySet {
    let details = "A sentence about what this release does and how it was found. ".repeat(12);
    let versions: Vec<String> = (0..40).map(|minor| format!("\"1.{minor}\"")).collect();
    let versions = versions.join(",");
    let mut builder = AdvisorySetBuilder::default();
    for number in 0..ADVISORIES {
        let place = u32::try_from(number).expect("a small number");
        let record = if number % 5 > 0 {
            format!(
                r#"{{"id":"MAL-2026-{number}","modified":"2026-11-01T10:00:00Z","details":"{details}","affected":[{{"package":{{"ecosystem":"PyPI","name":"malicious-{number}"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}]}}],"versions":["1.0.0","1.0.1"]}}]}}"#
            )
        } else {
            let name = if number / 5 < about_the_project {
                "demo-pkg".to_owned()
            } else {
                format!("vulnerable-{}", number % 3_000)
            };
            format!(
                r#"{{"id":"PYSEC-2026-{number}","modified":"2026-11-01T10:00:00Z","details":"{details}","database_specific":{{"severity":"HIGH"}},"affected":[{{"package":{{"ecosystem":"PyPI","name":"{name}"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"0.0.1"}}]}}],"versions":[{versions}]}}]}}"#
            )
        };
        builder.add(record.as_bytes(), place).expect("a record");
    }
    builder.finish()
}

fn links(count: usize) -> Work {
    let body = listing(count);
    let job = job(Policies::default());
    Box::new(move || {
        black_box(rewritten(&job, black_box(&body)));
    })
}

fn metadata() -> Work {
    let path = format!("{}/tests/wheels/{WHEEL}", env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(path).expect("a wheel of the tests");
    Box::new(move || {
        let name = WheelFilename::parse(black_box(WHEEL)).expect("a wheel's name");
        let read = |span: Extent| bytes.get(span.start as usize..span.end as usize);
        let read = |span| read(span).map(<[u8]>::to_vec).ok_or(());
        let found = extract(name, bytes.len() as u64, read);
        black_box(found).expect("its bytes").expect("its METADATA");
    })
}

fn project() -> Scope {
    Scope::parse(ScopeKind::Project, "42").expect("a project")
}

fn page() -> PageRef {
    PageRef::parse(project(), "demo-pkg").expect("a page")
}

fn file(number: usize) -> FileRef {
    match Route::from_path(&file_path(number)) {
        Ok(Route::File(file)) => file,
        other => panic!("no file: {other:?}"),
    }
}

fn file_path(number: usize) -> String {
    let digest = Digest::of(&number.to_le_bytes());
    let filename = format!("demo_pkg-1.{number}.0-py3-none-any.whl");
    format!("/api/v4/projects/42/packages/pypi/files/{digest}/{filename}")
}

/// A page as GitLab writes it.
fn listing(count: usize) -> Vec<u8> {
    let mut html = String::from(
        "<!DOCTYPE html>\n<html>\n  <head>\n    <title>Links for demo-pkg</title>\n  </head>\n  \
         <body>\n    <h1>Links for demo-pkg</h1>\n",
    );
    for number in 0..count {
        let path = file_path(number);
        let digest = Digest::of(&number.to_le_bytes());
        let filename = path.rsplit('/').next().unwrap_or_default();
        html.push_str(&format!(
            "    <a href=\"{GITLAB}{path}#sha256={digest}\" data-requires-python=\"&gt;=3.8\">\
             {filename}</a><br>\n"
        ));
    }
    html.push_str("  </body>\n</html>\n");
    html.into_bytes()
}

fn job(policies: Policies) -> RewriteJob {
    let base = Base::parse(GITLAB).expect("a base");
    let rules = LinkRules::GitLab {
        bases: Bases::new(base.clone(), Vec::new()),
        mirrors: Arc::from([]),
    };
    let private = PrivateNames::parse(&[]).expect("no names");
    RewriteJob {
        page: page(),
        source: Format::Html,
        target: Format::Html,
        url: base.url(&Route::Page(page())),
        links: LinkPolicy::new(rules, Arc::new(private), Arc::new(policies), ""),
        dates: Arc::default(),
    }
}

fn rewritten(job: &RewriteJob, body: &[u8]) -> RewrittenPage {
    match Rewriting::whole(job, body, &Validators::default()) {
        Ok(page) => page,
        Err(why) => panic!("the page is one: {why}"),
    }
}
