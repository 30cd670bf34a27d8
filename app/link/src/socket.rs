//! One WebSocket, from its opening to its end.

use alloc::borrow::ToOwned as _;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;

use bytes::Bytes;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::JsCast;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use crate::address::BrokerUrl;
use crate::failure::TransportFailure;
use crate::listener::Listener;

/// The subprotocol that both versions of the standard require `[MQTT-6.0.0-3]`.
const SUBPROTOCOL: &str = "mqtt";

/// What a socket reports. Nothing follows `Closed`.
pub(crate) enum SocketEvent {
    Opened,
    Bytes(Bytes),
    Closed(TransportFailure),
}

/// A WebSocket. Dropping it closes it and ends its reports.
pub(crate) struct Socket {
    socket: WebSocket,
    _listeners: [Listener; 3],
}

impl Socket {
    /// Begins to open a socket. `report` is never called from within this call.
    pub(crate) fn open(
        url: &BrokerUrl,
        report: impl Fn(SocketEvent) + Clone + 'static,
    ) -> Result<Self, TransportFailure> {
        let socket = WebSocket::new_with_str(url.as_str(), SUBPROTOCOL).map_err(|error| {
            // This is a SyntaxError or a SecurityError, for which the browser does say why.
            let message = js_sys::Reflect::get(&error, &"message".into()).ok();
            failure(url, message.and_then(|message| message.as_string()))
        })?;
        socket.set_binary_type(BinaryType::Arraybuffer);

        let was_open = Rc::new(Cell::new(false));
        let (opened, is_open) = (report.clone(), Rc::clone(&was_open));
        let on_open = Listener::new(&socket, "open", move |_| {
            is_open.set(true);
            opened(SocketEvent::Opened);
        });

        let (incoming, own_url) = (report.clone(), url.clone());
        let on_message = Listener::new(&socket, "message", move |event| {
            incoming(
                match event
                    .unchecked_into::<MessageEvent>()
                    .data()
                    .dyn_into::<ArrayBuffer>()
                {
                    Ok(buffer) => SocketEvent::Bytes(Uint8Array::new(&buffer).to_vec().into()),
                    // MQTT uses binary frames `[MQTT-6.0.0-1]`: a server that sends text
                    // speaks another protocol.
                    Err(_) => SocketEvent::Closed(TransportFailure {
                        was_open: true,
                        ..failure(&own_url, Some("the server sent a text frame".to_owned()))
                    }),
                },
            );
        });

        // `error` carries nothing, and `close` always follows it.
        let url = url.clone();
        let on_close = Listener::new(&socket, "close", move |event| {
            let event = event.unchecked_into::<CloseEvent>();
            report(SocketEvent::Closed(TransportFailure {
                url: url.clone(),
                was_open: was_open.get(),
                code: event.code(),
                reason: event.reason(),
            }));
        });
        Ok(Self {
            socket,
            _listeners: [on_open, on_message, on_close],
        })
    }

    /// Whether it can be written to.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.ready_state() == WebSocket::OPEN
    }

    /// Bytes that were written and have not left the browser.
    pub(crate) fn buffered(&self) -> u32 {
        self.socket.buffered_amount()
    }

    /// Writes one binary frame.
    pub(crate) fn write(&self, bytes: &[u8]) {
        // This fails only before the socket is open, and then nobody writes.
        let _ = self.socket.send_with_u8_array(bytes);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The listeners go too, so that a late `close` of this socket is not taken for one of the
        // next socket.
        let _ = self.socket.close();
    }
}

fn failure(url: &BrokerUrl, reason: Option<String>) -> TransportFailure {
    TransportFailure {
        url: url.clone(),
        was_open: false,
        code: 1006,
        reason: reason.unwrap_or_default(),
    }
}
