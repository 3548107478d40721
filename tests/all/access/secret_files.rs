//! Secrets in files: those that systemd hands over (`LoadCredential=`), which a name in the
//! configuration finds, and those that an editor saved in its own way.

use crate::support::{Distribution, GitLab, Larder, path, token};

#[test]
fn a_name_finds_the_credential_that_systemd_handed_over() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").wheel();
    gitlab.publish(42, &wheel);
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("gitlab-token"), token::READER).expect("a writable folder");
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("token_file = \"gitlab-token\"")
        .environment("CREDENTIALS_DIRECTORY", &folder.path().to_string_lossy())
        .start();
    // Nobody's name is given: GitLab sees the credential.
    assert_eq!(
        larder
            .client()
            .get(&path::project_file(42, &wheel))
            .expect(200),
        wheel.bytes
    );

    // Without the service manager it is a path like any other, and told as it was written.
    let said = Larder::builder(&gitlab)
        .gitlab_setting("token_file = \"gitlab-token\"")
        .start_in_vain();
    assert!(said.contains("gitlab.token_file: gitlab-token: "), "{said}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_token() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").wheel();
    gitlab.publish(42, &wheel);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    std::fs::write(&file, format!("\u{feff}{}\r\n", token::READER)).expect("a writable folder");
    let setting = format!("token_file = {file:?}");
    let larder = Larder::builder(&gitlab).gitlab_setting(&setting).start();
    assert_eq!(
        larder
            .client()
            .get(&path::project_file(42, &wheel))
            .expect(200),
        wheel.bytes
    );

    let wide: Vec<u8> = "\u{feff}glpat"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(&file, wide).expect("a writable folder");
    let said = Larder::builder(&gitlab)
        .gitlab_setting(&setting)
        .start_in_vain();
    assert!(
        said.contains("gitlab.token_file: ") && said.contains("UTF-16"),
        "{said}"
    );
}
