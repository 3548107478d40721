//! A GitLab whose redirect names a public index: both called by names of the public Internet, which
//! a proxy finds at this machine.

use tempfile::TempDir;

use crate::support::http::Tls;
use crate::support::larder::Builder;
use crate::support::{
    Artifact, Authority, Distribution, GitLab, Larder, Proxy, PublicIndex, real_wheels, token,
};

pub const INDEX: &str = "https://index.example";
pub const FILES: &str = "https://files.example";

/// The private package whose dependencies are public.
pub const APP: &str = "acme-app";

/// What an install of it brings.
pub const INSTALLED: [&str; 8] = [
    "acme_app",
    "certifi",
    "charset_normalizer",
    "dateutil",
    "idna",
    "requests",
    "six.py",
    "urllib3",
];

pub fn app() -> Artifact {
    Distribution::new(APP, "1.0")
        .depends_on("requests>=2")
        .depends_on("python-dateutil")
        .wheel()
}

/// What the index has from the start.
pub fn left_pad() -> Artifact {
    Distribution::new("left.pad", "1.3").payload(20_000).wheel()
}

/// GitLab, the index that it points to, and the way to both.
pub struct World {
    pub gitlab: GitLab,
    pub index: PublicIndex,
    pub proxy: Proxy,
    pub folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("public");
        authority.write(folder.path(), "ca");
        let called = [
            "index.example",
            "files.example",
            "other.example",
            "localhost",
        ];
        let index = PublicIndex::builder()
            .called(INDEX, FILES)
            .tls(Tls::new(&authority.server(&called)))
            .offering(left_pad())
            .start();
        let proxy = Proxy::start();
        proxy.finds("index.example:443", index.address());
        proxy.finds("other.example:443", index.address());
        proxy.finds("files.example:443", index.files_address());
        let gitlab = GitLab::start();
        let world = Self {
            gitlab,
            index,
            proxy,
            folder,
        };
        world.points_to(INDEX);
        world
    }

    pub fn points_to(&self, origin: &str) {
        self.gitlab
            .set(|settings| origin.clone_into(&mut settings.public_index));
    }

    pub fn variables(&self) -> [(&'static str, String); 3] {
        let trusted = self.folder.path().join("ca.pem");
        [
            ("SSL_CERT_FILE", trusted.to_string_lossy().into_owned()),
            ("HTTPS_PROXY", self.proxy.url()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ]
    }

    /// With nothing configured but where GitLab is, and what the machine itself says.
    pub fn builder(&self) -> Builder {
        self.on_this_machine(Larder::builder(&self.gitlab))
    }

    /// The same, and GitLab is called by another name than the literal address of the indexes.
    pub fn builder_by_name(&self) -> Builder {
        let url = self.gitlab.url().replace("127.0.0.1", "localhost");
        self.on_this_machine(Larder::in_front_of(&url))
    }

    pub fn on_this_machine(&self, mut builder: Builder) -> Builder {
        for (name, value) in self.variables() {
            builder = builder.environment(name, &value);
        }
        builder
    }

    pub fn larder(&self) -> Larder {
        self.builder().start()
    }

    /// What a command prints, run on the same machine.
    pub fn says(&self, larder: &Larder, arguments: &[&str]) -> String {
        let done = larder
            .start_command(arguments)
            .envs(self.variables())
            .output()
            .expect("the binary runs");
        let said = [done.stdout, done.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    pub fn assert_innocent(&self) {
        self.gitlab.log().assert_nothing_unexpected();
        self.index.log().assert_nothing_unexpected();
        self.index
            .assert_never_told(&[token::READER, token::DEVELOPER, token::WIDGETS_READER]);
    }

    /// GitLab has a package whose dependencies the index has.
    pub fn offer_an_app(&self) -> Artifact {
        for wheel in real_wheels() {
            self.index.publish(wheel);
        }
        let app = app();
        self.gitlab.publish(42, &app);
        app
    }

    /// File bytes that GitLab and the index have sent.
    pub fn file_bytes(&self) -> u64 {
        self.gitlab.log().file_bodies().bytes + self.index.log().file_bodies().bytes
    }

    pub fn forget(&self) {
        self.gitlab.log().clear();
        self.index.log().clear();
    }
}
