//! Lakes on S3 opened with each source of credentials that the AWS SDK knows and a test can play.
//!
//! The SDK reads the environment of its process, so each case is a process of its own: this test binary again, with
//! nothing in its environment but the case. The server is played too: it knows one access key and one owner.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test binary; the lint knows test functions alone")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use windrow_aws::{S3Environment, S3Options, open_lake};

const KEY: &str = "AKIDRIGHT";
const SECRET: &str = "marker-secret";
const TOKEN: &str = "marker-token";
const OWNER: &str = "111122223333";

/// Plays S3, STS and the credentials endpoint of a task.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    endpoint
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            return;
        }
    }
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let is_known = header("authorization").is_some_and(|text| text.contains(&format!("Credential={KEY}/")));
    let (status, text) = if head.starts_with("GET /task-credentials") {
        (
            200,
            format!(
                r#"{{"AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}","Token":"{TOKEN}","Expiration":"2999-01-01T00:00:00Z"}}"#
            ),
        )
    } else if String::from_utf8_lossy(&body).contains("AssumeRoleWithWebIdentity") {
        (200, sts())
    } else if !is_known {
        (403, "<Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>".to_owned())
    } else if head.starts_with("HEAD") {
        // Who asks for an owner of zeros gets its last three digits for an answer.
        let asked = header("x-amz-expected-bucket-owner").unwrap_or(OWNER.to_owned());
        let planned = asked.strip_prefix("000000000").map(|status| status.parse().unwrap());
        (planned.unwrap_or(if asked == OWNER { 200 } else { 403 }), String::new())
    } else {
        (200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".to_owned())
    };
    let length = text.len();
    let _ = write!(stream, "HTTP/1.1 {status} Played\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
}

fn sts() -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{KEY}</AccessKeyId>\
         <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken><Expiration>2999-01-01T00:00:00Z\
         </Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
}

/// Runs `child` below in a process with this environment, and returns what it said.
fn opened_with(environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]).env_clear();
    let output = command.env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().find_map(|line| line.split_once("said: ")).map(|(_, said)| said.to_owned());
    let said = said.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    assert!(!said.contains("marker"), "a secret in {said}");
    said
}

#[expect(clippy::disallowed_methods, reason = "the environment is what is tested")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
#[ignore = "the other half of the tests below"]
async fn child() {
    let environment = S3Environment {
        profile: variable("AWS_PROFILE"),
        endpoint_url_s3: variable("AWS_ENDPOINT_URL_S3"),
        endpoint_url: variable("AWS_ENDPOINT_URL"),
        region: variable("AWS_REGION"),
        allow_http: variable("AWS_ALLOW_HTTP"),
    };
    let options = S3Options {
        profile: variable("TEST_PROFILE"),
        expected_bucket_owner: variable("TEST_OWNER"),
        patience: windrow_lake::S3Patience { retries: 1, ..windrow_lake::S3Patience::default() },
        ..S3Options::default()
    };
    let url = variable("TEST_URL").unwrap_or("s3://acme-lake/flights".to_owned());
    match open_lake(&url, &options, &environment).await {
        Ok(lake) => println!("said: opened with {} requests", lake.traffic().requests),
        Err(error) => println!("said: {} {error} | {error:?} | {:?}", error.kind(), error.help_text()),
    }
}

#[test]
fn static_keys_of_the_environment_open_the_lake() {
    let server = serve();
    let keys = [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_ENDPOINT_URL_S3", &server)];
    assert_eq!(opened_with(&keys), "opened with 1 requests");
    // The service's own endpoint wins over the general one, which nobody answers here.
    let both = [keys.as_slice(), &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]].concat();
    assert_eq!(opened_with(&both), "opened with 1 requests");
}

#[test]
fn a_profile_gives_keys_region_and_endpoint_and_may_run_a_process() {
    let server = serve();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let process = format!(r#"{{"Version":1,"AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}","SessionToken":"{TOKEN}"}}"#);
    std::fs::write(folder.path().join("keys.json"), process).unwrap();
    let cat = format!("cat {}", folder.path().join("keys.json").display());
    let text = format!(
        "[profile keys]\nregion = eu-central-1\nendpoint_url = {server}\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n\
         [profile process]\nregion = eu-central-1\ncredential_process = {cat}\nservices = local\n\
         [services local]\ns3 =\n  endpoint_url = {server}\n\
         [profile broken]\nregion = eu-central-1\nendpoint_url = {server}\ncredential_process = sh -c 'echo marker-secret >&2; exit 3'\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = ("AWS_CONFIG_FILE", config.to_str().unwrap());
    let nowhere = ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    let path = ("PATH", "/usr/bin:/bin");
    for profile in ["keys", "process"] {
        assert_eq!(opened_with(&[config, nowhere, path, ("AWS_PROFILE", profile)]), "opened with 1 requests", "{profile}");
        assert_eq!(opened_with(&[config, nowhere, path, ("TEST_PROFILE", profile)]), "opened with 1 requests", "{profile}");
    }
    let broken = opened_with(&[config, nowhere, path, ("AWS_PROFILE", "broken")]);
    assert!(broken.starts_with("AccessDenied") && broken.contains("by hand"), "{broken}");
    // The environment's profile outranks the configured one, unless it is empty.
    let both = |of_environment, configured| {
        opened_with(&[config, nowhere, path, ("AWS_PROFILE", of_environment), ("TEST_PROFILE", configured)])
    };
    assert_eq!(both("keys", "broken"), "opened with 1 requests");
    assert!(both("broken", "keys").starts_with("AccessDenied"));
    assert_eq!(both("", "keys"), "opened with 1 requests");
}

#[test]
fn the_role_of_a_task_or_of_a_pod_opens_the_lake() {
    let server = serve();
    let of_task = format!("{server}/task-credentials");
    let endpoint = ("AWS_ENDPOINT_URL_S3", server.as_str());
    assert_eq!(opened_with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &of_task), endpoint]), "opened with 1 requests");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let of_pod = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/lake"),
        ("AWS_ENDPOINT_URL_STS", &server),
        ("AWS_REGION", "eu-central-1"),
        endpoint,
    ];
    assert_eq!(opened_with(&of_pod), "opened with 1 requests");
}

#[test]
fn what_is_missing_or_wrong_is_said_without_a_secret() {
    let server = serve();
    let endpoint = ("AWS_ENDPOINT_URL_S3", server.as_str());
    let secret = ("AWS_SECRET_ACCESS_KEY", SECRET);
    for (environment, kind, part) in [
        (vec![endpoint], "AccessDenied", "AWS_PROFILE"),
        (vec![endpoint, ("AWS_ACCESS_KEY_ID", "AKIDWRONG"), secret], "AccessDenied", "does not know this access key"),
        (vec![("AWS_ACCESS_KEY_ID", KEY), secret], "Misconfigured", "no AWS region"),
        (
            vec![("AWS_ENDPOINT_URL_S3", "http://minio:9000"), ("AWS_ACCESS_KEY_ID", KEY), secret],
            "Misconfigured",
            "AWS_ALLOW_HTTP",
        ),
        (vec![endpoint, ("AWS_ALLOW_HTTP", "perhaps")], "Misconfigured", "neither"),
        (vec![endpoint, ("TEST_URL", "s3://Acme")], "Misconfigured", "lowercase"),
        (vec![endpoint, ("TEST_OWNER", "me")], "Misconfigured", "12 digits"),
    ] {
        let said = opened_with(&environment);
        assert!(said.starts_with(kind) && said.contains(part), "{said}");
    }
}

#[test]
fn a_bucket_of_another_owner_is_refused() {
    let server = serve();
    let keys = [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_ENDPOINT_URL_S3", server.as_str())];
    assert_eq!(opened_with(&[keys.as_slice(), &[("TEST_OWNER", OWNER)]].concat()), "opened with 1 requests");
    let said = opened_with(&[keys.as_slice(), &[("TEST_OWNER", "999999999999")]].concat());
    assert!(said.starts_with("AccessDenied") && said.contains("not owned by account 999999999999"), "{said}");
    for (status, kind) in [("301", "Misconfigured"), ("400", "AccessDenied"), ("404", "Misconfigured")] {
        let owner = format!("000000000{status}");
        let said = opened_with(&[keys.as_slice(), &[("TEST_OWNER", &owner)]].concat());
        assert!(said.starts_with(kind) && said.contains(&format!("status {status}")), "{said}");
    }
}
