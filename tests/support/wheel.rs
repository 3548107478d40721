//! Small valid wheels and sdists, made in memory, and the real wheels kept in `tests/wheels`.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use md5::{Digest, Md5};
use sha2::Sha256;

/// A distribution file: what a registry stores, with its true digest.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The project's name as its author writes it.
    pub name: String,
    pub version: String,
    pub requires_python: String,
    pub filename: String,
    /// Of the bytes, in lower case.
    pub sha256: String,
    pub bytes: Bytes,
    /// A wheel's METADATA or an sdist's PKG-INFO, as it stands in the archive.
    pub metadata: Bytes,
}

/// What is to be built; `wheel()` and `sdist()` build it.
#[derive(Clone, Debug)]
pub struct Distribution {
    name: String,
    version: String,
    requires_python: String,
    dependencies: Vec<String>,
    payload_bytes: usize,
    modules: usize,
    description_bytes: usize,
    tag: String,
    packing: Packing,
}

/// How the members of an archive are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Deflated,
    Stored,
}

impl Distribution {
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            requires_python: String::new(),
            dependencies: Vec::new(),
            payload_bytes: 0,
            modules: 0,
            description_bytes: 0,
            tag: "py3-none-any".to_owned(),
            packing: Packing::Deflated,
        }
    }

    /// In place of `py3-none-any`; compressed tag sets may stand here.
    pub fn tagged(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.tag);
        self
    }

    /// Nothing is compressed: the bytes, and so the digests, do not depend on the version of a
    /// compressor.
    pub fn stored(mut self) -> Self {
        self.packing = Packing::Stored;
        self
    }

    pub fn requires_python(mut self, specifier: &str) -> Self {
        specifier.clone_into(&mut self.requires_python);
        self
    }

    /// One `Requires-Dist` more.
    pub fn depends_on(mut self, requirement: &str) -> Self {
        self.dependencies.push(requirement.to_owned());
        self
    }

    /// Adds a file of this many incompressible bytes, the same on every run.
    pub fn payload(mut self, bytes: usize) -> Self {
        self.payload_bytes = bytes;
        self
    }

    /// Adds so many small modules, each of which has its entry in a wheel's directory.
    pub fn modules(mut self, count: usize) -> Self {
        self.modules = count;
        self
    }

    /// Lengthens the metadata by so many bytes of a description that packs to a third or so.
    pub fn description(mut self, bytes: usize) -> Self {
        self.description_bytes = bytes;
        self
    }

    /// A wheel with one module of the project's name, `py3-none-any` unless told.
    pub fn wheel(&self) -> Artifact {
        let module = self.module();
        let info = format!("{module}-{}.dist-info", self.version);
        let metadata = self.metadata();
        let mut members = vec![(
            format!("{module}/__init__.py"),
            format!("NAME = {:?}\nVERSION = {:?}\n", self.name, self.version).into_bytes(),
        )];
        if self.payload_bytes > 0 {
            let seed = format!("{}-{}", self.name, self.version);
            members.push((
                format!("{module}/payload.bin"),
                noise(&seed, self.payload_bytes),
            ));
        }
        for number in 0..self.modules {
            members.push((
                format!("{module}/parts/part_{number:05}.py"),
                format!("NUMBER = {number}\n").into_bytes(),
            ));
        }
        members.push((format!("{info}/METADATA"), metadata.clone().into_bytes()));
        members.push((format!("{info}/WHEEL"), self.wheel_file().into_bytes()));
        members.push((
            format!("{info}/top_level.txt"),
            format!("{module}\n").into_bytes(),
        ));

        let mut record = String::new();
        for (path, content) in &members {
            let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
            record.push_str(&format!("{path},sha256={digest},{}\n", content.len()));
        }
        record.push_str(&format!("{info}/RECORD,,\n"));
        members.push((format!("{info}/RECORD"), record.into_bytes()));

        let filename = format!("{module}-{}-{}.whl", self.version, self.tag);
        self.artifact(filename, zip(&members, self.packing), metadata)
    }

    /// WHEEL: a line for each tag that the compressed one stands for.
    fn wheel_file(&self) -> String {
        let mut text =
            "Wheel-Version: 1.0\nGenerator: larder-tests\nRoot-Is-Purelib: true\n".to_owned();
        let sets: Vec<Vec<&str>> = self
            .tag
            .split('-')
            .map(|set| set.split('.').collect())
            .collect();
        for python in &sets[0] {
            for abi in &sets[1] {
                for platform in &sets[2] {
                    text.push_str(&format!("Tag: {python}-{abi}-{platform}\n"));
                }
            }
        }
        text
    }

    /// A `.tar.gz` with a PKG-INFO and a pyproject.toml for setuptools.
    pub fn sdist(&self) -> Artifact {
        let module = self.module();
        let root = format!("{module}-{}", self.version);
        let metadata = self.metadata();
        let project = format!(
            "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n\n\
             [project]\nname = {:?}\nversion = {:?}\n",
            self.name, self.version
        );
        let mut members = vec![
            (format!("{root}/PKG-INFO"), metadata.clone().into_bytes()),
            (format!("{root}/pyproject.toml"), project.into_bytes()),
            (format!("{root}/{module}/__init__.py"), Vec::new()),
        ];
        if self.payload_bytes > 0 {
            members.push((
                format!("{root}/{module}/payload.bin"),
                noise(&root, self.payload_bytes),
            ));
        }
        self.artifact(
            format!("{root}.tar.gz"),
            tar_gz(&members, self.packing),
            metadata,
        )
    }

    fn artifact(&self, filename: String, bytes: Vec<u8>, metadata: String) -> Artifact {
        Artifact {
            name: self.name.clone(),
            version: self.version.clone(),
            requires_python: self.requires_python.clone(),
            filename,
            sha256: sha256_hex(&bytes),
            bytes: bytes.into(),
            metadata: metadata.into(),
        }
    }

    /// The name as file names carry it: lower case, runs of `-`, `_`, `.` become `_`.
    fn module(&self) -> String {
        normalise(&self.name).replace('-', "_")
    }

    fn metadata(&self) -> String {
        let mut text = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n",
            self.name, self.version
        );
        if !self.requires_python.is_empty() {
            text.push_str(&format!("Requires-Python: {}\n", self.requires_python));
        }
        for requirement in &self.dependencies {
            text.push_str(&format!("Requires-Dist: {requirement}\n"));
        }
        text.push_str("\nMade for a test.\n");
        let seed = format!("{} {} in words", self.name, self.version);
        for line in hex(&noise(&seed, self.description_bytes / 3))
            .as_bytes()
            .chunks(64)
        {
            text.push_str(&format!("of {}\n", String::from_utf8_lossy(line)));
        }
        text
    }
}

impl Artifact {
    /// Bytes that need not be an archive at all: most tests only count and compare them.
    pub fn opaque(name: &str, version: &str, filename: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            requires_python: String::new(),
            filename: filename.to_owned(),
            sha256: sha256_hex(&bytes),
            bytes,
            metadata: Bytes::new(),
        }
    }

    /// A file of exactly `length` bytes, the same on every run and unlike any other name's.
    pub fn noise(name: &str, version: &str, length: usize) -> Self {
        let module = normalise(name).replace('-', "_");
        let filename = format!("{module}-{version}-py3-none-any.whl");
        let bytes = noise(&filename, length);
        Self::opaque(name, version, &filename, bytes)
    }
}

/// The wheels in `tests/wheels`, by file name. Their METADATA is left out.
pub fn real_wheels() -> Vec<Artifact> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wheels");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut wheels: Vec<Artifact> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .map(|path| {
            let filename = path
                .file_name()
                .expect("a file")
                .to_string_lossy()
                .into_owned();
            let mut parts = filename.split('-');
            let name = parts.next().unwrap_or_default().to_owned();
            let version = parts.next().unwrap_or_default().to_owned();
            Artifact::opaque(
                &name,
                &version,
                &filename,
                std::fs::read(path).expect("a readable wheel"),
            )
        })
        .collect();
    wheels.sort_by(|a, b| a.filename.cmp(&b.filename));
    wheels
}

/// PEP 503: lower case, runs of `-`, `_`, `.` become one `-`.
pub fn normalise(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    let mut in_run = false;
    for letter in name.chars() {
        let separates = matches!(letter, '-' | '_' | '.');
        if !separates {
            normal.extend(letter.to_lowercase());
        } else if !in_run {
            normal.push('-');
        }
        in_run = separates;
    }
    normal
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Old indexes list nothing better.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Incompressible bytes that depend on the seed alone (xorshift64*).
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let digest = Sha256::digest(seed.as_bytes());
    let mut state = digest
        .iter()
        .take(8)
        .fold(1u64, |state, &byte| (state << 8) | u64::from(byte))
        | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

type Member = (String, Vec<u8>);

/// A zip archive: text members deflated, `.bin` members stored.
fn zip(members: &[Member], packing: Packing) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (path, content) in members {
        let stored = packing == Packing::Stored || path.ends_with("/payload.bin");
        let packed = if stored {
            content.clone()
        } else {
            deflate(content)
        };
        let mut sum = flate2::Crc::new();
        sum.update(content);

        let mut common = Vec::new();
        common.extend_from_slice(&20u16.to_le_bytes()); // version needed
        common.extend_from_slice(&0u16.to_le_bytes()); // flags
        common.extend_from_slice(&(if stored { 0u16 } else { 8 }).to_le_bytes());
        common.extend_from_slice(&0u16.to_le_bytes()); // 00:00:00
        common.extend_from_slice(&0x5821u16.to_le_bytes()); // 2024-01-01
        common.extend_from_slice(&sum.sum().to_le_bytes());
        common.extend_from_slice(&narrow(packed.len()).to_le_bytes());
        common.extend_from_slice(&narrow(content.len()).to_le_bytes());
        common.extend_from_slice(
            &u16::try_from(path.len())
                .expect("a short path")
                .to_le_bytes(),
        );
        common.extend_from_slice(&0u16.to_le_bytes()); // extra field

        directory.extend_from_slice(b"PK\x01\x02");
        directory.extend_from_slice(&0x0314u16.to_le_bytes()); // made on Unix
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 6]); // comment, disk, internal attributes
        directory.extend_from_slice(&(0o100_644u32 << 16).to_le_bytes());
        directory.extend_from_slice(&narrow(archive.len()).to_le_bytes());
        directory.extend_from_slice(path.as_bytes());

        archive.extend_from_slice(b"PK\x03\x04");
        archive.extend_from_slice(&common);
        archive.extend_from_slice(path.as_bytes());
        archive.extend_from_slice(&packed);
    }
    let count = u16::try_from(members.len())
        .expect("few members")
        .to_le_bytes();
    let start = narrow(archive.len());
    archive.extend_from_slice(&directory);
    archive.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    archive.extend_from_slice(&count);
    archive.extend_from_slice(&count);
    archive.extend_from_slice(&narrow(directory.len()).to_le_bytes());
    archive.extend_from_slice(&start.to_le_bytes());
    archive.extend_from_slice(&0u16.to_le_bytes()); // comment
    archive
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("below 4 GiB: no zip64 here")
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

fn tar_gz(members: &[Member], packing: Packing) -> Vec<u8> {
    let level = match packing {
        Packing::Deflated => flate2::Compression::fast(),
        Packing::Stored => flate2::Compression::none(),
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    let mut put = |bytes: &[u8]| encoder.write_all(bytes).expect("writing to memory");
    for (path, content) in members {
        put(&tar_header(path, content.len()));
        put(content);
        put(&vec![
            0;
            content.len().next_multiple_of(512) - content.len()
        ]);
    }
    put(&[0; 1024]);
    encoder.finish().expect("writing to memory")
}

fn tar_header(path: &str, length: usize) -> [u8; 512] {
    let mut header = [0u8; 512];
    let mut field =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, path);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{length:011o}\0"));
    field(136, "14544000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
