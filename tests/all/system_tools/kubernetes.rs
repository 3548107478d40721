//! The Helm chart and the plain manifests: rendered by Helm, held against the schemas of
//! Kubernetes, and what they tell larder told to larder.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::packaging::pipeline::{Recorder, publish};
use crate::support::larder::binary;
use crate::support::{Authority, Client, HeldPort, Watched};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const CHART: &str = "packaging/helm/larder";

fn kubernetes(arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    command.arg(".ci/kubernetes").args(arguments);
    command.current_dir(ROOT).output().expect("bash runs")
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn manifests() -> Vec<PathBuf> {
    files(&Path::new(ROOT).join("packaging/kubernetes"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

fn names(files: &[PathBuf]) -> Vec<&str> {
    let mut names = Vec::new();
    for path in files {
        let name = path.file_name().and_then(|name| name.to_str());
        names.push(name.expect("a name"));
    }
    names
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).expect("a file")
}

/// The objects of a manifest.
fn objects(manifest: &Path) -> Vec<Value> {
    let output = kubernetes(&["json", manifest.to_str().expect("a path")]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
}

fn of_kind<'a>(objects: &'a [Value], kinds: &[&str]) -> &'a Value {
    let found = objects.iter().find(|object| {
        let kind = object["kind"].as_str().expect("a kind");
        kinds.contains(&kind)
    });
    found.unwrap_or_else(|| panic!("none of {kinds:?}"))
}

fn pod_of(objects: &[Value]) -> &Value {
    &of_kind(objects, &["Deployment", "DaemonSet"])["spec"]["template"]["spec"]
}

#[test]
#[ignore = "installs Helm and Kubernetes' schemas (.ci/kubernetes)"]
fn the_manifests_are_what_the_chart_renders() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rendered = kubernetes(&["render", folder.path().to_str().expect("a path")]);
    assert!(rendered.status.success(), "{}", said(&rendered));
    let rendered = files(folder.path());
    let committed = manifests();
    assert_eq!(names(&rendered), names(&committed));
    for (rendered, committed) in rendered.iter().zip(&committed) {
        let both = [rendered, committed].map(read);
        let name = committed.display();
        assert!(
            both[0] == both[1],
            "{name}: make it anew: bash .ci/kubernetes"
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    let app = format!("appVersion: \"{version}\"");
    assert!(read(format!("{CHART}/Chart.yaml")).contains(&app), "{app}");
}

#[test]
#[ignore = "installs Helm and Kubernetes' schemas (.ci/kubernetes)"]
fn kubernetes_takes_the_manifests_and_would_not_take_others() {
    let manifests = manifests();
    let mut arguments = vec!["validate"];
    arguments.extend(manifests.iter().map(|path| path.to_str().expect("a path")));
    let valid = kubernetes(&arguments);
    assert!(valid.status.success(), "{}", said(&valid));
    // It can fail.
    let central = read("packaging/kubernetes/central-tls.yaml");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("broken.yaml");
    for (good, broken) in [
        ("readOnlyRootFilesystem: true", "readOnlyRoot: true"),
        ("maxUnavailable: 1", "maxUnavailable: [1]"),
        ("containerPort: 3141", "containerPort: https"),
        (
            "    - port: health\n      path: /-/metrics",
            "    - prot: health\n      path: /-/metrics",
        ),
        ("interval: 30s", "interval: 30 seconds"),
    ] {
        assert!(central.contains(good), "{good}");
        std::fs::write(&path, central.replace(good, broken)).expect("a writable folder");
        let refused = kubernetes(&["validate", path.to_str().expect("a path")]);
        assert!(!refused.status.success(), "{broken}: {}", said(&refused));
    }
}

#[test]
#[ignore = "installs Helm and Kubernetes' schemas (.ci/kubernetes)"]
fn documented_values_work_and_those_that_cannot_are_refused_with_a_reason() {
    let template = |set: &str| kubernetes(&["helm", "template", "larder", CHART, "--set", set]);
    let fine = template("replicas=1");
    assert!(fine.status.success(), "{}", said(&fine));
    for (set, why) in [
        ("kind=StatefulSet", "kind"),
        ("gitlab.ulr=x", "ulr"),
        ("gitlab.url=gitlab.example.com", "gitlab"),
        ("parent=larder.example.com", "parent"),
        ("parent={https://larder.example,larder.example}", "parent"),
        (
            "parent=https://larder.example,gitlab.url=https://gitlab.example",
            "gitlab/url",
        ),
        ("config=parent = \"https://x\"", "use the value parent"),
        ("networkPolicy.egressPorts={443}", "egressPorts"),
        ("cacheSize=50", "cacheSize"),
        ("cache.size=50GiB", "size"),
        ("replicas=2", "a cache folder belongs to one larder"),
        (
            "kind=DaemonSet,cache.type=persistentVolumeClaim",
            "use emptyDir or hostPath",
        ),
        ("cache.type=hostPath", "the folder of one node"),
        ("ports.health=3141", "client and health must differ"),
        ("config=listen", "config: not TOML"),
        ("config=health_listen = []", "use the value ports.health"),
        (
            "config=[tls]\nmin_version = \"1.3\"",
            "use the value tls.secretName",
        ),
        (
            "config=[gitlab]\nurl = \"https://x\"",
            "use the value gitlab.url",
        ),
        (
            "config=[log]\nformat = \"text\"",
            "log.format is set by the chart",
        ),
    ] {
        let refused = template(set);
        let said = said(&refused);
        assert!(
            !refused.status.success() && said.contains(why),
            "{set}: {said}"
        );
    }
    for line in read("docs/kubernetes.md").lines() {
        let Some(arguments) = line.strip_prefix("    helm install ") else {
            continue;
        };
        let mut command = vec!["helm", "template"];
        // From a registry it is the same chart.
        let arguments = arguments.replace(" larder/larder ", &format!(" {CHART} "));
        command.extend(arguments.split(' '));
        let rendered = kubernetes(&command);
        assert!(rendered.status.success(), "{line}: {}", said(&rendered));
    }
    let spread = template("replicas=3,cache.type=emptyDir");
    assert!(said(&spread).contains("replicas: 3"), "{}", said(&spread));
}

/// What the rendered NetworkPolicy lets out, beside DNS.
fn egress(set: &str) -> Vec<Value> {
    let rendered = kubernetes(&["helm", "template", "larder", CHART, "--set-json", set]);
    assert!(rendered.status.success(), "{}", said(&rendered));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = written(&folder, "rendered.yaml", &said(&rendered));
    let objects = objects(Path::new(&path));
    let policy = of_kind(&objects, &["NetworkPolicy"]);
    let rules = policy["spec"]["egress"].as_array().expect("rules");
    assert_eq!(rules[0]["ports"][0]["port"], 53);
    rules[1..].to_vec()
}

#[test]
#[ignore = "installs Helm and Kubernetes' schemas (.ci/kubernetes)"]
fn larder_is_let_out_to_gitlab_and_the_public_index_or_to_its_parent() {
    let rules = egress(r#"gitlab={"url":"http://gitlab.example:8080/root"}"#);
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert_eq!(rules[0]["ports"][0]["port"], 8080);
    assert_eq!(rules[0]["to"], Value::Null, "at every address");
    assert_eq!(rules[1]["ports"][0]["port"], 443);
    let open = &rules[1]["to"][0]["ipBlock"];
    assert_eq!(open["cidr"], "0.0.0.0/0");
    let inner = open["except"].as_array().expect("ranges");
    assert!(inner.contains(&"10.0.0.0/8".into()), "{inner:?}");

    let rules = egress(r#"parent="https://larder.example:3141""#);
    assert_eq!(rules.len(), 1, "the parent alone: {rules:?}");
    assert_eq!(rules[0]["ports"][0]["port"], 3141);
    let rules =
        egress(r#"parent=["https://a.example:3141","http://b.example","http://c.example"]"#);
    assert_eq!(rules.len(), 1, "the parents alone: {rules:?}");
    let ports = rules[0]["ports"].as_array().expect("ports");
    let ports: Vec<_> = ports.iter().map(|port| port["port"].clone()).collect();
    assert_eq!(ports, [3141, 80], "each once");

    let peer = r#"{"podSelector":{"matchLabels":{"app":"gitlab"}}}"#;
    let extra = r#"{"to":[{"ipBlock":{"cidr":"10.0.7.0/24"}}],"ports":[{"port":9000}]}"#;
    let set = format!(
        r#"networkPolicy={{"egress":{{"gitlab":[{peer}],"publicIndex":{{"enabled":false}},"extra":[{extra}]}}}}"#
    );
    let rules = egress(&set);
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert_eq!(
        rules[0]["to"][0],
        serde_json::from_str::<Value>(peer).expect("JSON")
    );
    assert_eq!(
        rules[1],
        serde_json::from_str::<Value>(extra).expect("JSON")
    );
}

#[test]
#[ignore = "installs Helm and Kubernetes' schemas (.ci/kubernetes)"]
fn the_chart_is_pushed_to_gitlabs_registry_of_charts() {
    let version = env!("CARGO_PKG_VERSION");
    let recorder = Recorder::start();
    let output = publish(&recorder, &["chart"], &format!("v{version}"));
    assert!(output.status.success(), "{}", said(&output));
    let received = recorder.received();
    let [pushed] = &received[..] else {
        panic!("{received:?}");
    };
    let place = "POST /api/v4/projects/7/packages/helm/api/stable/charts";
    assert_eq!(pushed.line, place);
    assert!(
        pushed.head.contains("Authorization: Basic "),
        "{}",
        pushed.head
    );
    let name = format!("name=\"chart\"; filename=\"larder-{version}.tgz\"");
    let body = String::from_utf8_lossy(&pushed.body).into_owned();
    assert!(body.contains(&name), "a form with the packed chart");

    let output = publish(&recorder, &["chart"], "v9.9.9");
    assert!(!output.status.success());
    assert_eq!(recorder.received().len(), 1);
}

#[test]
#[ignore = "installs Helm and Kubernetes' schemas (.ci/kubernetes)"]
fn a_pod_is_confined_and_agrees_with_the_image() {
    let dockerfile = read("Dockerfile");
    for manifest in manifests() {
        let objects = objects(&manifest);
        let pod = pod_of(&objects);
        let context = &pod["securityContext"];
        let user = context["runAsUser"].as_u64().expect("a user");
        assert!(dockerfile.contains(&format!("USER {user}:{user}\n")));
        assert_eq!(context["fsGroup"], user);
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["capabilities"]["drop"][0], "ALL");
        let folder = environment(pod)["LARDER_CACHE_DIR"].clone();
        assert!(dockerfile.contains(&format!("VOLUME {folder}\n")));
        assert_eq!(pod["containers"][0]["volumeMounts"][0]["mountPath"], folder);
        let grace = pod["terminationGracePeriodSeconds"].as_u64();
        // The pause before SIGTERM, limits.drain_timeout, and what is put by at the end.
        assert!(grace.expect("a number") >= 5 + 60 + 10);
    }
}

/// What the container is told in variables.
fn environment(pod: &Value) -> HashMap<String, String> {
    let variables = pod["containers"][0]["env"].as_array().expect("variables");
    let mut environment = HashMap::new();
    for variable in variables {
        let text = |key: &str| variable[key].as_str().expect("a text").to_owned();
        environment.insert(text("name"), text("value"));
    }
    environment
}

/// A larder that is told what a pod's container would be told; it ends with this.
struct Container {
    process: Child,
    _watched: Watched,
    _folder: TempDir,
    /// Where its health is asked.
    health: Client,
}

impl Container {
    /// Of these objects, but for the ports and the paths of this machine.
    fn start(objects: &[Value]) -> Self {
        let [client, health] = [HeldPort::new(), HeldPort::new()];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut variables = environment(pod_of(objects));
        let over_tls = variables.contains_key("LARDER_TLS__LISTEN");
        let listen = if over_tls {
            "LARDER_TLS__LISTEN"
        } else {
            "LARDER_LISTEN"
        };
        let mut replace = |key: &str, value: String| {
            let before = variables.insert(key.to_owned(), value);
            before.unwrap_or_else(|| panic!("{key} is not said"))
        };
        for (key, port) in [(listen, &client), ("LARDER_HEALTH_LISTEN", &health)] {
            let before = replace(key, port.address().to_string());
            assert!(before.starts_with("0.0.0.0:"), "{key}: {before}");
        }
        let cache = folder.path().join("cache");
        replace("LARDER_CACHE_DIR", cache.display().to_string());
        if over_tls {
            let pair = Authority::new("kubernetes").server(&["localhost"]);
            let certificate = written(&folder, "tls.crt", &pair.certificate);
            replace("LARDER_TLS__CERTIFICATE", certificate);
            replace("LARDER_TLS__KEY", written(&folder, "tls.key", &pair.key));
        }
        let config = &of_kind(objects, &["ConfigMap"])["data"]["config.toml"];
        let config = written(&folder, "config.toml", config.as_str().expect("TOML"));
        let process = Command::new(binary())
            .args(["--config", &config, "serve"])
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let container = Self {
            _watched: Watched::new(process.id()),
            process,
            _folder: folder,
            // A parent that is not there is waited for, up to five seconds.
            health: Client::new(health.address()).patience(Duration::from_secs(10)),
        };
        container.wait(health.address());
        container
    }

    fn wait(&self, address: SocketAddr) {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "nothing listens on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes a file, and gives its path.
fn written(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a writable folder");
    path.display().to_string()
}

#[test]
#[ignore = "installs Helm and Kubernetes' schemas (.ci/kubernetes)"]
fn larder_runs_as_the_pod_would_and_its_probes_are_answered() {
    for manifest in manifests() {
        let name = manifest.display();
        let objects = objects(&manifest);
        let container = Container::start(&objects);
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let asked = &pod_of(&objects)["containers"][0][probe]["httpGet"];
            assert_eq!(asked["port"], "health", "{name}");
            let path = asked["path"].as_str().expect("a path");
            container.health.get(path).expect(200);
        }
        container.health.get("/-/metrics").expect(200);
    }
}
