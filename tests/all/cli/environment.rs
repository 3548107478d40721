//! The environment as a layer of the configuration, as shells, service managers and Kubernetes fill
//! it.

use std::process::{Command, Stdio};

use crate::support::{GitLab, Larder};

/// What Kubernetes puts into a pod beside a Service called larder.
const SERVICE_LINKS: [(&str, &str); 7] = [
    ("LARDER_PORT", "tcp://10.43.0.7:3141"),
    ("LARDER_SERVICE_HOST", "10.43.0.7"),
    ("LARDER_SERVICE_PORT", "3141"),
    ("LARDER_SERVICE_PORT_HTTP", "3141"),
    ("LARDER_PORT_3141_TCP", "tcp://10.43.0.7:3141"),
    ("LARDER_PORT_3141_TCP_ADDR", "10.43.0.7"),
    ("LARDER_PORT_3141_TCP_PROTO", "tcp"),
];

/// Exit code, what was printed, and what was remarked.
fn command(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(crate::support::larder::binary());
    command
        .env_clear()
        .env("HOME", "/home-of-nobody")
        .env("LARDER_CONFIG", "/dev/null")
        .args(arguments)
        .envs(environment.iter().copied());
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn what_kubernetes_puts_into_a_pod_is_passed_over_with_one_line() {
    let gitlab = GitLab::start();
    let mut builder = Larder::builder(&gitlab);
    for (name, value) in SERVICE_LINKS {
        builder = builder.environment(name, value);
    }
    let larder = builder.start();
    larder.client().get("/-/health/live").expect(200);
    let log = larder.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("LARDER_"))
        .collect();
    assert!(
        matches!(told.as_slice(), [line] if line.contains("Kubernetes")),
        "{log}"
    );

    let (code, _, remarked) = command(&["check-config"], &SERVICE_LINKS);
    assert_eq!((code, remarked.lines().count()), (Some(0), 1), "{remarked}");
}

#[test]
fn an_unknown_variable_is_remarked_on_and_a_slip_of_the_pen_is_refused() {
    let (code, _, remarked) = command(&["check-config"], &[("LARDER_IMAGE_TAG", "s3cret")]);
    assert_eq!(code, Some(0), "{remarked}");
    assert!(
        remarked.contains("LARDER_IMAGE_TAG") && !remarked.contains("s3cret"),
        "{remarked}"
    );
    for (slip, meant) in [
        ("LARDER_GITLAB_URL", "LARDER_GITLAB__URL"),
        ("LARDER_CACHESIZE", "LARDER_CACHE_SIZE"),
    ] {
        let (code, _, said) = command(&["check-config"], &[(slip, "x")]);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(slip) && said.contains(meant), "{said}");
    }
}

#[test]
fn a_text_is_taken_as_it_is() {
    for text in [
        "007",
        ".5",
        "true",
        "1e5",
        "\"quoted\"",
        " blanks ",
        "{A=1}",
        "[x]",
    ] {
        let variables = [
            ("LARDER_MIRRORS__PYPI__URL", "https://index.example/simple/"),
            ("LARDER_MIRRORS__PYPI__USERNAME", text),
            ("LARDER_MIRRORS__PYPI__TOKEN_FILE", "/secret"),
            (
                "LARDER_LISTEN",
                "[\"127.0.0.1:1\", 'unix:/run/larder.sock']",
            ),
        ];
        let (code, shown, said) = command(&["config", "show", "--json"], &variables);
        assert_eq!(code, Some(0), "{text}: {said}");
        let value = |key: &str| {
            let line = shown
                .lines()
                .find(|line| line.contains(&format!("\"key\":\"{key}\"")));
            let line: serde_json::Value =
                serde_json::from_str(line.expect("the key")).expect("JSON");
            line["value"].clone()
        };
        assert_eq!(value("mirrors.pypi.username"), text);
        assert_eq!(
            value("listen"),
            serde_json::json!(["127.0.0.1:1", "unix:/run/larder.sock"])
        );
    }
}

#[test]
fn a_file_that_is_no_toml_is_placed_and_not_quoted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder
        .path()
        .join("larder.toml")
        .to_string_lossy()
        .into_owned();
    for text in [
        "[gitlab]\nurl = https://me:s3cret@gitlab.example\n",
        "listen = \"me:s3cret@gitlab.example\"\n",
        "listen = \"s3cret is no address\"\n",
        "[tls]\nlisten = [\"unix:s3cret\"]\n",
        "[gitlab]\nretries = \"s3cret\"\n",
    ] {
        std::fs::write(&file, text).expect("a writable folder");
        for arguments in [
            ["check-config", "--config", &file].as_slice(),
            &["config", "show", "--config", &file],
        ] {
            let (code, printed, said) = command(arguments, &[]);
            assert_eq!(code, Some(78), "{said}");
            assert!(
                said.contains("larder.toml") && !said.contains("s3cret"),
                "{said}"
            );
            assert!(!printed.contains("s3cret"), "{printed}");
        }
    }
}
