//! Signatures over bundles (SSHSIG), made and checked by `ssh-keygen`.
//!
//! Its own program and not a library: it knows every kind of key that its agents and hardware offer, certificates and
//! revocation, and it is what a person checks a bundle with when there is no larder. Must not know bundles.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::clock;

const PROGRAM: &str = "ssh-keygen";

/// Under which name of the allowed signers the keys of bundles stand.
const PRINCIPAL: &str = "larder";

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----\n";

/// Characters of one line of a signature, as OpenSSH writes it.
const ARMOR_WIDTH: usize = 70;

/// For a check, which asks nobody.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Largest part of what the program says that is passed on, in bytes.
const SAID_BYTES_MAX: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "manifest.sha256.sig: there is none, and import.allowed_signers asks for one; --unsigned takes the bundle as it is"
    )]
    Unsigned,
    #[error("manifest.sha256.sig: {0}")]
    Wrong(String),
    #[error(
        "ssh-keygen is not installed (package openssh-client): signatures can neither be made nor checked"
    )]
    NoProgram,
    #[error("{0} cannot be run: {why}", why = .1)]
    Run(&'static str, #[source] io::Error),
    #[error("the bundle cannot be signed: {0}")]
    NotSigned(String),
}

/// Checks a signature: that one of the allowed keys made it.
///
/// # Errors
/// [`SignatureError`].
pub(super) fn verify(
    message: &[u8],
    armored: &[u8],
    signature: &Path,
    allowed_signers: &Path,
) -> Result<(), SignatureError> {
    canonical(armored)?;
    let mut command = Command::new(PROGRAM);
    command.args(["-Y", "verify", "-n", crate::airgap::bundle::NAMESPACE, "-I", PRINCIPAL, "-f"]);
    command.arg(allowed_signers).arg("-s").arg(signature);
    check(command, message)
}

/// Checks that a signature is whole and belongs to the message, whoever made it. Without the program only its form is.
///
/// # Errors
/// [`SignatureError`].
pub(super) fn look_over(message: &[u8], armored: &[u8], signature: &Path) -> Result<(), SignatureError> {
    canonical(armored)?;
    let mut command = Command::new(PROGRAM);
    command.args(["-Y", "check-novalidate", "-n", crate::airgap::bundle::NAMESPACE, "-s"]).arg(signature);
    match check(command, message) {
        Err(SignatureError::NoProgram) => {
            tracing::warn!("ssh-keygen is not installed: the signature is not checked");
            Ok(())
        }
        checked => checked,
    }
}

/// Signs, with a private key or one that an agent holds. The program may ask for a passphrase.
///
/// # Errors
/// [`SignatureError`].
pub fn sign(message: &[u8], key: &Path) -> Result<Vec<u8>, SignatureError> {
    let mut command = Command::new(PROGRAM);
    command.args(["-Y", "sign", "-n", crate::airgap::bundle::NAMESPACE, "-f"]).arg(key);
    let mut child = start(command)?;
    give(&mut child, message);
    let done = child.wait_with_output().map_err(|why| SignatureError::Run(PROGRAM, why))?;
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    if !done.status.success() {
        return Err(SignatureError::NotSigned(said));
    }
    canonical(&done.stdout).map_err(|_| SignatureError::NotSigned(said))?;
    Ok(done.stdout)
}

fn start(mut command: Command) -> Result<Child, SignatureError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => SignatureError::NoProgram,
        _ => SignatureError::Run(PROGRAM, why),
    })
}

/// A program that does not take all of it has its reasons, and says them.
fn give(child: &mut Child, message: &[u8]) {
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(message);
    }
}

fn check(command: Command, message: &[u8]) -> Result<(), SignatureError> {
    let mut child = start(command)?;
    give(&mut child, message);
    let until = clock::now() + CHECK_TIMEOUT;
    let status = loop {
        match child.try_wait().map_err(|why| SignatureError::Run(PROGRAM, why))? {
            Some(status) => break status,
            None if clock::now() >= until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(SignatureError::Wrong("checking it took too long".to_owned()));
            }
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    for pipe in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)] {
        let _ = pipe.map(|pipe| pipe.take(SAID_BYTES_MAX).read_to_string(&mut said));
    }
    Err(SignatureError::Wrong(said.trim().lines().collect::<Vec<_>>().join("; ")))
}

/// A signature has one spelling, so that no byte of it can change unnoticed.
fn canonical(armored: &[u8]) -> Result<(), SignatureError> {
    let odd = || SignatureError::Wrong("is not written as ssh-keygen writes one".to_owned());
    let text = std::str::from_utf8(armored).map_err(|_| odd())?;
    let body = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or_else(odd)?;
    let bytes = STANDARD.decode(body.replace('\n', "")).map_err(|_| odd())?;
    let encoded = STANDARD.encode(bytes).into_bytes();
    let lines = encoded.chunks(ARMOR_WIDTH).flat_map(|line| line.iter().copied().chain([b'\n']));
    if lines.eq(body.bytes()) { Ok(()) } else { Err(odd()) }
}

fn boxed(pipe: impl Read + 'static) -> Box<dyn Read> {
    Box::new(pipe)
}
