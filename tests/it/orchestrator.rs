//! Step Functions as a supervised job meets it: the three calls of a task with a token, written down and answered as told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

/// The token of every test; it may stand in no output.
pub(crate) const TOKEN: &str = "AQCEAAAAKgAAAAMmarker+token/of=the-task";

/// How long a call may be waited for before the test fails; none takes nearly as long.
const LONGEST: Duration = Duration::from_secs(120);

/// One call that was received.
#[derive(Debug)]
pub(crate) struct Call {
    /// `SendTaskSuccess`.
    pub(crate) name: String,
    /// Its body.
    pub(crate) body: Value,
}

impl Call {
    /// The cause of a failure, parsed as the state machine does.
    pub(crate) fn cause(&self) -> Value {
        serde_json::from_str(self.body["cause"].as_str().unwrap()).unwrap()
    }
}

/// A server on a port of its own.
pub(crate) struct Orchestrator {
    endpoint: String,
    calls: Receiver<Call>,
}

impl Orchestrator {
    /// Takes every call.
    pub(crate) fn start() -> Orchestrator {
        Orchestrator::answering(|_, _| None)
    }

    /// `refuse` sees a call's name and how many came before it, and gives the name of the error it is answered with.
    pub(crate) fn answering(refuse: impl Fn(&str, usize) -> Option<&'static str> + Send + 'static) -> Orchestrator {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (told, calls) = channel();
        std::thread::spawn(move || serve(&listener, &told, &refuse));
        Orchestrator { endpoint, calls }
    }

    /// Makes a command a task of this orchestrator, with the token in the environment.
    pub(crate) fn employ<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.employ_without_token(command).env("WINDROW_TASK_TOKEN", TOKEN)
    }

    /// The same without the token.
    pub(crate) fn employ_without_token<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("AWS_ENDPOINT_URL_SFN", &self.endpoint).env("AWS_REGION", "eu-central-1");
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "never-shown")
    }

    /// The next call.
    #[track_caller]
    pub(crate) fn next(&self) -> Call {
        self.calls.recv_timeout(LONGEST).expect("no call came")
    }

    /// The next call that is no heartbeat.
    #[track_caller]
    pub(crate) fn answer(&self) -> Call {
        loop {
            let call = self.next();
            if call.name != "SendTaskHeartbeat" {
                return call;
            }
        }
    }

    /// Fails when another call is there that is no heartbeat.
    #[track_caller]
    pub(crate) fn assert_silent(&self) {
        let more: Vec<Call> = self.calls.try_iter().filter(|call| call.name != "SendTaskHeartbeat").collect();
        assert!(more.is_empty(), "{more:?}");
    }
}

fn serve(listener: &TcpListener, told: &Sender<Call>, refuse: &dyn Fn(&str, usize) -> Option<&'static str>) {
    let mut count = 0;
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        // A client may connect and leave.
        let Some(call) = read(&stream) else { continue };
        assert_eq!(call.body["taskToken"], TOKEN);
        let refused = refuse(&call.name, count);
        count += 1;
        let (status, body) = match refused {
            Some(error) => (400, format!(r#"{{"__type":"{error}","message":"{error} of {TOKEN}"}}"#)),
            None => (200, "{}".to_owned()),
        };
        let head = format!("HTTP/1.1 {status} Played\r\nContent-Type: application/x-amz-json-1.0\r\n");
        let length = body.len();
        // Told before it is answered, so that whoever saw the job end finds the call.
        let _ = told.send(call);
        let _ = write!(stream, "{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    }
}

fn read(stream: &TcpStream) -> Option<Call> {
    let mut lines = BufReader::new(stream);
    let (mut name, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let lower = line.trim().to_ascii_lowercase();
        if let Some((_, target)) = line.trim().split_once("AWSStepFunctions.") {
            name = Some(target.to_owned());
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    Some(Call { name: name?, body: serde_json::from_slice(&body).unwrap() })
}
