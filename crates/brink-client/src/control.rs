//! Asks a target about itself, over its control plane: HTTP/1.1 with JSON bodies, one connection kept alive.
//!
//! Blocking, for the thread that conducts a run. Must not interpret what the target says.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use brink_wire::control::{Info, LimitReading, TargetUsage};
use brink_wire::value::format_duration;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// The largest body that is read: 16 MiB.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Why a control plane did not answer. Displays as one line with the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlError {
    /// Nothing listens there.
    Refused(SocketAddr),
    /// Something answers, but not as a brink control plane does.
    NotBrink(SocketAddr, String),
    /// It wants a token, or another one.
    Unauthorized(SocketAddr),
    /// No answer in time.
    Timeout(SocketAddr, Duration),
    /// Anything else.
    Other(SocketAddr, String),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(address) => write!(f, "{address}: connection refused: no control plane there"),
            Self::NotBrink(address, why) => write!(f, "{address}: not a brink control plane ({why})"),
            Self::Unauthorized(address) => {
                write!(f, "{address}: the control plane wants a --token, or another one")
            }
            Self::Timeout(address, timeout) => {
                write!(f, "{address}: the control plane did not answer within {}", format_duration(*timeout))
            }
            Self::Other(address, why) => write!(f, "{address}: control plane: {why}"),
        }
    }
}

impl std::error::Error for ControlError {}

/// A connection to a target's control plane, made again once when it was lost.
pub struct ControlClient {
    runtime: Runtime,
    address: SocketAddr,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl fmt::Debug for ControlClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlClient").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ControlClient {
    /// Connects. `timeout` bounds this and each later call.
    ///
    /// # Errors
    /// [`ControlError`]; a wrong token shows with the first call.
    pub fn connect(
        address: SocketAddr,
        token: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, ControlError> {
        let other = |why: String| ControlError::Other(address, why);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            other(format!("cannot start a runtime ({})", brink_host::errno::name(&error)))
        })?;
        let header = |text: String| {
            HeaderValue::try_from(text)
                .map_err(|_| other("the token has bytes that no header may carry".to_owned()))
        };
        let mut client = Self {
            host: header(address.to_string())?,
            authorization: token.map(|token| header(format!("Bearer {token}"))).transpose()?,
            runtime,
            address,
            timeout,
            sender: None,
        };
        client.reconnect()?;
        Ok(client)
    }

    /// `GET /v1/info`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn info(&mut self) -> Result<Info, ControlError> {
        self.json(&Method::GET, "/v1/info")
    }

    /// `GET /v1/usage`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn usage(&mut self) -> Result<TargetUsage, ControlError> {
        self.json(&Method::GET, "/v1/usage")
    }

    /// `GET /v1/limits`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn limits(&mut self) -> Result<Vec<LimitReading>, ControlError> {
        self.json(&Method::GET, "/v1/limits")
    }

    /// `POST /v1/stop`. Sent once: a target that closed the connection instead of answering has stopped.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn stop(&mut self) -> Result<(), ControlError> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            self.reconnect()?;
        }
        match self.attempt(&Method::POST, "/v1/stop") {
            Ok(_) | Err(Lost::Connection(_)) => Ok(()),
            Err(Lost::Answer(error)) => Err(error),
        }
    }

    fn json<T: DeserializeOwned>(&mut self, method: &Method, path: &str) -> Result<T, ControlError> {
        let body = match self.attempt(method, path) {
            Err(Lost::Connection(_)) => {
                self.reconnect()?;
                self.attempt(method, path).map_err(|lost| match lost {
                    Lost::Connection(why) => ControlError::NotBrink(self.address, why),
                    Lost::Answer(error) => error,
                })?
            }
            Err(Lost::Answer(error)) => return Err(error),
            Ok(body) => body,
        };
        serde_json::from_slice(&body)
            .map_err(|error| ControlError::NotBrink(self.address, format!("{path}: {error}")))
    }

    fn reconnect(&mut self) -> Result<(), ControlError> {
        self.sender = None;
        let address = self.address;
        let stream = self.bounded(TcpStream::connect(address))?.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => ControlError::Refused(address),
            _ => {
                ControlError::Other(address, format!("cannot connect ({})", brink_host::errno::name(&error)))
            }
        })?;
        let (sender, connection) = self
            .bounded(http1::handshake(TokioIo::new(stream)))?
            .map_err(|error| ControlError::NotBrink(address, error.to_string()))?;
        // Runs whenever a call runs the runtime; its end shows as a closed sender.
        self.runtime.spawn(connection);
        self.sender = Some(sender);
        Ok(())
    }

    /// One request and its whole body, on the connection at hand.
    fn attempt(&mut self, method: &Method, path: &str) -> Result<Bytes, Lost> {
        let Some(mut sender) = self.sender.take() else {
            return Err(Lost::Connection("not connected".to_owned()));
        };
        let request = self.request(method, path).map_err(Lost::Answer)?;
        let answer = self.bounded(async {
            sender.ready().await.map_err(|error| Lost::Connection(error.to_string()))?;
            let response =
                sender.send_request(request).await.map_err(|error| Lost::Connection(error.to_string()))?;
            let answer = read(response).await;
            Ok((sender, answer))
        });
        let (sender, answer) = answer.map_err(Lost::Answer)??;
        let (status, body) = answer.map_err(|why| Lost::Answer(ControlError::NotBrink(self.address, why)))?;
        self.sender = Some(sender);
        match status {
            StatusCode::UNAUTHORIZED => Err(Lost::Answer(ControlError::Unauthorized(self.address))),
            status if status.is_success() => Ok(body),
            status => Err(Lost::Answer(ControlError::NotBrink(self.address, format!("{path}: {status}")))),
        }
    }

    fn request(&self, method: &Method, path: &str) -> Result<Request<Empty<Bytes>>, ControlError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Empty::new()).map_err(|error| ControlError::Other(self.address, error.to_string()))
    }

    fn bounded<F: Future>(&self, future: F) -> Result<F::Output, ControlError> {
        let timeout = self.timeout;
        self.runtime
            .block_on(async { tokio::time::timeout(timeout, future).await })
            .map_err(|_elapsed| ControlError::Timeout(self.address, timeout))
    }
}

/// Why a call failed: the connection went before an answer, which is worth another try, or the answer is what
/// it is.
enum Lost {
    Connection(String),
    Answer(ControlError),
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, Bytes), String> {
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    body.map(|body| (status, body.to_bytes())).map_err(|error| error.to_string())
}
