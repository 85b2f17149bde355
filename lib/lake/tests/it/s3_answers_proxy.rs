//! A proxy between a lake and the test server that answers as planned: with errors, late, cut short, or not at all.
//!
//! One request a connection. The request's head goes on as it came, but for `Connection`, so its signature stays good.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the planned requests meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error of this status and code; the server never hears of the request.
    Status(u16, &'static str),
    /// The connection is reset before the server hears of the request.
    Reset,
    /// Nothing at all, for as long as the client waits; the server never hears of the request.
    Stall,
    /// The server does it, and the connection is reset instead of its answer.
    ReplyLost,
    /// The server does it, and its answer is replaced by an error.
    ReplyReplaced(u16, &'static str),
    /// The server does it, and its answer breaks off in the middle.
    ReplyCut,
    /// The request's body reaches the server with one byte changed.
    RequestAltered,
    /// The server's answer is another document with status 200.
    ReplyForeign,
}

impl Fault {
    /// Tells whether the server may have done what was asked.
    pub(crate) fn is_forwarded(self) -> bool {
        !matches!(self, Fault::Status(..) | Fault::Reset | Fault::Stall)
    }
}

/// A request as the plan sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
}

/// Which requests are meant.
pub(crate) type Matches = fn(&Seen) -> bool;

#[derive(Default)]
struct Plan {
    planned: Option<(Matches, Fault, usize)>,
    met: usize,
}

/// A running proxy; it ends with the runtime.
#[derive(Clone)]
pub(crate) struct Proxy {
    endpoint: String,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    /// Starts a proxy before a server at `http://host:port`.
    pub(crate) async fn start(upstream: &str) -> Proxy {
        let upstream: SocketAddr = upstream.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = Arc::clone(&plan);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let plan = Arc::clone(&shared);
                // A client that goes away is no failure of the proxy.
                tokio::spawn(async move { serve(client, upstream, &plan).await });
            }
        });
        Proxy { endpoint, plan }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The next so many matching requests meet the fault.
    pub(crate) fn plan(&self, matches: Matches, fault: Fault, times: usize) {
        *self.plan.lock().unwrap() = Plan { planned: Some((matches, fault, times)), met: 0 };
    }

    /// Ends the plan, and says how many requests met the fault.
    pub(crate) fn heal(&self) -> usize {
        let mut plan = self.plan.lock().unwrap();
        plan.planned = None;
        plan.met
    }
}

impl Plan {
    fn fault(&mut self, seen: &Seen) -> Option<Fault> {
        let (matches, fault, left) = self.planned.as_mut()?;
        if *left == 0 || !matches(seen) {
            return None;
        }
        *left -= 1;
        self.met += 1;
        Some(*fault)
    }
}

async fn serve(mut client: TcpStream, upstream: SocketAddr, plan: &Mutex<Plan>) -> std::io::Result<()> {
    let Some((head, mut body)) = read_request(&mut client).await? else { return Ok(()) };
    let seen = seen(&head);
    let fault = plan.lock().unwrap().fault(&seen);
    match fault {
        Some(Fault::Status(status, code)) => return client.write_all(&error(&seen, status, code)).await,
        Some(Fault::Reset) => return reset(client),
        Some(Fault::Stall) => return client.read_to_end(&mut Vec::new()).await.map(|_| ()),
        Some(Fault::RequestAltered) => {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        _ => {}
    }
    let answer = forward(upstream, &head, &body).await?;
    match fault {
        Some(Fault::ReplyLost) => reset(client),
        Some(Fault::ReplyReplaced(status, code)) => client.write_all(&error(&seen, status, code)).await,
        Some(Fault::ReplyCut) => {
            let head = end_of_head(&answer).unwrap_or(answer.len());
            let cut = if head < answer.len() { usize::midpoint(head, answer.len()) } else { answer.len() / 2 };
            client.write_all(&answer[..cut]).await
        }
        Some(Fault::ReplyForeign) => client.write_all(&response(&seen, 200, "<html>welcome</html>")).await,
        _ => client.write_all(&answer).await,
    }
}

async fn read_request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = end_of_head(&bytes) {
            break end;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "the proxy knows no chunks: {head}");
    let mut body = bytes.split_off(end);
    let read = body.len();
    body.resize(length, 0);
    client.read_exact(&mut body[read..]).await?;
    Ok(Some((head, body)))
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn seen(head: &str) -> Seen {
    let mut words = head.split(' ');
    let method = words.next().unwrap().to_owned();
    let target = words.next().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Seen { method, path: path.to_owned(), query: query.to_owned() }
}

async fn forward(upstream: SocketAddr, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let kept = head.trim_end().split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = kept.collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(head.as_bytes()).await?;
    server.write_all(body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn error(seen: &Seen, status: u16, code: &str) -> Vec<u8> {
    let body =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>planned</Message></Error>");
    response(seen, status, &body)
}

fn response(seen: &Seen, status: u16, body: &str) -> Vec<u8> {
    let body = if seen.method == "HEAD" { "" } else { body };
    let length = body.len();
    let headers = format!("Content-Type: application/xml\r\nETag: \"planned\"\r\nContent-Length: {length}\r\nConnection: close");
    format!("HTTP/1.1 {status} Planned\r\n{headers}\r\n\r\n{body}").into_bytes()
}

fn reset(client: TcpStream) -> std::io::Result<()> {
    client.set_zero_linger()
}
