//! A request's body, within its bounds: as sent, as unpacked, in time, and with all others together.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use raftduck_model::limits;
use raftduck_wire::http::header::IDEMPOTENCY_KEY;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::App;
use crate::problem::{Code, Problem};

const KIB: usize = 1024;
/// What is set aside at a time while a body comes in.
const STEP_BYTES: usize = 64 * KIB;
/// A client that is told 413 while it sends gets to read it: this much more is taken and thrown away, for so long.
const LINGER_BYTES: usize = limits::BODY_BYTES;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// The room for all bodies and their rows together.
#[derive(Clone)]
pub(super) struct Bodies {
    free: Arc<Semaphore>,
    total: usize,
}

/// Bytes that were set aside; given back when it is dropped.
pub(super) struct Room {
    permit: OwnedSemaphorePermit,
    bodies: Bodies,
}

impl Bodies {
    pub(super) fn new(bytes: usize) -> Self {
        let total = (bytes / KIB).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    /// Bytes that are set aside now.
    pub(super) fn taken(&self) -> usize {
        (self.total - self.free.available_permits().min(self.total)) * KIB
    }

    fn empty(&self) -> Result<Room, Problem> {
        Ok(Room { permit: self.permits(0)?, bodies: self.clone() })
    }

    fn permits(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        let busy = |_| Problem::busy("too many request bodies are under way");
        self.free.clone().try_acquire_many_owned(kib).map_err(busy)
    }
}

impl Room {
    /// Sets aside so many bytes in all.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let have = self.permit.num_permits() * KIB;
        if bytes > have {
            let more = self.bodies.permits((bytes - have).max(STEP_BYTES))?;
            self.permit.merge(more);
        }
        Ok(())
    }
}

/// Before decompression: refuses encodings that are not read, and bounds what is sent.
pub(super) async fn bounded(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let limit = app.control.limits.body_bytes;
    let (mut parts, body) = request.into_parts();
    let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = encodings.next().map(|value| value.as_bytes());
    let plain = encoding == Some(b"identity");
    if encodings.next().is_some() || !(plain || matches!(encoding, None | Some(b"gzip" | b"zstd"))) {
        return Err(Problem::new(Code::UnsupportedMediaType, "the body's Content-Encoding is not read")
            .hint("send it as it is, or with one of gzip and zstd"));
    }
    if plain {
        parts.headers.remove(header::CONTENT_ENCODING);
    }
    if let Some(length) = body.size_hint().upper().filter(|length| *length > limit as u64) {
        if length <= (limit + LINGER_BYTES) as u64 {
            linger(body).await;
        }
        return Err(Problem::too_large(limit, "the body"));
    }
    let body = Body::new(Limited::new(body, limit));
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Reads a body to its end, at most `limit` bytes after decompression.
pub(super) async fn read(app: &App, mut body: Body, limit: usize) -> Result<(Bytes, Room), Problem> {
    let deadline = Instant::now() + app.control.limits.body_time;
    let mut room = app.bodies.empty()?;
    let mut bytes = BytesMut::new();
    loop {
        let late = |_| {
            let seconds = app.control.limits.body_time.as_secs_f64();
            Problem::new(Code::RequestTimeout, format!("the body was not there within {seconds} s"))
                .hint("send fewer rows in one request")
        };
        let Some(frame) = timeout_at(deadline, body.frame()).await.map_err(late)? else { break };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                linger(body).await;
                return Err(broken(app.control.limits.body_bytes, &error));
            }
        };
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > limit {
            linger(body).await;
            return Err(Problem::too_large(limit, "the body, unpacked,"));
        }
        if let Err(problem) = room.grow_to(bytes.len() + data.len()) {
            linger(body).await;
            return Err(problem);
        }
        bytes.extend_from_slice(data);
    }
    Ok((bytes.freeze(), room))
}

/// Why a body could not be read to its end.
fn broken(limit: usize, error: &(dyn Error + 'static)) -> Problem {
    let mut root = error;
    loop {
        if root.is::<LengthLimitError>() {
            return Problem::too_large(limit, "the body");
        }
        let Some(cause) = root.source() else { break };
        root = cause;
    }
    Problem::new(Code::BadBody, format!("the body cannot be read to its end: {root}"))
}

/// Takes what the client still sends, within bounds, so that it reads the answer instead of a broken connection.
async fn linger(mut body: Body) {
    let deadline = Instant::now() + LINGER_TIME;
    let mut taken = 0;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        taken += frame.data_ref().map_or(0, Bytes::len);
        if taken > LINGER_BYTES {
            return;
        }
    }
}

/// The client's `Idempotency-Key`, if it sent one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let bad = || {
        let detail = format!("the Idempotency-Key must be 1 to {} visible ASCII characters, once", limits::KEY_BYTES);
        Problem::new(Code::BadRequest, detail).hint("a UUID will do")
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().map_err(|_| bad())?;
    let fits = (1..=limits::KEY_BYTES).contains(&key.len()) && values.next().is_none();
    fits.then(|| Some(key.to_owned())).ok_or_else(bad)
}

/// The body's media type without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}
