//! A queue that speaks the JSON protocol of SQS, for one test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    calls: Vec<String>,
}

#[derive(Clone, Debug)]
struct Message {
    id: String,
    body: String,
    is_hidden: bool,
}

/// A running server with one queue; its thread ends with the process.
pub(crate) struct Sqs {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Sqs {
    /// Starts a server whose queue holds these bodies; their ids are `m-0`, `m-1`, …
    pub(crate) fn start(bodies: &[&str]) -> Sqs {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let message =
            |(number, body): (usize, &&str)| Message { id: format!("m-{number}"), body: (*body).to_owned(), is_hidden: false };
        let messages = bodies.iter().enumerate().map(message).collect();
        let state = Arc::new(Mutex::new(State { messages, calls: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &shared);
            }
        });
        Sqs { address, state }
    }

    /// The queue's URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/000000000000/replay", self.address)
    }

    /// The ids of the messages that are still there.
    pub(crate) fn left(&self) -> Vec<String> {
        self.state.lock().unwrap().messages.iter().map(|message| message.id.clone()).collect()
    }

    /// How often an action was called.
    pub(crate) fn calls(&self, action: &str) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|call| *call == action).count()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut target, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => target = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let action = target.strip_prefix("AmazonSQS.").unwrap_or_default().to_owned();
    let (status, answer) = answer(&action, &serde_json::from_slice(&body).unwrap_or_default(), &mut state.lock().unwrap());
    let answer = answer.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn answer(action: &str, asked: &Value, state: &mut State) -> (&'static str, Value) {
    state.calls.push(action.to_owned());
    if !asked["QueueUrl"].as_str().is_some_and(|url| url.ends_with("/000000000000/replay")) {
        let error = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."});
        return ("400 Bad Request", error);
    }
    let receipt = asked["ReceiptHandle"].as_str().unwrap_or_default().to_owned();
    match action {
        "ReceiveMessage" => {
            let most = usize::try_from(asked["MaxNumberOfMessages"].as_u64().unwrap()).unwrap();
            let mut taken = Vec::new();
            for message in state.messages.iter_mut().filter(|message| !message.is_hidden).take(most) {
                message.is_hidden = true;
                taken.push(json!({"MessageId": message.id, "ReceiptHandle": format!("r-{}", message.id), "Body": message.body}));
            }
            ("200 OK", json!({"Messages": taken}))
        }
        "DeleteMessage" => {
            state.messages.retain(|message| format!("r-{}", message.id) != receipt);
            ("200 OK", json!({}))
        }
        "ChangeMessageVisibility" => ("200 OK", json!({})),
        _ => ("400 Bad Request", json!({"__type": "com.amazonaws.sqs#UnsupportedOperation", "message": action})),
    }
}
