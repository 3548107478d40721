//! What holds while packages are cached: refusals, wrong bytes, uploads.

use crate::Told;
use crate::stage::{PROJECT, Stage};
use crate::support::{Act, Artifact, Client, Distribution, Reply, Site, path, token};

/// Warm or not, a stranger hears what GitLab itself would have said.
pub fn a_stranger_is_refused(stage: &Stage) -> Told<()> {
    let wheel = &stage.wheels[0];
    for path in [
        path::project_file(PROJECT, wheel),
        path::project_page(PROJECT, &wheel.name),
    ] {
        for who in [Some(token::STRANGER), Some(token::REVOKED), None] {
            let ask = |address| {
                let client = Client::new(address);
                match who {
                    Some(token) => client.token(token).get(&path),
                    None => client.get(&path),
                }
            };
            let through = ask(stage.larder());
            let direct = ask(stage.gitlab.address());
            if direct.status < 400 || !alike(&through, &direct) {
                return Err(format!(
                    "{path} for {who:?}: larder says {through:?}, GitLab says {direct:?}"
                ));
            }
        }
    }
    tick(
        "a stranger, a revoked token, no token: GitLab's own refusals, though everything is in the cache",
    );
    Ok(())
}

/// The same refusal: status, challenge, type and every byte.
fn alike(one: &Reply, other: &Reply) -> bool {
    let essence = |reply: &Reply| {
        let header = |name: &str| reply.header(name).map(str::to_owned);
        (
            reply.status,
            header("www-authenticate"),
            header("content-type"),
            reply.body.clone(),
        )
    };
    essence(one) == essence(other)
}

pub fn wrong_bytes_are_stopped(stage: &Stage) -> Told<()> {
    let wheel = Distribution::new("damaged-on-the-way", "1.0")
        .payload(1_000_000)
        .wheel();
    stage.gitlab.publish(PROJECT, &wheel);
    stage.gitlab.plan(
        Act::Flip {
            at: wheel.bytes.len() as u64 - 1,
        }
        .at(Site::FileBody),
    );
    let reply = stage.client().get(&path::project_file(PROJECT, &wheel));
    stage.be_far_away();
    if reply.status == 200 && reply.is_complete() {
        return Err("a wheel with a wrong last byte came through as if it were whole".to_owned());
    }
    tick(
        "a 1 MB wheel whose last byte went wrong on the way: cut short, never complete, never stored",
    );
    Ok(())
}

pub fn an_upload_is_seen_at_once(stage: &Stage) -> Told<()> {
    let wheel = Distribution::new("hello-larder", "1.0").wheel();
    let page = path::project_page(PROJECT, "hello-larder");
    let (content_type, form) = form_of(&wheel);
    let reply = stage
        .client()
        .post(&path::upload(PROJECT), &content_type, &form);
    if reply.status != 201 {
        return Err(format!("the upload was answered {reply:?}"));
    }
    let arrived = stage.gitlab.uploads().pop();
    let body = arrived.and_then(|upload| upload.body);
    if body.as_deref() != Some(&form[..]) {
        return Err("GitLab did not receive the upload as it was sent".to_owned());
    }
    if !stage.client().get(&page).text().contains(&wheel.filename) {
        return Err(format!(
            "{} is not on the page right after its upload",
            wheel.filename
        ));
    }
    let file = stage.client().get(&path::project_file(PROJECT, &wheel));
    if file.body != wheel.bytes {
        return Err(format!(
            "{} does not come back as it was uploaded",
            wheel.filename
        ));
    }
    tick("an upload: at GitLab byte for byte, and on the page in the very next request");
    Ok(())
}

/// An upload as twine sends it.
fn form_of(wheel: &Artifact) -> (String, Vec<u8>) {
    let boundary = "larder-demo";
    let mut form = Vec::new();
    let fields = [
        (":action", "file_upload"),
        ("name", &wheel.name),
        ("version", &wheel.version),
        ("sha256_digest", &wheel.sha256),
    ];
    for (name, value) in fields {
        let part = format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend(format!("--{boundary}\r\n{part}\r\n").into_bytes());
    }
    let part = format!(
        "Content-Disposition: form-data; name=\"content\"; filename=\"{}\"",
        wheel.filename
    );
    form.extend(format!("--{boundary}\r\n{part}\r\n\r\n").into_bytes());
    form.extend(&wheel.bytes);
    form.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    (format!("multipart/form-data; boundary={boundary}"), form)
}

fn tick(what: &str) {
    println!("  ✓ {what}");
}
