//! The HTTP side of a server: answers of its API, and its stream of events.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortController, EventSource, Headers, MessageEvent, RequestCache, RequestInit, Response,
};

use crate::listener::Listener;
use crate::timer::Timer;
use crate::window;

/// Why a request has no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// The server cannot be reached, or the answer broke off. The browser does not say why.
    Unreachable,
    /// The answer did not come in time.
    TooLate,
    /// The server answered with this status.
    Status(u16),
}

impl HttpFailure {
    /// Whether the same request may be answered later: the server is just starting, is busy, or cannot be
    /// reached.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable | Self::TooLate => true,
            Self::Status(status) => matches!(status, 408 | 429 | 500..),
        }
    }
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the server cannot be reached"),
            Self::TooLate => f.write_str("the server did not answer in time"),
            Self::Status(status) => {
                f.write_str("the server answered with status ")?;
                f.write_str(&status.to_string())
            }
        }
    }
}

/// What is asked of the server.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    /// Reads.
    Get,
    /// Changes something, as this JSON says.
    Patch(&'a str),
    /// Removes something.
    Delete,
}

/// How long an answer may take, in milliseconds.
const PATIENCE_MS: u32 = 30_000;

/// A request under way. Dropping it gives it up: its handler is not called any more.
pub struct Request {
    abort: Option<AbortController>,
    end: Rc<Cell<End>>,
    _patience: Timer,
}

/// How a request ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    /// With what the server answers.
    Answer,
    /// The answer did not come in time.
    TooLate,
    /// Nobody wants the answer any more.
    GivenUp,
}

impl Request {
    /// Asks `address`, which may be relative to the document's base. `done` gets the body of an answer
    /// with a status from 200 to 299, or why there is none. It is never called from within this call.
    ///
    /// What changes something carries the header `beaconry-request`, which no form of another page can
    /// send.
    pub fn send(
        method: Method<'_>,
        address: &str,
        done: impl FnOnce(Result<Vec<u8>, HttpFailure>) + 'static,
    ) -> Self {
        let abort = AbortController::new().ok();
        let end = Rc::new(Cell::new(End::Answer));
        let promise = start(method, address, abort.as_ref());
        let ends = Rc::clone(&end);
        spawn_local(async move {
            let answer = match promise {
                Some(promise) => read(promise).await,
                None => Err(HttpFailure::Unreachable),
            };
            match ends.get() {
                End::Answer => done(answer),
                End::TooLate => done(Err(HttpFailure::TooLate)),
                End::GivenUp => {}
            }
        });
        let (late, aborts) = (Rc::clone(&end), abort.clone());
        let patience = Timer::new(move || {
            late.set(End::TooLate);
            if let Some(abort) = &aborts {
                abort.abort();
            }
        });
        patience.start(PATIENCE_MS);
        Self {
            abort,
            end,
            _patience: patience,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.end.set(End::GivenUp);
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

fn start(
    method: Method<'_>,
    address: &str,
    abort: Option<&AbortController>,
) -> Option<js_sys::Promise> {
    let init = RequestInit::new();
    // The answers are of now. The browser must not show those of before.
    init.set_cache(RequestCache::NoStore);
    let headers = Headers::new().ok()?;
    match method {
        Method::Get => init.set_method("GET"),
        Method::Patch(json) => {
            init.set_method("PATCH");
            init.set_body(&JsValue::from_str(json));
            headers.set("content-type", "application/json").ok()?;
            headers.set("beaconry-request", "1").ok()?;
        }
        Method::Delete => {
            init.set_method("DELETE");
            headers.set("beaconry-request", "1").ok()?;
        }
    }
    init.set_headers(&headers);
    let signal = abort.map(AbortController::signal);
    init.set_signal(signal.as_ref());
    Some(window()?.fetch_with_str_and_init(address, &init))
}

async fn read(promise: js_sys::Promise) -> Result<Vec<u8>, HttpFailure> {
    let broken = |_: JsValue| HttpFailure::Unreachable;
    let response = JsFuture::from(promise).await.map_err(broken)?;
    let response: Response = response.unchecked_into();
    if !response.ok() {
        return Err(HttpFailure::Status(response.status()));
    }
    let body = response.array_buffer().map_err(broken)?;
    let body = JsFuture::from(body).await.map_err(broken)?;
    Ok(Uint8Array::new(&body).to_vec())
}

/// What a stream of server-sent events reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// It is open.
    Opened,
    /// The server has nothing to tell, but is there.
    Beat,
    /// An event of the name that was asked for.
    Message {
        /// Its `id`.
        id: String,
        /// Its data.
        data: String,
    },
    /// It has ended, or could not be opened. Nothing follows.
    Ended,
}

/// A stream of server-sent events. Dropping it closes it and ends its reports.
///
/// A browser would open a broken one again by itself, but with an address that may have become old.
/// So this one ends, and its owner opens another.
pub struct EventStream {
    source: EventSource,
    _listeners: Box<[Listener]>,
}

impl EventStream {
    /// Begins to open it. `address` may be relative to the document's base. `report` gets the events of
    /// the name `name`, and those of the name `beat`, which only say that the server is there. It is
    /// never called from within this call. `None`: the browser cannot do it.
    pub fn open(
        address: &str,
        name: &'static str,
        beat: &'static str,
        report: impl Fn(StreamEvent) + Clone + 'static,
    ) -> Option<Self> {
        let source = EventSource::new(address).ok()?;
        let opened = report.clone();
        let on_open = Listener::new(&source, "open", move |_| opened(StreamEvent::Opened));
        let beats = report.clone();
        let on_beat = Listener::new(&source, beat, move |_| beats(StreamEvent::Beat));
        let message = report.clone();
        let on_message = Listener::new(&source, name, move |event| {
            let event = event.unchecked_into::<MessageEvent>();
            message(StreamEvent::Message {
                id: event.last_event_id(),
                data: event.data().as_string().unwrap_or_default(),
            });
        });
        let broken = source.clone();
        let on_error = Listener::new(&source, "error", move |_| {
            broken.close();
            report(StreamEvent::Ended);
        });
        Some(Self {
            source,
            _listeners: Box::new([on_open, on_beat, on_message, on_error]),
        })
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.source.close();
    }
}

/// Percent-encodes a text for one place in an address: everything but RFC 3986's unreserved
/// characters.
pub fn percent_encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_means_something_in_an_address() {
        assert_eq!(percent_encode("pump-02_a.b~"), "pump-02_a.b~");
        assert_eq!(percent_encode("a/b&c=#é"), "a%2Fb%26c%3D%23%C3%A9");
    }

    #[test]
    fn a_failure_says_what_happened() {
        let told = HttpFailure::Status(502).to_string();
        assert_eq!(told, "the server answered with status 502");
    }
}
