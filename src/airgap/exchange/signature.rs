//! Signatures over bundles (SSHSIG): made by `ssh-keygen`, checked here.
//!
//! Made by its own program and not by a library: it knows every kind of key that its agents and
//! hardware offer. Checked without it, because the machine behind the gap is often a container that
//! has none; a person without larder checks with the program all the same. Must not know bundles.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::allowed_signers;
use super::sshsig::{SignatureFault, SshSignature};
use crate::airgap::bundle::NAMESPACE;
use crate::values::clock;

/// Under which name of the allowed signers the keys of bundles stand.
const PRINCIPAL: &str = "larder";

/// Largest file of allowed signers, in bytes.
const SIGNERS_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "manifest.sha256.sig: there is none, and import.allowed_signers asks for one; \
         --unsigned takes the bundle as it is"
    )]
    Unsigned,
    #[error("manifest.sha256.sig: {0}")]
    Wrong(String),
    #[error("import.allowed_signers: {file} cannot be read: {why}", file = .0.display(), why = .1)]
    Signers(PathBuf, #[source] io::Error),
    #[error("ssh-keygen is not installed (package openssh-client): bundles cannot be signed")]
    NoProgram,
    #[error("ssh-keygen cannot be run: {0}")]
    Run(#[source] io::Error),
    #[error("the bundle cannot be signed: {0}")]
    NotSigned(String),
}

impl From<SignatureFault> for SignatureError {
    fn from(fault: SignatureFault) -> Self {
        Self::Wrong(fault.to_string())
    }
}

/// Checks a signature: that one of the allowed keys made it.
///
/// # Errors
/// [`SignatureError`].
pub fn verify(
    message: &[u8],
    armored: &[u8],
    allowed_signers: &Path,
) -> Result<(), SignatureError> {
    let signature = SshSignature::read(armored)?;
    signature.check(message, NAMESPACE)?;
    let signers = read_signers(allowed_signers)
        .map_err(|why| SignatureError::Signers(allowed_signers.to_owned(), why))?;
    let now = clock::wall();
    allowed_signers::allow(&signers, &signature.key, PRINCIPAL, NAMESPACE, now)
        .map_err(SignatureError::Wrong)
}

/// Checks that a signature is whole and belongs to the message, by whichever key.
///
/// # Errors
/// [`SignatureError`].
pub fn look_over(message: &[u8], armored: &[u8]) -> Result<(), SignatureError> {
    Ok(SshSignature::read(armored)?.check(message, NAMESPACE)?)
}

fn read_signers(path: &Path) -> io::Result<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a file of the operator's, outside of the cache folder"
    )]
    let file = std::fs::File::open(path)?;
    let mut text = String::new();
    file.take(SIGNERS_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIGNERS_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {SIGNERS_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// Signs, with a private key or one that an agent holds. The program may ask for a passphrase.
///
/// # Errors
/// [`SignatureError`].
pub fn sign(message: &[u8], key: &Path) -> Result<Vec<u8>, SignatureError> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", NAMESPACE, "-f"]);
    command.arg(key);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => SignatureError::NoProgram,
        _ => SignatureError::Run(why),
    })?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not take all of it has its reasons, and says them.
        let _ = input.write_all(message);
    }
    let done = child.wait_with_output().map_err(SignatureError::Run)?;
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    if !done.status.success() || SshSignature::read(&done.stdout).is_err() {
        return Err(SignatureError::NotSigned(said));
    }
    Ok(done.stdout)
}
