//! A mirror on a real socket: what it is sent, and what its answers become.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::connect::{ProxyEnvironment, SystemRoots, TransportConfig};
use super::*;
use crate::registry::{Route, Scope};
use crate::simple::Format;
use crate::values::quantity::Span;

const SECRET: &str = "callers-own";

/// Answers every request by its path, and keeps the heads.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap())
                    .lines()
                    .map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|client| !client.is_empty()).collect();
                let path = head[0].split(' ').nth(1).unwrap().to_owned();
                log.lock().push(head.join("\n").to_ascii_lowercase());
                stream.write_all(answer(&path).as_bytes()).unwrap();
            }
        });
        Self { url, seen }
    }

    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock())
    }
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{fields}\r\n{body}",
        body.len()
    )
}

fn transport() -> Transport {
    let environment = ProxyEnvironment::default();
    Transport::open(
        &TransportConfig::UNUSED,
        None,
        &environment,
        &SystemRoots::default(),
    )
    .unwrap()
}

fn config(server: &Server) -> MirrorConfig {
    MirrorConfig {
        url: format!("{}/simple/", server.url),
        retries: 0,
        ..MirrorConfig::default()
    }
}

fn mirror(config: &MirrorConfig) -> Mirror {
    let credential = Credential::mirror(Some("ann"), b"s3cret");
    let via = HeaderValue::from_static("1.1 larder-test");
    let transport = transport();
    let scope = Scope::mirror("pypi").unwrap();
    Mirror::new(
        MirrorBase::parse(scope, &config.url, &config.file_urls).unwrap(),
        config,
        &transport,
        credential,
        via,
    )
    .unwrap()
}

fn callers() -> Credential {
    let mut headers = HeaderMap::new();
    headers.insert("private-token", HeaderValue::from_static(SECRET));
    Credential::read(&headers).unwrap()
}

fn route(path: &str) -> Route {
    Route::from_path(path).unwrap()
}

async fn page(mirror: &Mirror, accept: Format) -> Result<PageAnswer, UpstreamError> {
    let route = route("/pypi/simple/foo/");
    let credential = callers();
    mirror
        .page(&UpstreamRequest {
            accept,
            ..UpstreamRequest::plain(&route, &credential)
        })
        .await
}

async fn file(mirror: &Mirror, path: &str) -> Result<FileAnswer, UpstreamError> {
    mirror
        .file(&UpstreamRequest::plain(&route(path), &callers()))
        .await
}

#[tokio::test]
async fn only_its_own_credential_goes_to_it_and_to_its_index_only() {
    let files = Server::start(|_| answer("200 OK", "", "wheel"));
    let elsewhere = files.url.clone();
    let index = Server::start(move |path| match path {
        "/simple/foo/" => answer("200 OK", "Content-Type: text/html\r\n", "<a>"),
        _ => answer(
            "302 Found",
            &format!("Location: {elsewhere}/x/a-1.whl?sig=1\r\n"),
            "",
        ),
    });
    let files_prefixes = vec![format!("{}/", index.url), format!("{}/x/", files.url)];
    let mirror = mirror(&MirrorConfig {
        file_urls: files_prefixes,
        ..config(&index)
    });

    let Ok(PageAnswer::Page { answer, url }) = page(&mirror, Format::Html).await else {
        panic!("no page")
    };
    assert_eq!(
        (answer.status, url.path()),
        (StatusCode::OK, "/simple/foo/")
    );
    let place = files.url.replace("http://", "+");
    for path in [
        "/pypi/packages/a-1.whl".to_owned(),
        format!("/pypi/{place}/x/a-1.whl"),
    ] {
        assert!(
            matches!(file(&mirror, &path).await, Ok(FileAnswer::Whole(_))),
            "{path}"
        );
    }

    for head in index.heads() {
        assert!(
            head.contains("authorization: basic") && head.contains("via: 1.1 larder-test"),
            "{head}"
        );
        assert!(!head.contains(SECRET), "{head}");
    }
    let heads = files.heads();
    assert_eq!(heads.len(), 2);
    for head in heads {
        assert!(
            !head.contains("authorization") && !head.contains(SECRET),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_page_is_asked_for_in_the_formats_that_are_wanted_and_followed_where_it_moved() {
    let index = Server::start(|path| match path {
        "/simple/foo/" => answer("301 Moved Permanently", "Location: /other/foo/\r\n", ""),
        _ => answer("200 OK", "Content-Type: text/html\r\n", "<a>"),
    });
    let mirror = mirror(&config(&index));
    for (format, accept) in [
        (Format::Html, "accept: text/html"),
        (
            Format::Json,
            "accept: application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1",
        ),
    ] {
        let Ok(PageAnswer::Page { url, .. }) = page(&mirror, format).await else {
            panic!("no page")
        };
        assert_eq!(url.path(), "/other/foo/");
        for head in index.heads() {
            assert!(head.lines().any(|client| client == accept), "{head}");
        }
    }
}

#[tokio::test]
async fn a_redirect_to_an_origin_that_is_not_listed_is_not_followed() {
    let canary = Server::start(|_| answer("200 OK", "Content-Type: text/html\r\n", "<a>"));
    let location = format!("Location: {}/simple/foo/\r\n", canary.url);
    let index = Server::start(move |_| answer("302 Found", &location, ""));
    let refused = mirror(&config(&index));
    assert!(matches!(
        page(&refused, Format::Html).await,
        Err(UpstreamError::RedirectForbidden(_))
    ));
    let path = "/pypi/a-1.whl";
    assert!(matches!(
        file(&refused, path).await,
        Err(UpstreamError::RedirectForbidden(_))
    ));
    assert!(canary.heads().is_empty());
    let allowed = mirror(&MirrorConfig {
        redirects: vec![canary.url.clone()],
        ..config(&index)
    });
    assert!(matches!(
        page(&allowed, Format::Html).await,
        Ok(PageAnswer::Page { .. })
    ));
    assert!(
        canary
            .heads()
            .iter()
            .all(|head| !head.contains("authorization"))
    );
}

#[tokio::test]
async fn a_redirect_without_end_is_given_up() {
    let index = Server::start(|_| answer("302 Found", "Location: /simple/foo/\r\n", ""));
    let mirror = mirror(&config(&index));
    assert!(matches!(
        page(&mirror, Format::Html).await,
        Err(UpstreamError::Redirects(_))
    ));
    assert_eq!(index.heads().len(), HOPS_MAX + 1);
}

#[tokio::test]
async fn what_it_lacks_goes_on_in_neutral_words_and_what_it_refuses_larder_does_not() {
    let index = Server::start(|path| {
        let status = path.trim_start_matches("/a-").trim_end_matches(".whl");
        answer(
            &format!("{status} Oh"),
            "Content-Type: text/html\r\nSet-Cookie: x=1\r\n",
            "<h1>its own words</h1>",
        )
    });
    let mirror = mirror(&config(&index));
    for status in [404, 410, 451] {
        let Ok(FileAnswer::Refused(word)) = file(&mirror, &format!("/pypi/a-{status}.whl")).await
        else {
            panic!("{status}")
        };
        assert_eq!(word.status.as_u16(), status);
        let text = std::str::from_utf8(&word.body).unwrap();
        assert!(
            text.starts_with("the mirror pypi answered") && !text.contains("own words"),
            "{text}"
        );
        assert_eq!(word.headers.len(), 2, "{:?}", word.headers);
    }
    for status in [401, 403, 400, 500] {
        let Err(why) = file(&mirror, &format!("/pypi/a-{status}.whl")).await else {
            panic!("{status}")
        };
        let credential = matches!(why, UpstreamError::MirrorCredential(..));
        assert_eq!(credential, matches!(status, 401 | 403), "{status}: {why}");
        assert!(
            why.to_string().starts_with("the mirror pypi ") && !why.is_silence(),
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_path_below_no_prefix_is_not_there_and_nobody_is_asked() {
    let index = Server::start(|_| answer("200 OK", "", "wheel"));
    let prefixes = vec![
        "https://files.example/".to_owned(),
        format!("{}/x/", index.url),
    ];
    let mirror = mirror(&MirrorConfig {
        file_urls: prefixes,
        ..config(&index)
    });
    let path = format!(
        "/pypi/{}/y/a-1.whl",
        index.url.replace("http://", "~").replace(':', "~")
    );
    assert!(
        matches!(file(&mirror, &path).await, Ok(FileAnswer::Refused(word)) if word.status == 404)
    );
    assert!(index.heads().is_empty());
}

#[tokio::test]
async fn metadata_passes_and_says_nothing_of_the_mirror() {
    let index =
        Server::start(|_| answer("200 OK", "Set-Cookie: x=1\r\n", "Metadata-Version: 2.1\n"));
    let mirror = mirror(&config(&index));
    let route = route("/pypi/a-1-py3-none-any.whl.metadata");
    let credential = callers();
    let word = mirror
        .pass(&UpstreamRequest::plain(&route, &credential))
        .await
        .unwrap();
    assert_eq!(
        (word.status, &word.body[..]),
        (StatusCode::OK, &b"Metadata-Version: 2.1\n"[..])
    );
    assert!(word.headers.is_empty(), "{:?}", word.headers);
}

#[tokio::test]
async fn told_to_wait_it_is_not_asked_again_by_anybody() {
    let fields = "Retry-After: 600\r\nRateLimit-Remaining: 0\r\nX-GitLab-Meta: x\r\n";
    let index =
        Server::start(move |_| answer("429 Too Many Requests", fields, "<h1>slow down</h1>"));
    let mirror = mirror(&config(&index));
    for _ in 0..3 {
        let Ok(FileAnswer::Refused(word)) = file(&mirror, "/pypi/a-1.whl").await else {
            panic!("no word")
        };
        assert_eq!(word.status, StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = word.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((595..=600).contains(&wait), "{wait}");
        assert_eq!(word.headers["ratelimit-remaining"], "0");
        assert!(!word.headers.contains_key("x-gitlab-meta"));
    }
    assert_eq!(index.heads().len(), 1);
}

#[tokio::test]
async fn unreached_it_rests_and_its_files_elsewhere_do_not() {
    let files = Server::start(|_| answer("200 OK", "", "wheel"));
    let index = Server::start(|_| answer("502 Bad Gateway", "", ""));
    let prefixes = vec![format!("{}/", files.url)];
    let limits = MirrorConfig {
        file_urls: prefixes,
        breaker_failures: 2,
        breaker_open_for: Span::seconds(600),
        ..config(&index)
    };
    let mirror = mirror(&limits);
    assert_eq!(
        mirror.condition(clock::now()).state,
        crate::upstream::BreakerState::Closed
    );
    for _ in 0..2 {
        assert!(matches!(
            page(&mirror, Format::Html).await,
            Err(UpstreamError::Failed(..))
        ));
    }
    let Err(why) = page(&mirror, Format::Html).await else {
        panic!("a page")
    };
    assert!(
        why.is_silence() && why.to_string().contains("next try in 1s"),
        "{why}"
    );
    assert_eq!(
        (index.heads().len(), mirror.condition(clock::now()).state),
        (2, crate::upstream::BreakerState::Open)
    );
    assert!(matches!(
        file(&mirror, "/pypi/a-1.whl").await,
        Ok(FileAnswer::Whole(_))
    ));
    // After the pause one read finds out.
    tokio::time::sleep(std::time::Duration::from_millis(1050)).await;
    assert!(matches!(
        page(&mirror, Format::Html).await,
        Err(UpstreamError::Failed(..))
    ));
    assert!(matches!(
        page(&mirror, Format::Html).await,
        Err(UpstreamError::BreakerOpen(..))
    ));
    assert_eq!(index.heads().len(), 1);
}

#[tokio::test]
async fn a_probe_that_is_given_up_leaves_its_place() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/simple/", silent.local_addr().unwrap());
    let mirror = mirror(&MirrorConfig {
        url,
        retries: 0,
        breaker_failures: 1,
        breaker_open_for: Span::seconds(0),
        header_timeout: Span::seconds(1),
        ..MirrorConfig::default()
    });
    assert!(matches!(
        page(&mirror, Format::Html).await,
        Err(UpstreamError::Silent(..))
    ));
    for _ in 0..3 {
        let impatient = tokio::time::timeout(
            std::time::Duration::from_millis(50),
            page(&mirror, Format::Html),
        );
        assert!(impatient.await.is_err(), "the probe was not let through");
    }
    assert_eq!(
        mirror.condition(clock::now()).state,
        crate::upstream::BreakerState::HalfOpen
    );
}

#[tokio::test]
async fn a_file_host_that_a_page_named_is_at_a_public_address_or_is_not_asked() {
    let index = Server::start(|_| answer("404 Not Found", "", ""));
    let mirror = mirror(&config(&index));
    for (host, is_public) in [
        ("https://1.1.1.1/", true),
        ("http://1.1.1.1/", false),
        ("https://127.0.0.1/", false),
        ("https://[::1]/", false),
        ("https://169.254.169.254/", false),
        // A name, which is looked up.
        ("https://localhost/", false),
        ("https://localhost:8443/", false),
    ] {
        let host = Url::parse(host).unwrap();
        assert_eq!(mirror.is_public_host(&host).await, is_public, "{host}");
    }
    // What is refused there is refused again by the connection itself.
    let path = "/pypi/~localhost/a-1.whl";
    let hosts = mirror.base().hosts().unwrap();
    assert!(hosts.take(&Url::parse("https://localhost/").unwrap()));
    assert!(file(&mirror, path).await.is_err());
    assert_eq!(index.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn a_host_that_was_taken_before_the_start_is_no_host_that_the_operator_named() {
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let index = Server::start(|_| answer("200 OK", "", "wheel"));
    let by_name = index.url.replace("127.0.0.1", "localhost");
    for (url, host) in [
        // As after a restart, or a reload.
        (&index.url, "localhost"),
        // Another port of a host that the operator did name.
        (&by_name, "localhost"),
        // Literal addresses pass no resolver.
        (&index.url, "127.0.0.1"),
    ] {
        let scope = Scope::mirror("pypi").unwrap();
        let base = MirrorBase::parse(scope, &format!("{url}/simple/"), &[]).unwrap();
        let taken = Url::parse(&format!("https://{host}:{port}/")).unwrap();
        assert!(base.hosts().unwrap().take(&taken));
        let mirror = Mirror::new(
            base,
            &config(&index),
            &transport(),
            Credential::mirror(Some("ann"), b"s3cret"),
            HeaderValue::from_static("1.1 larder-test"),
        )
        .unwrap();
        let path = format!("/pypi/~{host}~{port}/a-1.whl");
        assert!(file(&mirror, &path).await.is_err(), "{taken}");
        let route = route(&path);
        let credential = callers();
        let request = UpstreamRequest::plain(&route, &credential);
        let examined = mirror.examine(Inquiry::File, &request).await;
        assert!(examined.is_err(), "{taken}");
        let connected = inside.accept().map(|_| ()).map_err(|why| why.kind());
        assert_eq!(
            connected,
            Err(std::io::ErrorKind::WouldBlock),
            "{url}: {taken}"
        );
    }
    assert_eq!(index.heads(), Vec::<String>::new());
}
