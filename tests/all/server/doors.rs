//! The addresses at which people knock, and what they are told there.

use crate::support::{Client, GitLab, Larder, PublicIndex, token};

fn detail(client: &Client, address: &str) -> String {
    let reply = client.get(address);
    assert_eq!(reply.status, 404, "{address}: {reply:?}");
    let detail = reply.json()["detail"].as_str().map(str::to_owned);
    detail.unwrap_or_else(|| panic!("{address} says nothing: {reply:?}"))
}

#[test]
fn the_root_leads_to_the_status_page() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let behind_a_prefix = Larder::builder(&gitlab)
        .setting("public_url = \"https://larder.example/cache/\"")
        .start();
    for address in ["/", "/-"] {
        for (larder, home) in [(&larder, "/-/"), (&behind_a_prefix, "/cache/-/")] {
            let reply = larder.client().get(address);
            assert_eq!((reply.status, reply.header("Location")), (303, Some(home)));
            assert_eq!(larder.client().head(address).status, 303);
        }
        let posted = larder.client().post(address, "text/plain", b"x");
        assert_eq!(posted.status, 405);
    }
    assert!(larder.client().get("/-/").text().contains("Set me up"));
    assert!(gitlab.log().is_empty());
}

/// The address that a 404 gives is one that works.
#[test]
fn a_wrong_door_names_the_right_one() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let larder = Larder::builder(&gitlab).mirror("public", &index).start();
    let client = larder.client();
    for (address, right) in [
        ("/metrics", "/-/metrics"),
        ("/-/metrics/", "/-/metrics"),
        ("/healthz", "/-/health/live"),
        ("/health", "/-/health/live"),
        ("/readyz", "/-/health/ready"),
        ("/-/readiness", "/-/health/ready"),
        ("/status", "/-/"),
    ] {
        let said = detail(&client, address);
        assert!(said.contains(&format!(" at {right}")), "{address}: {said}");
        client.get(right).expect(200);
    }
    for address in ["/simple/", "/simple/my-pkg/", "/pypi/", "/my-pkg/"] {
        let said = detail(&client, address);
        for part in [
            "/api/v4/projects/ID/packages/pypi/simple/",
            "/api/v4/groups/ID/-/packages/pypi/simple/",
            "/NAME/simple/",
        ] {
            assert!(said.contains(part), "{address}: {said}");
        }
    }
    let said = detail(&client, "/nowhere/simple/my-pkg/");
    assert!(said.contains("no mirror is called nowhere"), "{said}");
    assert!(gitlab.log().is_empty() && index.log().is_empty());
}

#[test]
fn a_path_that_is_not_escaped_comes_back_escaped() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    for (address, right) in [
        (
            "/api/v4/projects/acme/widgets/packages/pypi/simple/my-pkg/",
            "/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/my-pkg/",
        ),
        (
            "/api/v4/groups/7/packages/pypi/simple/my-pkg",
            "/api/v4/groups/7/-/packages/pypi/simple/my-pkg/",
        ),
    ] {
        let said = detail(&client, address);
        assert!(said.ends_with(right), "{address}: {said}");
        client.get(right).expect(200);
    }
    let said = detail(&client, "/api/v4/user");
    assert!(said.contains("/packages/pypi/"), "{said}");
    // pip and twine show the reason phrase alone.
    let reply = client.get("/api/v4/projects/acme/widgets/packages/pypi/simple/");
    let right = "acme%2Fwidgets/packages/pypi/simple/";
    assert!(reply.reason.ends_with(right), "{reply:?}");
}
