//! A real browser: Chromium without a window, driven over WebDriver (HTTP and JSON) by
//! chromedriver.
//!
//! Only what tests need of the protocol. Each browser has a profile of its own, asks nobody but
//! 127.0.0.1, and ends with this.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Client;

/// For a browser on a loaded machine to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running browser with one tab.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
    _profile: TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let profile = TempDir::with_prefix("larder-browser-").expect("a temporary folder");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver, of the package chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped"))
            .lines()
            .map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, rest) = line.split_once("successfully on port ")?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("chromedriver says its port");
        // Read on, so that it is never kept from speaking.
        std::thread::spawn(move || lines.for_each(drop));
        let client = Client::new(([127, 0, 0, 1], port).into()).patience(PATIENCE);
        let mut browser = Self {
            driver,
            client,
            session: String::new(),
            _profile: profile,
        };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".to_owned(),
            "--window-size=1280,1000".to_owned(),
            format!(
                "--user-data-dir={}",
                browser._profile.path().join("profile").display()
            ),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let session = browser.post("/session", &wanted);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    pub fn open(&self, url: &str) {
        self.order("/url", &json!({ "url": url }));
    }

    /// The value of a script that ends in `return`.
    pub fn run(&self, script: &str) -> Value {
        self.order("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The value that a script hands to `done`, when it does.
    pub fn run_until_done(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.order("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Blocks until a script's value is true; panics after ten seconds.
    #[track_caller]
    pub fn wait_for(&self, what: &str, script: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.run(script) != true {
            assert!(Instant::now() < until, "not within ten seconds: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An order of Chromium's own protocol.
    pub fn devtools(&self, order: &str, parameters: &Value) -> Value {
        self.order(
            "/goog/cdp/execute",
            &json!({ "cmd": order, "params": parameters }),
        )
    }

    /// `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
    }

    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// The whole page as a picture.
    pub fn screenshot(&self, file: &Path) {
        self.capture(file, &json!({ "captureBeyondViewport": true }));
    }

    /// The page as a picture, down to the end of what this selector finds.
    pub fn screenshot_down_to(&self, selector: &str, file: &Path) {
        let size = self.run(&format!(
            "const end = document.querySelector({selector:?}).getBoundingClientRect().bottom + scrollY; \
             return {{ x: 0, y: 0, width: innerWidth, height: end + 12, scale: 1 }};"
        ));
        let part = json!({ "captureBeyondViewport": true, "clip": size });
        self.capture(file, &part);
    }

    fn capture(&self, file: &Path, parameters: &Value) {
        let shot = self.devtools("Page.captureScreenshot", parameters);
        let text = shot["data"].as_str().expect("a picture");
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a writable folder");
        let picture = STANDARD.decode(text).expect("base64");
        std::fs::write(file, picture).expect("a writable file");
    }

    /// What the console has been told since the last look: errors, warnings, what the policy
    /// forbade.
    pub fn console(&self) -> Vec<String> {
        self.log("browser")
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// The addresses asked for since the last look.
    pub fn requested(&self) -> Vec<String> {
        let messages = self.log("performance");
        let events = messages.iter().filter_map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let sent = event["message"]["method"] == "Network.requestWillBeSent";
            sent.then(|| {
                event["message"]["params"]["request"]["url"]
                    .as_str()
                    .map(str::to_owned)
            })?
        });
        events.collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.order("/se/log", &json!({ "type": kind }))
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    fn order(&self, path: &str, body: &Value) -> Value {
        self.post(&format!("/session/{}{path}", self.session), body)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self
            .client
            .post(path, "application/json", body.to_string().as_bytes());
        let answer = reply.json();
        let short: String = answer["value"].to_string().chars().take(1000).collect();
        assert_eq!(reply.status, 200, "{path}: {short}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver and the browser it started, however they stand.
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}
