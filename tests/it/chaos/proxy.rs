//! What stands between the binary and the store, and spoils what it passes on.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// 500, without effect.
    InternalError,
    /// 503, without effect.
    SlowDown,
    /// 403, without effect: the clocks are too far apart.
    SkewedClock,
    /// 409, without effect: another conditional create is under way.
    Conflict,
    /// No answer and no effect.
    HeldBefore,
    /// No answer, but the effect.
    HeldAfter,
    /// The connection is reset before the effect.
    ResetBefore,
    /// The connection is reset after the effect.
    ResetAfter,
    /// The answer comes in small pieces.
    Slow,
    /// The connection closes in the middle of the answer.
    Truncated,
    /// 200 with an error in its body, without effect.
    ErrorInside,
    /// 200 and nothing more, without effect.
    Ignored,
}

impl Fault {
    /// Those that can befall any request.
    const ANY: [Self; 9] = [
        Self::InternalError,
        Self::SlowDown,
        Self::SkewedClock,
        Self::HeldBefore,
        Self::HeldAfter,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Slow,
        Self::Truncated,
    ];

    /// One of them; a create-if-absent may also meet with a conflict. Those that end a run at once are rarer than the
    /// others, or hardly a run would get to its end.
    pub(super) fn some(random: &mut StdRng, request: &Request) -> Self {
        let conflicts = usize::from(request.is_create());
        let mut draw = || {
            let number = random.random_range(0..Self::ANY.len() + conflicts);
            Self::ANY.get(number).copied().unwrap_or(Self::Conflict)
        };
        match draw() {
            Self::SkewedClock | Self::Truncated => draw(),
            other => other,
        }
    }
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Request {
    /// The first line and the headers, up to and with the empty line.
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// `PUT /bucket/key`
    pub(super) fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap()
    }

    pub(super) fn body(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Whether it creates an object only if there is none.
    pub(super) fn is_create(&self) -> bool {
        self.header("if-none-match") == Some("*")
    }

    /// Whether it copies an object.
    pub(super) fn is_copy(&self) -> bool {
        self.header("x-amz-copy-source").is_some()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut headers = lines.filter_map(|line| line.split_once(':'));
        let (_, value) = headers.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }
}

type Choice = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

/// Answers on a port of its own until it is dropped.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

struct Shared {
    choice: Choice,
    requests: u64,
    faults: BTreeMap<Fault, u64>,
}

impl Proxy {
    /// Passes everything on to `store`, `http://host:port`.
    pub(super) async fn start(store: &str) -> Self {
        let store: SocketAddr = store.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            choice: Box::new(|_| None),
            requests: 0,
            faults: BTreeMap::new(),
        }));
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&of_task);
                connections.spawn(async move {
                    // clients that disconnect in the middle are the purpose of this proxy
                    let _ = serve(client, store, &shared).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this says what happens to each request.
    pub(super) fn choose(&self, choice: impl FnMut(&Request) -> Option<Fault> + Send + 'static) {
        self.shared.lock().unwrap().choice = Box::new(choice);
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.shared.lock().unwrap().requests
    }

    /// How many requests met with each fault.
    pub(super) fn faults(&self) -> BTreeMap<Fault, u64> {
        self.shared.lock().unwrap().faults.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request; the answer says that the connection ends with it.
async fn serve(mut client: TcpStream, store: SocketAddr, shared: &Mutex<Shared>) -> io::Result<()> {
    let Some(request) = read(&mut client).await? else {
        return Ok(());
    };
    let fault = {
        let mut shared = shared.lock().unwrap();
        shared.requests += 1;
        let fault = (shared.choice)(&request);
        if let Some(fault) = fault {
            *shared.faults.entry(fault).or_default() += 1;
        }
        fault
    };
    match fault {
        None => client.write_all(&pass_on(&request, store).await?).await?,
        Some(Fault::InternalError) => refuse(&mut client, 500, "InternalError").await?,
        Some(Fault::SlowDown) => refuse(&mut client, 503, "SlowDown").await?,
        Some(Fault::SkewedClock) => refuse(&mut client, 403, "RequestTimeTooSkewed").await?,
        Some(Fault::Conflict) => refuse(&mut client, 409, "ConditionalRequestConflict").await?,
        Some(Fault::ErrorInside) => {
            done(&mut client, "<Error><Code>Whatever</Code></Error>").await?;
        }
        Some(Fault::Ignored) => done(&mut client, "").await?,
        Some(Fault::HeldBefore) => hold(&mut client).await?,
        Some(Fault::HeldAfter) => {
            pass_on(&request, store).await?;
            hold(&mut client).await?;
        }
        Some(Fault::ResetBefore) => client.set_zero_linger()?,
        Some(Fault::ResetAfter) => {
            pass_on(&request, store).await?;
            client.set_zero_linger()?;
        }
        Some(Fault::Slow) => {
            let answer = pass_on(&request, store).await?;
            for piece in answer.chunks(answer.len().div_ceil(10)) {
                client.write_all(piece).await?;
                client.flush().await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Some(Fault::Truncated) => {
            let answer = pass_on(&request, store).await?;
            let head = answer
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 4;
            let half = head + (answer.len() - head) / 2;
            // without a body there is nothing to cut but the head
            let cut = if half == head { head - 4 } else { half };
            client.write_all(&answer[..cut]).await?;
        }
    }
    client.shutdown().await
}

/// Until the client has had enough.
async fn hold(client: &mut TcpStream) -> io::Result<()> {
    client.read_u8().await.map(drop)
}

/// As if it had been done.
async fn done(client: &mut TcpStream, body: &str) -> io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nETag: \"an-object\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    client.write_all(answer.as_bytes()).await
}

async fn refuse(client: &mut TcpStream, status: u16, code: &str) -> io::Result<()> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>by the test</Message></Error>"
    );
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} No\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    client.write_all(answer.as_bytes()).await
}

/// The whole request, or nothing if the client went away before it was sent.
async fn read(client: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let body = bytes.split_off(end);
    let mut request = Request {
        head: String::from_utf8(bytes).unwrap(),
        body,
    };
    assert_eq!(
        request.header("transfer-encoding"),
        None,
        "not that much of a proxy"
    );
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while request.body.len() < length {
        if client.read_buf(&mut request.body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(request))
}

/// The store's answer. The `Host` stays as it is, since it is signed.
async fn pass_on(request: &Request, store: SocketAddr) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(store).await?;
    let kept = request
        .head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:") && !line.is_empty());
    let mut head: String = kept.flat_map(|line| [line, "\r\n"]).collect();
    head.push_str("Connection: close\r\n\r\n");
    upstream.write_all(head.as_bytes()).await?;
    upstream.write_all(&request.body).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    Ok(answer)
}
