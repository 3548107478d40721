//! Uploads and their refusals.

use super::*;

const FORM: &str = "multipart/form-data; boundary=xyz";

fn form(fields: &[(&str, &str)], filename: &str, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .into_bytes(),
        );
    }
    body.extend(
        format!(
            "--xyz\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{filename}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes(),
    );
    body.extend(content);
    body.extend(b"\r\n--xyz--\r\n");
    body
}

fn form_of(file: &Artifact) -> Vec<u8> {
    let fields = [
        (":action", "file_upload"),
        ("name", &file.name),
        ("version", &file.version),
        ("sha256_digest", &file.sha256),
    ];
    form(&fields, &file.filename, &file.bytes)
}

#[test]
fn an_upload_is_kept_byte_for_byte_and_can_be_fetched() {
    let gitlab = GitLab::start();
    let developer = anonymous(&gitlab).token(token::DEVELOPER);
    let file = Distribution::new("fresh", "2.0").wheel();
    let body = form_of(&file);

    let reply = developer.post(&path::upload(42), FORM, &body);

    assert_eq!(
        (reply.status, reply.text().as_str()),
        (201, r#"{"message":"201 Created"}"#)
    );
    let upload = gitlab.uploads().pop().expect("one upload");
    assert_eq!(upload.body.as_deref(), Some(&body[..]));
    assert_eq!(
        (upload.body_sha256.as_str(), upload.complete, upload.status),
        (sha256_hex(&body).as_str(), true, 201)
    );
    assert_eq!(upload.fields["name"], "fresh");
    assert_eq!(
        developer.get(&path::project_file(42, &file)).expect(200),
        &file.bytes[..]
    );
    let again = developer.post(&path::upload(42), FORM, &body);
    assert_eq!(
        (again.status, again.text().as_str()),
        (
            400,
            r#"{"message":"400 Bad request - Validation failed: File name has already been taken"}"#
        )
    );
    assert_eq!(gitlab.log().posts(), 2);
}

#[test]
fn chunks_and_expectations_are_understood() {
    let gitlab = GitLab::start();
    let file = Distribution::new("fresh", "2.0").wheel();
    let body = form_of(&file);
    let client = anonymous(&gitlab).token(token::DEVELOPER);
    let head = client.head_text(
        "POST",
        &path::upload(42),
        &[
            ("Content-Type", FORM),
            ("Transfer-Encoding", "chunked"),
            ("Expect", "100-continue"),
            ("Connection", "close"),
        ],
    );
    let mut request = head.into_bytes();
    for piece in body.chunks(100) {
        request.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        request.extend(piece);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let reply = client.raw(&request);
    assert_eq!((reply.status, reply.interim.as_slice()), (201, &[100][..]));
    assert_eq!(gitlab.uploads()[0].body.as_deref(), Some(&body[..]));
}

#[test]
fn refusals_come_as_soon_as_the_file_begins() {
    let gitlab = GitLab::start();
    let body = form_of(&Artifact::noise("huge", "1", 30_000_000));
    let post = |client: Client, project: u64| client.post(&path::upload(project), FORM, &body);
    for (who, client, project, status) in [
        ("anonymous", anonymous(&gitlab), 42, 401),
        ("wrong", anonymous(&gitlab).token("nobody-knows"), 43, 401),
        ("guest", anonymous(&gitlab).token(token::GUEST), 42, 403),
        ("read_api", reader(&gitlab), 42, 403),
        (
            "outsider, public",
            anonymous(&gitlab).token(token::STRANGER),
            43,
            403,
        ),
        (
            "outsider, private",
            anonymous(&gitlab).token(token::STRANGER),
            42,
            404,
        ),
        (
            "deploy token that reads",
            anonymous(&gitlab).token(token::DEPLOY),
            42,
            403,
        ),
        (
            "unknown project",
            anonymous(&gitlab).token(token::DEVELOPER),
            999,
            404,
        ),
    ] {
        let reply = post(client, project);
        assert_eq!(reply.status, status, "{who}: {reply:?}");
    }
    let early = gitlab.uploads();
    assert!(
        early
            .iter()
            .all(|upload| !upload.complete && upload.body_bytes < 5_000_000)
    );
    assert!(
        anonymous(&gitlab)
            .job_token(token::JOB)
            .post(&path::upload(42), FORM, &form_of(&my_pkg().0))
            .status
            == 400
    );
    assert_eq!(reader(&gitlab).get(&path::upload(42)).status, 400);
}

#[test]
fn limits_maintenance_and_nonsense_have_their_own_answers() {
    let gitlab = GitLab::builder()
        .set(|settings| settings.upload_limit = UploadLimit::Workhorse(1000))
        .start();
    let client = anonymous(&gitlab).token(token::DEVELOPER);
    let body = form_of(&Artifact::noise("big", "1", 100_000));
    let post = |body: &[u8]| client.post(&path::upload(42), FORM, body);
    let reply = post(&body);
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (413, "entity is too large")
    );
    gitlab.set(|settings| settings.upload_limit = UploadLimit::Rails(1000));
    assert_eq!(
        post(&body).text(),
        r#"{"message":"400 Bad request - File is too large"}"#
    );
    gitlab.set(|settings| settings.upload_limit = UploadLimit::None);
    assert_eq!(
        post(&form(&[("version", "1")], "x.whl", b"x")).text(),
        r#"{"error":"name is missing"}"#
    );
    let digest = [("name", "x"), ("version", "1"), ("sha256_digest", "zz")];
    assert_eq!(
        post(&form(&digest, "x.whl", b"x")).text(),
        r#"{"error":"sha256_digest is invalid"}"#
    );

    gitlab.set(|settings| settings.upload_keeping = UploadKeeping::Digest);
    post(&body).expect(201);
    let upload = gitlab.uploads().pop().expect("an upload");
    assert_eq!((upload.body, upload.body_sha256), (None, sha256_hex(&body)));

    gitlab.set(|settings| settings.maintenance = true);
    let reply = post(&body);
    assert_eq!(
        (reply.status, reply.header("Location")),
        (301, Some(format!("{}/", gitlab.url()).as_str()))
    );
}
