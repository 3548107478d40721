//! The main road, once.

use crate::support::{Client, Distribution, GitLab, Kind, Larder, Storage, path, token};

#[test]
fn a_page_and_a_file_come_through_and_then_from_here() {
    for storage in [Storage::Disk, Storage::Redirect, Storage::Proxied] {
        let wheel = Distribution::new("big", "1.0").payload(300_000).wheel();
        let gitlab = GitLab::builder().storage(storage).start();
        gitlab.publish(42, &wheel);
        let larder = Larder::start(&gitlab);
        let client: Client = larder.client().token(token::READER);
        for _ in 0..2 {
            let page = client.get(&path::project_page(42, "big"));
            assert!(page.text().contains("/files/"), "{page:?}");
            assert!(!page.text().contains(gitlab.url()), "{page:?}");
            let file = client.get(&path::project_file(42, &wheel));
            assert!(
                file.is_complete() && file.body == wheel.bytes,
                "{storage:?} {:?}\n{}",
                file.ending,
                larder.log()
            );
        }
        assert_eq!(gitlab.log().file_bodies().transfers, 1);
        assert_eq!(gitlab.log().count(Kind::Page), 1);
        gitlab.log().assert_nothing_unexpected();
    }
}
