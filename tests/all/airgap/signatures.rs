//! Signatures over bundles, checked without `ssh-keygen` on the machine that imports, and held
//! against it: what it signs is good here, and of every list of allowed signers both say the same.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::airgap::bundle::{Machine, path_in, refused, warmed, well, wheel};
use crate::support::PublicIndex;
use crate::support::larder::binary;

/// A folder with a bundle in it, and its sums, which are what is signed.
struct Signed {
    near: crate::support::Larder,
}

impl Signed {
    fn new() -> Self {
        let index = PublicIndex::builder().offering(wheel("one", "1.0")).start();
        Self {
            near: warmed(&index, &[&wheel("one", "1.0")]),
        }
    }

    fn path(&self, name: &str) -> String {
        path_in(self.near.home(), name)
    }

    /// A new key; its public half, without a comment.
    fn key(&self, name: &str, kind: &[&str]) -> String {
        let path = self.path(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-f", &path])
            .args(kind)
            .status();
        assert!(made.expect("ssh-keygen").success(), "{kind:?}");
        let public = std::fs::read_to_string(format!("{path}.pub")).expect("a public key");
        public
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A bundle signed with a key, and its parts laid out for `ssh-keygen`.
    fn bundle(&self, key: &str) -> String {
        let bundle = self.path(&format!("{key}.tar"));
        well(
            &self
                .near
                .command(&["export", "--json", "--sign", &self.path(key), &bundle]),
        );
        let parts = self.path(&format!("{key}.parts"));
        std::fs::create_dir_all(&parts).expect("a writable folder");
        let done = Command::new("tar")
            .args(["-xf", &bundle, "-C", &parts])
            .status()
            .expect("tar");
        assert!(done.success());
        bundle
    }

    /// What `ssh-keygen -Y verify` says of it.
    fn by_ssh_keygen(&self, key: &str, signers: &str) -> bool {
        let parts = self.path(&format!("{key}.parts"));
        let sums = std::fs::File::open(format!("{parts}/manifest.sha256")).expect("extracted");
        let mut command = Command::new("ssh-keygen");
        command.args([
            "-Y", "verify", "-n", "larder", "-I", "larder", "-f", signers, "-s",
        ]);
        command
            .arg(format!("{parts}/manifest.sha256.sig"))
            .env("TZ", "UTC")
            .stdin(sums);
        command.output().expect("ssh-keygen").status.success()
    }
}

/// Imports where no other program can be found.
fn import(lines: &str, arguments: &[&str]) -> Output {
    let far = Machine::with(lines);
    let empty = far.home.path().join("empty");
    std::fs::create_dir(&empty).expect("a writable folder");
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("PATH", &empty)
        .arg("import")
        .args(arguments);
    command
        .arg("--config")
        .arg(far.home.path().join("larder.toml"))
        .stdin(Stdio::null());
    command.output().expect("the binary runs")
}

fn allowing(path: &Path, lines: &str) -> String {
    std::fs::write(path, lines).expect("a writable folder");
    format!("[import]\nallowed_signers = {path:?}")
}

#[test]
fn every_kind_of_key_that_ssh_keygen_signs_with_is_checked_without_it() {
    let signed = Signed::new();
    let signers = signed.near.home().join("signers");
    let other = signed.key("other", &["-t", "ed25519"]);
    let kinds: [&[&str]; 6] = [
        &["-t", "ed25519"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "3072"],
    ];
    for (at, kind) in kinds.into_iter().enumerate() {
        let name = format!("key{at}");
        let public = signed.key(&name, kind);
        let bundle = signed.bundle(&name);
        let strict = allowing(&signers, &format!("larder {public}\n"));
        assert_eq!(
            well(&import(&strict, &["--json", &bundle]))[0]["signed"],
            true,
            "{kind:?}"
        );
        let strict = allowing(&signers, &format!("larder {other}\n"));
        refused(
            &import(&strict, &[&bundle]),
            &["by no key that import.allowed_signers allows"],
        );
        assert_eq!(
            well(&import("", &["--json", &bundle]))[0]["signed"],
            false,
            "{kind:?}"
        );

        // A signature that was made for something else, or over something else, is good for nobody.
        let bytes = std::fs::read(&bundle).expect("a bundle");
        let at = bytes
            .windows(11)
            .position(|window| window == b"-----BEGIN ")
            .expect("a signature");
        let broken = signed.path("broken.tar");
        for offset in [40, 120, 200, 280] {
            let mut bytes = bytes.clone();
            bytes[at + offset] ^= 1;
            std::fs::write(&broken, &bytes).expect("a writable folder");
            refused(&import("", &[&broken]), &["manifest.sha256.sig"]);
        }
    }
}

#[test]
fn a_list_of_signers_means_what_it_means_to_ssh_keygen() {
    let signed = Signed::new();
    let key = signed.key("ours", &["-t", "ed25519"]);
    let other = signed.key("others", &["-t", "ed25519"]);
    let bundle = signed.bundle("ours");
    let signers = signed.near.home().join("signers");
    for (lines, good) in [
        ("larder KEY", true),
        ("larder KEY a comment", true),
        ("\"larder\" KEY", true),
        ("somebody KEY", false),
        ("somebody,larder KEY", true),
        ("l*r KEY", true),
        ("l?rder KEY", true),
        ("*,!larder KEY", false),
        ("larder OTHER", false),
        ("larder OTHER\n# a comment\n\nlarder KEY", true),
        ("larder namespaces=\"larder\" KEY", true),
        ("larder namespaces=\"git,l*\" KEY", true),
        ("larder namespaces=\"git\" KEY", false),
        ("larder namespaces=\"*,!larder\" KEY", false),
        ("larder valid-after=\"20200101Z\" KEY", true),
        ("larder valid-after=\"29990101Z\" KEY", false),
        ("larder valid-before=\"20200101Z\" KEY", false),
        (
            "larder valid-before=\"299901011200Z\",valid-after=\"20200101120000Z\" KEY",
            true,
        ),
        ("larder valid-before=\"29990101\" KEY", true),
        (
            "larder namespaces=\"larder\",valid-before=\"20200101\" KEY",
            false,
        ),
        ("larder cert-authority KEY", false),
        ("larder unheard-of KEY", false),
        ("larder unheard-of KEY\nlarder KEY", true),
        ("larder ssh-ed25519 AAAA", false),
        ("", false),
    ] {
        let text = lines.replace("KEY", &key).replace("OTHER", &other) + "\n";
        let strict = allowing(&signers, &text);
        let output = import(&strict, &["--check", &bundle]);
        assert_eq!(
            output.status.success(),
            good,
            "{lines}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            signed.by_ssh_keygen("ours", &signers.to_string_lossy()),
            good,
            "ssh-keygen: {lines}"
        );
    }
    let authority = allowing(&signers, &format!("larder cert-authority {key}\n"));
    refused(
        &import(&authority, &[&bundle]),
        &["line 1: cert-authority is not supported: list the keys themselves"],
    );
    let gone = format!("[import]\nallowed_signers = {:?}", signed.path("gone"));
    refused(
        &import(&gone, &[&bundle]),
        &["import.allowed_signers", "cannot be read"],
    );
}

#[test]
fn a_signature_for_another_purpose_or_over_another_bundle_is_refused() {
    let signed = Signed::new();
    let key = signed.key("ours", &["-t", "ed25519"]);
    let bundle = signed.bundle("ours");
    let signers = allowing(
        &signed.near.home().join("signers"),
        &format!("larder {key}\n"),
    );
    let sign = |namespace: &str, message: &[u8]| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "sign", "-n", namespace, "-f", &signed.path("ours")]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-keygen");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(message)
            .expect("it reads");
        child.wait_with_output().expect("it ends").stdout
    };
    let sums = std::fs::read(signed.path("ours.parts/manifest.sha256")).expect("extracted");
    let old = std::fs::read(signed.path("ours.parts/manifest.sha256.sig")).expect("extracted");
    let bytes = std::fs::read(&bundle).expect("a bundle");
    let at = bytes
        .windows(old.len())
        .position(|window| window == old)
        .expect("a signature");
    let with = |signature: &[u8]| {
        assert_eq!(signature.len(), old.len(), "so that it fits into its place");
        let path = signed.path("with.tar");
        std::fs::write(
            &path,
            [&bytes[..at], signature, &bytes[at + old.len()..]].concat(),
        )
        .expect("a writable folder");
        path
    };
    well(&import(
        &signers,
        &["--json", "--check", &with(&sign("larder", &sums))],
    ));
    for lines in [signers.as_str(), ""] {
        refused(
            &import(lines, &[&with(&sign("danger", &sums))]),
            &["is for danger, not for bundles of larder"],
        );
        refused(
            &import(lines, &[&with(&sign("larder", b"other"))]),
            &["does not belong to this bundle"],
        );
    }
}

/// A field of SSH's binary form.
fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A number above zero in that form.
fn number(bytes: &[u8]) -> Vec<u8> {
    let bytes: Vec<u8> = bytes
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    field(
        &[
            if bytes.first().is_some_and(|first| first & 0x80 != 0) {
                &[0][..]
            } else {
                &[]
            },
            &bytes,
        ]
        .concat(),
    )
}

/// A signature as a security key makes one: which key, and what it answers to the text that is to
/// be signed.
fn by_hardware(kind: &str, sums: &[u8]) -> (Vec<u8>, String) {
    use aws_lc_rs::digest::{SHA256, SHA512, digest};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    };

    let head = [field(b"larder"), field(b""), field(b"sha512")].concat();
    let text = [
        &b"SSHSIG"[..],
        &head,
        &field(digest(&SHA512, sums).as_ref()),
    ]
    .concat();
    let told = [1, 0, 0, 0, 9];
    let signed = [
        digest(&SHA256, b"ssh:").as_ref(),
        &told,
        digest(&SHA256, &text).as_ref(),
    ]
    .concat();
    let (public, value) = if kind.contains("ed25519") {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
        (
            field(pair.public_key().as_ref()),
            pair.sign(&signed).as_ref().to_vec(),
        )
    } else {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let signature = pair
            .sign(&SystemRandom::new(), &signed)
            .expect("a signature");
        let (r, s) = signature.as_ref().split_at(32);
        let public = [field(b"nistp256"), field(pair.public_key().as_ref())].concat();
        (public, [number(r), number(s)].concat())
    };
    let key = [field(kind.as_bytes()), public, field(b"ssh:")].concat();
    let answer = [field(kind.as_bytes()), field(&value), told.to_vec()].concat();
    let whole = [
        &b"SSHSIG\0\0\0\x01"[..],
        &field(&key),
        &head,
        &field(&answer),
    ]
    .concat();
    let lines: String = STANDARD
        .encode(&whole)
        .as_bytes()
        .chunks(70)
        .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
        .collect();
    (
        key,
        format!("-----BEGIN SSH SIGNATURE-----\n{lines}-----END SSH SIGNATURE-----\n"),
    )
}

/// A tar with another content for one of its members.
fn with_member(tar: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let at = tar
        .chunks(512)
        .position(|block| block.starts_with(&[name.as_bytes(), &[0]].concat()))
        .expect("a member")
        * 512;
    let mut header = tar::Header::from_byte_slice(&tar[at..at + 512]).clone();
    let blocks = |size: u64| usize::try_from(size.next_multiple_of(512)).expect("small");
    let after = at + 512 + blocks(header.size().expect("a size"));
    header.set_size(content.len() as u64);
    header.set_cksum();
    let padding = vec![0; blocks(content.len() as u64) - content.len()];
    [
        &tar[..at],
        header.as_bytes(),
        content,
        &padding,
        &tar[after..],
    ]
    .concat()
}

#[test]
fn security_keys_are_checked_as_ssh_keygen_checks_them() {
    let signed = Signed::new();
    signed.key("ours", &["-t", "ed25519"]);
    let bundle = std::fs::read(signed.bundle("ours")).expect("a bundle");
    let sums = std::fs::read(signed.path("ours.parts/manifest.sha256")).expect("extracted");
    let signers = signed.near.home().join("signers");
    for kind in [
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ] {
        let (key, armored) = by_hardware(kind, &sums);
        let line = format!("larder {kind} {}\n", STANDARD.encode(&key));
        let strict = allowing(&signers, &line);
        std::fs::write(signed.path("ours.parts/manifest.sha256.sig"), &armored)
            .expect("a writable folder");
        assert!(
            signed.by_ssh_keygen("ours", &signers.to_string_lossy()),
            "{kind}: made as a security key does"
        );
        let path = signed.path("hardware.tar");
        std::fs::write(
            &path,
            with_member(&bundle, "manifest.sha256.sig", armored.as_bytes()),
        )
        .expect("a writable folder");
        assert_eq!(
            well(&import(&strict, &["--json", &path]))[0]["signed"],
            true,
            "{kind}"
        );
        let (_, foreign) = by_hardware(kind, b"other sums");
        std::fs::write(
            &path,
            with_member(&bundle, "manifest.sha256.sig", foreign.as_bytes()),
        )
        .expect("a writable folder");
        refused(
            &import(&strict, &[&path]),
            &["does not belong to this bundle"],
        );
    }
}
