//! Connections that carry raw bytes, over TCP or over WebSocket.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::panic::resume_unwind;
use std::thread;

use bytes::Bytes;
use testbed::Folder;
use tokio_tungstenite::tungstenite::WebSocket;

use crate::raw::{
    Answer, CONNACK, Connect, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,
    PUBREL, Publish, RETAIN, Received, SUBACK, UNSUBACK, V3, V5, Version, ack, packet,
    subscribe_with, unsubscribe, variable,
};
use crate::support::{ByteStream, Server, tcp, websocket};

/// A server, and the listener that a scenario uses.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) listener: Listener,
    /// Where the server stores things. Removed when it has ended.
    data: Option<Folder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Tcp,
    WebSocket,
}

/// Where a site's server keeps what must not be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    Memory,
    Disk,
}

/// Runs the scenario over TCP, over WebSocket, and over TCP with a server that stores things, as it
/// does by default. Each has a fresh server. They run at the same time, because much of it is
/// waiting.
pub(crate) fn on_each_transport(scenario: impl Fn(&Site) + Sync) {
    with_settings(&[], scenario);
}

/// The same, with flags for the server.
pub(crate) fn with_settings(arguments: &[&str], scenario: impl Fn(&Site) + Sync) {
    let run = |listener, storage| scenario(&Site::start(listener, storage, arguments));
    thread::scope(|scope| {
        let threads = [
            (Listener::Tcp, Storage::Memory),
            (Listener::WebSocket, Storage::Memory),
            (Listener::Tcp, Storage::Disk),
        ]
        .map(|(listener, storage)| {
            // The thread's name appears in the message of a scenario that fails.
            thread::Builder::new()
                .name(format!("over {listener:?}, stored in {storage:?}"))
                .spawn_scoped(scope, move || run(listener, storage))
                .unwrap()
        });
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
}

impl Site {
    fn start(listener: Listener, storage: Storage, arguments: &[&str]) -> Self {
        let data = (storage == Storage::Disk).then(Folder::new);
        let path = data.as_ref().map(Folder::data);
        let mut arguments = arguments.to_vec();
        if let Some(path) = &path {
            arguments.extend(["--data", path.to_str().unwrap()]);
        }
        Self {
            server: Server::start_with(&arguments),
            listener,
            data,
        }
    }

    /// A site that uses WebSocket and stores nothing.
    pub(crate) fn of_websockets() -> Self {
        Self::start(Listener::WebSocket, Storage::Memory, &[])
    }

    /// A connection on which nothing was sent yet. It reads what comes as version 5 until told
    /// otherwise.
    pub(crate) fn open(&self) -> Wire {
        let stream: Box<dyn ByteStream> = match self.listener {
            Listener::Tcp => {
                let stream = tcp(self.server.mqtt);
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
            Listener::WebSocket => Box::new(self.websocket()),
        };
        Wire {
            stream,
            version: V5,
            stored: self.data.is_some(),
            early: VecDeque::new(),
            input: Vec::new(),
        }
    }

    pub(crate) fn websocket(&self) -> WebSocket<TcpStream> {
        websocket(&self.server, Some("mqtt")).unwrap()
    }

    /// A connection whose CONNECT was accepted, and its CONNACK.
    pub(crate) fn connect(&self, connect: &Connect) -> (Wire, Answer) {
        let mut wire = self.open();
        wire.version = connect.version;
        wire.send(&connect.bytes());
        let answer = wire.answer();
        assert_eq!((answer.first, &answer.codes[..]), (CONNACK, &[0][..]));
        (wire, answer)
    }

    /// A connection with a clean start.
    pub(crate) fn connected(&self, version: Version, client_id: &str) -> Wire {
        self.connect(&Connect::new(version, client_id)).0
    }

    /// A connection that is subscribed to one filter with these options.
    pub(crate) fn subscriber(&self, version: Version, filter: &str, options: u8) -> Wire {
        let mut wire = self.connected(version, &format!("{version:?} {filter} {options}"));
        wire.subscribe(filter, options);
        wire
    }
}

/// One connection. It waits for anything only for a limited time.
pub(crate) struct Wire {
    stream: Box<dyn ByteStream>,
    pub(crate) version: Version,
    /// Whether answers may wait for the server's disk.
    stored: bool,
    /// Messages that came before the SUBACK of their subscription.
    early: VecDeque<Received>,
    input: Vec<u8>,
}

impl Wire {
    /// Over WebSocket, all bytes go in one binary message.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.send(Bytes::copy_from_slice(bytes)).unwrap();
    }

    /// The next packet. `None` when the server has closed.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        if let Some(packet) = self.early.pop_front() {
            return Some(packet);
        }
        loop {
            if let Some((packet, length)) = split(&self.input) {
                self.input.drain(..length);
                return Some(packet);
            }
            let Some(bytes) = self.stream.receive() else {
                assert!(self.input.is_empty(), "half a packet: {:02x?}", self.input);
                return None;
            };
            self.input.extend_from_slice(&bytes);
        }
    }

    /// The next packet, of any kind.
    #[track_caller]
    pub(crate) fn packet(&mut self) -> Received {
        self.receive().expect("closed instead of a packet")
    }

    /// Expects that the next packet is this, byte for byte.
    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let received = self.packet().bytes();
        assert_eq!(received, bytes, "got {received:02x?}, not {bytes:02x?}");
    }

    /// Expects that the next packet is an acknowledgement, CONNACK or DISCONNECT.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let packet = self.packet();
        Answer::read(self.version, &packet)
    }

    /// Expects an answer of this kind, for this identifier, with these codes.
    #[track_caller]
    pub(crate) fn expect_answer(&mut self, first: u8, id: u16, codes: &[u8]) -> Answer {
        let answer = self.answer();
        assert_eq!(
            (answer.first, answer.id, &answer.codes[..]),
            (first, id, codes),
            "{answer:02x?}"
        );
        answer
    }

    /// Expects a PUBLISH, and does not acknowledge it.
    #[track_caller]
    pub(crate) fn publish(&mut self) -> Publish {
        let packet = self.packet();
        Publish::read(self.version, &packet)
    }

    /// Expects a PUBLISH with this topic and payload, and completes its exchange.
    #[track_caller]
    pub(crate) fn message(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Publish {
        let publish = self.publish();
        let expected = (topic, payload.as_ref());
        assert_eq!((&publish.topic[..], &publish.payload[..]), expected);
        match publish.qos {
            0 => {}
            1 => self.send(&ack(PUBACK, publish.id)),
            _ => {
                self.send(&ack(PUBREC, publish.id));
                self.expect_answer(PUBREL, publish.id, &[0]);
                self.send(&ack(PUBCOMP, publish.id));
            }
        }
        publish
    }

    /// Subscribes to one filter. The server must grant it.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, options: u8) {
        self.subscribe_with(&[], filter, options);
    }

    #[track_caller]
    pub(crate) fn subscribe_with(&mut self, properties: &[Vec<u8>], filter: &str, options: u8) {
        self.send(&subscribe_with(
            self.version,
            0x5B,
            properties,
            &[(filter, options)],
        ));
        // Section 3.8.4: messages without an order may come before it.
        let mut early = VecDeque::new();
        let mut packet = self.packet();
        while self.stored && packet.first & !RETAIN == PUBLISH {
            early.push_back(packet);
            packet = self.packet();
        }
        let answer = Answer::read(self.version, &packet);
        let granted = (answer.first, answer.id, &answer.codes[..]);
        assert_eq!(granted, (SUBACK, 0x5B, &[options & 3][..]), "{answer:02x?}");
        self.early = early;
    }

    /// Sends a PUBLISH, and expects successful acknowledgements to the end.
    ///
    /// What follows on any other connection comes after the server has dealt with it.
    #[track_caller]
    pub(crate) fn publishes(&mut self, publish: &Publish) {
        self.send(&publish.bytes(self.version));
        let id = publish.id;
        match publish.qos {
            0 => self.quiet(),
            1 => {
                self.expect_acknowledged(PUBACK, id);
            }
            _ => {
                self.expect_acknowledged(PUBREC, id);
                self.send(&ack(PUBREL, id));
                self.expect_answer(PUBCOMP, id, &[0]);
            }
        }
    }

    /// Accepted, with a subscriber (0x00) or without (0x10).
    #[track_caller]
    fn expect_acknowledged(&mut self, first: u8, id: u16) {
        let answer = self.answer();
        assert_eq!((answer.first, answer.id), (first, id), "{answer:02x?}");
        assert!([0, 0x10].contains(&answer.codes[0]), "{answer:02x?}");
    }

    /// Expects that nothing has come, or will come, because of what was sent so far. What another
    /// connection sent counts if that one has its answer.
    #[track_caller]
    pub(crate) fn quiet(&mut self) {
        let packet = self.waiting();
        assert_eq!(packet, None, "something came");
    }

    /// What has come, or will come, because of what was sent so far: one packet or nothing. As for
    /// [`quiet`](Self::quiet), the test sends a question after it.
    ///
    /// The question is a PINGREQ. If packets wait for the disk, PINGRESP overtakes them; then the
    /// question is an UNSUBSCRIBE of nothing, whose acknowledgement keeps the order.
    #[track_caller]
    pub(crate) fn waiting(&mut self) -> Option<Received> {
        // The identifier of no message under way.
        const NOTHING: u16 = 0xFA5C;
        let (question, answer) = if self.stored {
            let nothing = unsubscribe(self.version, NOTHING, &["nobody/subscribes/to/this"]);
            let answer = match self.version {
                V3 => packet(UNSUBACK, &NOTHING.to_be_bytes()),
                V5 => packet(UNSUBACK, &[0xFA, 0x5C, 0, 0x11]),
            };
            (nothing, answer)
        } else {
            (PINGREQ.to_vec(), PINGRESP.to_vec())
        };
        self.send(&question);
        let first = self.packet();
        if first.bytes() == answer {
            return None;
        }
        self.expect(&answer);
        Some(first)
    }

    /// Expects that the server closes, and sends nothing before.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) {
        let packet = self.receive();
        assert_eq!(packet, None, "a packet instead of the end");
    }

    /// Expects that the server ends the connection for this reason. Version 5 sends it in a
    /// DISCONNECT, 3.1.1 does not.
    #[track_caller]
    pub(crate) fn expect_disconnect(&mut self, reason: u8) {
        match self.version {
            V3 => {}
            V5 => {
                self.expect_answer(0xE0, 0, &[reason]);
            }
        }
        self.expect_close();
    }

    /// Expects that the server refuses CONNECT for this version 5 reason, and closes. A version
    /// without such a code gets no answer.
    #[track_caller]
    pub(crate) fn expect_refusal(&mut self, reason: u8) {
        match self.version {
            V3 => {}
            V5 => {
                let answer = self.expect_answer(CONNACK, 0, &[reason]);
                assert_eq!(answer.id, 0, "Session Present");
            }
        }
        self.expect_close();
    }

    /// Disconnects, and waits until the server closes: it then knows that the client has gone.
    #[track_caller]
    pub(crate) fn leave(mut self) {
        self.send(&DISCONNECT);
        self.expect_close();
    }

    /// Ends the connection without DISCONNECT.
    pub(crate) fn cut(self) {
        drop(self.stream);
    }
}

/// The first packet of these bytes and its length, if the packet is complete.
fn split(bytes: &[u8]) -> Option<(Received, usize)> {
    let (first, rest) = bytes.split_first()?;
    let (mut length, mut shift) = (0_usize, 0);
    let mut read = 0;
    loop {
        let byte = rest.get(read)?;
        length |= usize::from(byte & 0x7F) << shift;
        read += 1;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        assert!(shift < 28, "the length does not end: {bytes:02x?}");
    }
    assert_eq!(&rest[..read], variable(length), "[MQTT-1.5.5-1]");
    let rest = rest.get(read..read + length)?.to_vec();
    Some((
        Received {
            first: *first,
            rest,
        },
        1 + read + length,
    ))
}
