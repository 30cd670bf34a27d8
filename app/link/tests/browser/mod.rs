//! A WebSocket whose other end is in the hands of the test, with our own codec behind it.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

use bytes::{Bytes, BytesMut};
use js_sys::{Array, Promise, Uint8Array};
use mqtt::{ConnAck, Decoder, Packet, ProtocolVersion, Publish, ReasonCode, encode};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(inline_js = "
export class FakeSocket extends EventTarget {
  static CONNECTING = 0; static OPEN = 1; static CLOSING = 2; static CLOSED = 3;
  static all = [];
  constructor(url, protocol) {
    super();
    this.url = url; this.protocol = protocol;
    this.readyState = 0; this.bufferedAmount = 0; this.written = []; this.binaryType = 'blob';
    FakeSocket.all.push(this);
  }
  send(bytes) {
    this.written.push(new Uint8Array(bytes));
  }
  close() { this.readyState = 3; }
}
const Real = globalThis.WebSocket;
export function install() {
  globalThis.WebSocket = FakeSocket;
  return FakeSocket.all = [];
}
export function restore() { globalThis.WebSocket = Real; }
export function emit(socket, kind, detail) {
  const event = kind === 'close'
    ? new CloseEvent('close', { code: detail, reason: '' })
    : kind === 'message' ? new MessageEvent('message', { data: detail }) : new Event(kind);
  socket.dispatchEvent(event);
}
export function take(socket) { return socket.written.splice(0); }
export function later(ms) { return new Promise((resolve) => setTimeout(resolve, ms)); }
export function frame() { return new Promise((resolve) => requestAnimationFrame(resolve)); }
")]
extern "C" {
    type FakeSocket;
    fn install() -> Array;
    fn restore();
    fn emit(socket: &FakeSocket, kind: &str, detail: &JsValue);
    fn take(socket: &FakeSocket) -> Array;
    fn later(ms: i32) -> Promise;
    fn frame() -> Promise;
    #[wasm_bindgen(method, getter)]
    fn url(this: &FakeSocket) -> String;
    #[wasm_bindgen(method, getter)]
    fn protocol(this: &FakeSocket) -> String;
    #[wasm_bindgen(method, getter, js_name = readyState)]
    fn ready_state(this: &FakeSocket) -> u16;
    #[wasm_bindgen(method, setter, js_name = readyState)]
    fn set_ready_state(this: &FakeSocket, state: u16);
    #[wasm_bindgen(method, setter, js_name = bufferedAmount)]
    fn set_buffered_amount(this: &FakeSocket, bytes: u32);
}

/// Until this is dropped, `new WebSocket` makes one of our sockets.
pub struct Network {
    sockets: Array,
}

impl Network {
    pub fn install() -> Self {
        Self { sockets: install() }
    }

    /// How many sockets were made.
    pub fn made(&self) -> usize {
        self.sockets.length() as usize
    }

    /// Waits for the socket of this index, counted from 0 in the order in which they are made.
    pub async fn socket(&self, index: usize) -> Peer {
        until("a socket is made", || self.made() > index).await;
        let index = u32::try_from(index).unwrap();
        let socket = self.sockets.get(index).unchecked_into();
        Peer {
            socket,
            decoder: Decoder::server(),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        restore();
    }
}

/// The other end of a socket.
pub struct Peer {
    socket: FakeSocket,
    decoder: Decoder,
}

impl Peer {
    pub fn url(&self) -> String {
        self.socket.url()
    }

    pub fn protocol(&self) -> String {
        self.socket.protocol()
    }

    pub fn is_closed(&self) -> bool {
        self.socket.ready_state() == 3
    }

    pub fn open(&self) {
        self.socket.set_ready_state(1);
        emit(&self.socket, "open", &JsValue::NULL);
    }

    /// Pretends that this many bytes wait in the browser.
    pub fn set_buffered(&self, bytes: u32) {
        self.socket.set_buffered_amount(bytes);
    }

    pub fn close(&self, code: u16) {
        self.socket.set_ready_state(3);
        emit(&self.socket, "close", &code.into());
    }

    pub fn text(&self, text: &str) {
        emit(&self.socket, "message", &text.into());
    }

    pub fn bytes(&self, bytes: &[u8]) {
        emit(&self.socket, "message", &Uint8Array::from(bytes).buffer());
    }

    /// Sends packets in one frame.
    pub fn send(&self, packets: &[Packet]) {
        self.bytes(&wire(packets));
    }

    /// Opens the socket, waits for CONNECT and accepts it.
    pub async fn accept(&mut self, session_present: bool) -> mqtt::Connect {
        self.open();
        let connect = self.receive().await;
        let Packet::Connect(connect) = connect else {
            panic!("{connect:?}");
        };
        let accepted = ConnAck::new(session_present, ReasonCode::Success);
        self.send(&[Packet::ConnAck(accepted)]);
        connect
    }

    /// The frames that were written since this was last asked.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let frames = take(&self.socket).into_iter();
        frames
            .map(|frame| Uint8Array::from(frame).to_vec())
            .collect()
    }

    /// The packets that were written since this was last asked.
    pub fn packets(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        for frame in self.frames() {
            let mut input = Bytes::from(frame);
            while let Some(packet) = self.decoder.decode(&mut input).unwrap() {
                packets.push(packet);
            }
        }
        packets
    }

    /// Waits for a packet. No other may come with it.
    pub async fn receive(&mut self) -> Packet {
        let mut received = Vec::new();
        until("a packet is written", || {
            received.extend(self.packets());
            !received.is_empty()
        })
        .await;
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }
}

pub fn wire(packets: &[Packet]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for packet in packets {
        encode(packet, ProtocolVersion::V5, &mut out).unwrap();
    }
    out.to_vec()
}

pub fn publish(topic: &str, payload: &str) -> Packet {
    let topic = mqtt::TopicName::try_from(topic).unwrap();
    Packet::Publish(Publish::new(topic, payload.to_owned()))
}

/// Waits until `holds`, at most five seconds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        JsFuture::from(later(5)).await.unwrap();
    }
    panic!("waited in vain until {what}");
}

/// Waits for the next animation frame.
pub async fn next_frame() {
    JsFuture::from(frame()).await.unwrap();
}

/// Lets everything that is due now happen.
pub async fn settle() {
    JsFuture::from(later(0)).await.unwrap();
    JsFuture::from(later(0)).await.unwrap();
}
