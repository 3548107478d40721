//! In which order parents are asked: rendezvous hashing (highest random weight; Thaler and
//! Ravishankar, 1998).
//!
//! Every parent has a weight for a key: a hash of its URL and the key. They are asked in the order
//! of their weights; the first is the key's *home*. So each larder of a fleet finds the same home by
//! itself, whatever the order of its list; a parent that is added takes over what it outweighs the
//! others at, and one that is removed leaves what was its to the next in each key's order: nothing
//! else moves. A ring of points (nginx `hash … consistent`, Envoy's ring hash) needs hundreds of
//! points for shares as even, and a table (Maglev) moves some of what neither of the two owns; with
//! a handful of parents every one is weighed for each request.
//!
//! The key is the project, without its scope: a project's pages, its files and their metadata have
//! one home. The page of a group lists files at the addresses of projects, and one that GitLab does
//! not have those of a mirror; what a parent makes of a wheel goes on the pages that it gives, and
//! a path at a mirror is found by the page that lists it. With another home for each file every
//! parent would have to fetch nearly every page.
//!
//! The next parent is asked when one is away: no connection, no answer in time, a break before the
//! answer, an open breaker, or a 502, 503 or 504 (as nginx's `proxy_next_upstream error timeout
//! http_502 http_503 http_504`), or a 508: it is the asking larder, or asks it. Any other answer is the answer: a refusal is GitLab's word, and
//! stays one whichever parent says it, but for a 404 of a file of the index that GitLab points to,
//! which a parent says too that has not learned it yet. Must not know what is asked, or who is away.

use crate::registry::Route;
use crate::simple::project_candidates;
use crate::values::digest::Digest;

/// The places of these parents in the order in which they are asked for a route.
pub fn order<'p>(parents: impl IntoIterator<Item = &'p str>, route: &Route) -> Vec<usize> {
    ranking(parents, &key(route))
}

fn ranking<'p>(parents: impl IntoIterator<Item = &'p str>, key: &str) -> Vec<usize> {
    let mut weighed = Vec::new();
    for (place, parent) in parents.into_iter().enumerate() {
        weighed.push((weight(parent, key), parent, place));
    }
    weighed.sort_unstable_by(|one, other| other.cmp(one));
    weighed.into_iter().map(|(_, _, place)| place).collect()
}

/// No URL has a blank, so that no two pairs are written alike.
fn weight(parent: &str, key: &str) -> [u8; 32] {
    *Digest::of(format!("{parent} {key}").as_bytes()).as_bytes()
}

/// The project; where there is none the scope.
fn key(route: &Route) -> String {
    let filename = match route {
        Route::Page(page) | Route::ProjectPage(page) => match &page.name {
            Some(name) => return name.to_string(),
            None => return page.scope.to_string(),
        },
        Route::File(file) | Route::Metadata(file) => file.filename.clone(),
        Route::Mirrored(path) => match path.metadata_of() {
            Some(wheel) => wheel.filename().clone(),
            None => path.filename().clone(),
        },
        Route::Upload { .. } | Route::Osv(_) | Route::Admin(_) => {
            return route.scope().map(ToString::to_string).unwrap_or_default();
        }
    };
    match project_candidates(filename.as_str()).first() {
        Some(name) => name.to_string(),
        None => filename.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn urls(count: usize) -> Vec<String> {
        let number = |number| format!("https://parent-{number}.example");
        (0..count).map(number).collect()
    }

    fn ranked<'p>(parents: &[&'p str], key: &str) -> Vec<&'p str> {
        let places = ranking(parents.iter().copied(), key);
        places.into_iter().map(|place| parents[place]).collect()
    }

    proptest! {
        #[test]
        fn every_larder_agrees_whatever_the_order_of_its_list(
            key in "[a-z0-9-]{1,20}",
            list in Just(urls(6)).prop_shuffle(),
        ) {
            let sorted = urls(6);
            let sorted: Vec<&str> = sorted.iter().map(String::as_str).collect();
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            let order = ranked(&list, &key);
            prop_assert_eq!(&order, &ranked(&sorted, &key));
            let mut all = order;
            all.sort_unstable();
            prop_assert_eq!(all, sorted, "each once");
        }

        #[test]
        fn a_parent_that_comes_or_goes_moves_what_is_its_own(
            key in "[a-z0-9-]{1,20}",
            count in 2..8usize,
            which in 0..8usize,
        ) {
            let all = urls(count);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let gone = all[which % count];
            let mut left = all.clone();
            left.retain(|parent| *parent != gone);
            // The others stay in their order, so that only what was its own has another home.
            let mut expected = ranked(&all, &key);
            expected.retain(|parent| *parent != gone);
            prop_assert_eq!(ranked(&left, &key), expected);
        }
    }

    #[test]
    fn the_shares_are_even() {
        const KEYS: usize = 6_000;
        for count in [2, 3, 5] {
            let parents = urls(count);
            let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
            let mut shares = vec![0; count];
            for key in 0..KEYS {
                let home = ranking(parents.iter().copied(), &format!("project-{key}"))[0];
                shares[home] += 1;
            }
            let fair = KEYS / count;
            for share in shares {
                assert!(
                    (fair * 9 / 10..fair * 11 / 10).contains(&share),
                    "{share} of {fair}"
                );
            }
        }
    }

    #[test]
    fn what_belongs_to_a_project_has_one_home() {
        let digest = "a".repeat(64);
        let wheel = format!(
            "/api/v4/projects/42/packages/pypi/files/{digest}/Acme_App-1.0-py3-none-any.whl"
        );
        for path in [
            "/api/v4/groups/7/-/packages/pypi/simple/acme-app/",
            "/api/v4/projects/42/packages/pypi/simple/acme-app",
            &wheel,
            &format!("{wheel}.metadata"),
            "/pypi/simple/acme-app/",
            "/pypi/~files.example/ab/acme.app-2.0.tar.gz",
            "/pypi/ab/acme_app-1.0-py3-none-any.whl.metadata",
        ] {
            let route = Route::from_path(path).unwrap();
            assert_eq!(key(&route), "acme-app", "{path}");
        }
        let index = Route::from_path("/api/v4/groups/7/-/packages/pypi/simple/").unwrap();
        assert_eq!(key(&index), "groups/7");
    }

    /// Larders of different versions share a fleet: the order is a promise.
    #[test]
    fn the_order_is_the_same_in_every_version() {
        let parents = [
            "https://a.example",
            "https://b.example",
            "https://c.example",
        ];
        for (key, order) in KNOWN {
            assert_eq!(ranking(parents, key), order, "{key}");
        }
    }

    const KNOWN: [(&str, [usize; 3]); 3] = [
        ("numpy", [2, 0, 1]),
        ("torch", [0, 1, 2]),
        ("acme-app", [1, 2, 0]),
    ];
}
