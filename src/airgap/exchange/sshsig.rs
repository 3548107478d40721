//! Signatures as `ssh-keygen -Y sign` makes them (OpenSSH, PROTOCOL.sshsig): taken apart, and
//! checked against the key inside.
//!
//! The cryptography is that of TLS here. Must not know who may sign, nor bundles. Pure.

use aws_lc_rs::digest::{self, SHA256, SHA512};
use aws_lc_rs::signature::{self, RsaParameters, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Truncated, Wire};

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----\n";

/// Characters of one line of a signature, as OpenSSH writes it.
const ARMOR_WIDTH: usize = 70;

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// Why a signature is none, or not of this message; as a clause.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("is not written as ssh-keygen writes one")]
    Form,
    #[error("is for {0}, not for bundles of larder")]
    Namespace(String),
    #[error("is of a kind that larder cannot check ({0}): sign with an ed25519, ecdsa or rsa key")]
    Unsupported(String),
    #[error("does not belong to this bundle, or was changed")]
    Wrong,
}

impl From<Truncated> for SignatureFault {
    fn from(_: Truncated) -> Self {
        Self::Form
    }
}

/// A signature, taken apart.
#[derive(Debug)]
pub struct SshSignature {
    /// The public key, as `allowed_signers` has it in base64.
    pub key: Vec<u8>,
    namespace: Vec<u8>,
    reserved: Vec<u8>,
    hash: Vec<u8>,
    signature: Vec<u8>,
}

impl SshSignature {
    /// From its armor. It has one spelling, so that no byte of it can change unnoticed.
    pub fn read(armored: &[u8]) -> Result<Self, SignatureFault> {
        let bytes = unarmored(armored).ok_or(SignatureFault::Form)?;
        let mut wire = Wire(bytes.strip_prefix(MAGIC).ok_or(SignatureFault::Form)?);
        if wire.number()? != VERSION {
            return Err(SignatureFault::Form);
        }
        let mut field = || Ok::<_, Truncated>(wire.string()?.to_vec());
        let key = field()?;
        let namespace = field()?;
        let reserved = field()?;
        let hash = field()?;
        let signature = field()?;
        wire.end()?;
        Ok(Self {
            key,
            namespace,
            reserved,
            hash,
            signature,
        })
    }

    /// Whether the key inside made it over this message, for this purpose.
    pub fn check(&self, message: &[u8], namespace: &str) -> Result<(), SignatureFault> {
        if self.namespace != namespace.as_bytes() {
            return Err(SignatureFault::Namespace(shown(&self.namespace)));
        }
        let hash = match &*self.hash {
            b"sha512" => &SHA512,
            b"sha256" => &SHA256,
            other => return Err(SignatureFault::Unsupported(shown(other))),
        };
        let mut signed = MAGIC.to_vec();
        for field in [
            &self.namespace,
            &self.reserved,
            &self.hash,
            digest::digest(hash, message).as_ref(),
        ] {
            // A digest and fields of a signature that was read are far shorter than 4 GiB.
            signed.extend((field.len() as u32).to_be_bytes());
            signed.extend(field);
        }
        verify(&self.key, &self.signature, &signed)
    }
}

fn unarmored(armored: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(armored).ok()?;
    let body = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let bytes = STANDARD.decode(body.replace('\n', "")).ok()?;
    let mut lines = String::new();
    for (at, c) in STANDARD.encode(&bytes).chars().enumerate() {
        if at > 0 && at % ARMOR_WIDTH == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    if body != lines + "\n" {
        return None;
    }
    Some(bytes)
}

/// Checks a signature of SSH (RFC 4253 §6.6, RFC 5656, RFC 8332, RFC 8709; OpenSSH, PROTOCOL.u2f)
/// by its key.
fn verify(key: &[u8], value: &[u8], signed: &[u8]) -> Result<(), SignatureFault> {
    let mut key = Wire(key);
    let mut made = Wire(value);
    let kind = key.string()?;
    let algorithm = made.string()?;
    if kind == b"ssh-rsa" {
        let parameters = match algorithm {
            b"rsa-sha2-256" => &signature::RSA_PKCS1_2048_8192_SHA256,
            b"rsa-sha2-512" => &signature::RSA_PKCS1_2048_8192_SHA512,
            _ => return Err(SignatureFault::Unsupported(shown(algorithm))),
        };
        return verify_rsa(parameters, key, made, signed);
    }
    if kind != algorithm {
        return Err(SignatureFault::Unsupported(shown(algorithm)));
    }
    match kind {
        b"ssh-ed25519" => {
            let point = key.last_string()?;
            by(&signature::ED25519, point, signed, made.last_string()?)
        }
        b"ecdsa-sha2-nistp256" => {
            let point = point_on(b"nistp256", &mut key)?;
            let value = pair(made.last_string()?, 32)?;
            by(&signature::ECDSA_P256_SHA256_FIXED, point, signed, &value)
        }
        b"ecdsa-sha2-nistp384" => {
            let point = point_on(b"nistp384", &mut key)?;
            let value = pair(made.last_string()?, 48)?;
            by(&signature::ECDSA_P384_SHA384_FIXED, point, signed, &value)
        }
        b"ecdsa-sha2-nistp521" => {
            let point = point_on(b"nistp521", &mut key)?;
            let value = pair(made.last_string()?, 66)?;
            by(&signature::ECDSA_P521_SHA512_FIXED, point, signed, &value)
        }
        b"sk-ssh-ed25519@openssh.com" => {
            let point = key.string()?;
            let value = made.string()?;
            let signed = by_hardware(key, made, signed)?;
            by(&signature::ED25519, point, &signed, value)
        }
        b"sk-ecdsa-sha2-nistp256@openssh.com" => {
            if key.string()? != b"nistp256" {
                return Err(SignatureFault::Form);
            }
            let point = key.string()?;
            let value = pair(made.string()?, 32)?;
            let signed = by_hardware(key, made, signed)?;
            by(&signature::ECDSA_P256_SHA256_FIXED, point, &signed, &value)
        }
        _ => Err(SignatureFault::Unsupported(shown(algorithm))),
    }
}

fn verify_rsa(
    algorithm: &'static RsaParameters,
    mut key: Wire<'_>,
    mut made: Wire<'_>,
    signed: &[u8],
) -> Result<(), SignatureFault> {
    let e = key.positive()?;
    let n = key.positive()?;
    key.end()?;
    let value = padded(made.last_string()?, n.len())?;
    let verified = signature::RsaPublicKeyComponents { n, e }.verify(algorithm, signed, &value);
    verified.map_err(|_| SignatureFault::Wrong)
}

/// The point of an ECDSA key, which must be on this curve.
fn point_on<'b>(curve: &[u8], key: &mut Wire<'b>) -> Result<&'b [u8], SignatureFault> {
    if key.string()? != curve {
        return Err(SignatureFault::Form);
    }
    Ok(key.last_string()?)
}

fn by(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
    signed: &[u8],
    value: &[u8],
) -> Result<(), SignatureFault> {
    UnparsedPublicKey::new(algorithm, point)
        .verify(signed, value)
        .map_err(|_| SignatureFault::Wrong)
}

/// What a security key signs: its application, which ends the key, and its flags and counter, which
/// end the signature.
fn by_hardware(
    mut key: Wire<'_>,
    mut made: Wire<'_>,
    signed: &[u8],
) -> Result<Vec<u8>, SignatureFault> {
    let application = digest::digest(&SHA256, key.last_string()?);
    let told = made.take(1 + 4)?;
    made.end()?;
    let message = digest::digest(&SHA256, signed);
    Ok([application.as_ref(), told, message.as_ref()].concat())
}

/// The two numbers of an ECDSA signature, each this wide.
fn pair(value: &[u8], width: usize) -> Result<Vec<u8>, SignatureFault> {
    let mut wire = Wire(value);
    let r = padded(wire.positive()?, width)?;
    let s = padded(wire.positive()?, width)?;
    wire.end()?;
    Ok([r, s].concat())
}

fn padded(number: &[u8], width: usize) -> Result<Vec<u8>, SignatureFault> {
    let Some(zeros) = width.checked_sub(number.len()) else {
        return Err(SignatureFault::Form);
    };
    Ok([vec![0; zeros].as_slice(), number].concat())
}

/// A name out of a signature, for a message.
fn shown(name: &[u8]) -> String {
    name.escape_ascii().take(80).map(char::from).collect()
}
