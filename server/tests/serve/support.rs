//! Starts the server, and speaks to it one packet at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use mqtt::{
    ConnAck, Connect, Decoder, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec, PubRel,
    Publish, QoS, ReasonCode, Subscribe, Subscription, TopicFilter, TopicName, Utf8String, encode,
};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// The longest that any single step may take. It is generous, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server, killed when it is dropped.
pub(crate) struct Server {
    process: testbed::Server,
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
    /// With `--tcp-gateway`.
    pub(crate) gateway: Option<SocketAddr>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it on ports that the system chooses, and waits for `ready`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let process = testbed::Server::start(
            beaconry(&["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"])
                .args(memory_or(arguments))
                .args(arguments),
        );
        let (mqtt, http, gateway) = process.ready_with_gateway();
        Self {
            process,
            mqtt,
            http,
            gateway,
        }
    }

    /// Waits for a line of the log that contains `part`.
    pub(crate) fn log_line(&self, part: &str) -> String {
        self.process.log_line(part)
    }

    /// The value of one metric at `/metrics`. Give its name without `beaconry_`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        testbed::metric(self.http, name)
    }

    /// How many bytes of memory the server takes now, if the system tells, as Linux does.
    pub(crate) fn resident(&self) -> Option<usize> {
        self.process.resident()
    }

    /// Checks that the server takes at most `bytes` more than it did.
    pub(crate) fn assert_grew_less_than(&self, before: Option<usize>, bytes: usize) {
        if let (Some(before), Some(now)) = (before, self.resident()) {
            let grown = now.saturating_sub(before);
            assert!(grown < bytes, "grew by {grown} bytes");
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// The server does nothing for this long, and `meanwhile` is done while it stands still.
    pub(crate) fn stand_still(&self, time: Duration, meanwhile: impl FnOnce()) {
        self.process.stand_still(time, meanwhile);
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Waits for the end. Returns what else the server printed to standard output.
    pub(crate) fn ended(self) -> (ExitStatus, String) {
        let (status, more, _) = self.process.ended();
        (status, more)
    }

    /// Checks that the server is well: another client can do everything.
    pub(crate) fn assert_alive(&self) {
        let mut peer = Peer::connected(self, ProtocolVersion::V5, "alive");
        peer.subscribe("alive/#", QoS::AtLeastOnce);
        peer.publish("alive/x", "yes", QoS::AtMostOnce);
        assert_eq!(
            peer.message(),
            ("alive/x".to_owned(), Bytes::from_static(b"yes"))
        );
    }
}

/// Repeats the question until the answer is yes. The server sends no event to wait for.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A test that does not name a folder stores nothing.
fn memory_or(arguments: &[&str]) -> &'static [&'static str] {
    if arguments.contains(&"--data") {
        &[]
    } else {
        &["--in-memory"]
    }
}

fn beaconry(arguments: &[&str]) -> Command {
    let mut command = Command::new(testbed::program(env!("CARGO_BIN_EXE_beaconry")));
    command.args(arguments);
    command
}

/// Runs to the end. Returns the code, standard output and standard error.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let (status, stdout, stderr) = testbed::Server::start(&mut beaconry(arguments)).ended();
    (status.code(), stdout, stderr)
}

/// Carries a [`Peer`]'s bytes.
pub(crate) trait ByteStream {
    fn send(&mut self, bytes: Bytes) -> io::Result<()>;
    /// `None`: closed.
    fn receive(&mut self) -> Option<Bytes>;
}

impl ByteStream for TcpStream {
    fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.write_all(&bytes)
    }

    fn receive(&mut self) -> Option<Bytes> {
        let mut buffer = vec![0; 64 * 1024];
        match self.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => Some(Bytes::copy_from_slice(&buffer[..count])),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

impl ByteStream for WebSocket<TcpStream> {
    fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        WebSocket::send(self, Message::Binary(bytes)).map_err(io::Error::other)
    }

    fn receive(&mut self) -> Option<Bytes> {
        loop {
            match self.read() {
                Ok(Message::Binary(bytes)) => return Some(bytes),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) => return None,
                Ok(other) => panic!("only binary messages may come: {other:?}"),
                Err(tokio_tungstenite::tungstenite::Error::Io(error))
                    if error.kind() == io::ErrorKind::WouldBlock =>
                {
                    panic!("nothing came")
                }
                Err(_) => return None,
            }
        }
    }
}

impl<L: ByteStream + ?Sized> ByteStream for Box<L> {
    fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        (**self).send(bytes)
    }

    fn receive(&mut self) -> Option<Bytes> {
        (**self).receive()
    }
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Opens a WebSocket that asks for these subprotocols, or returns the refusal.
pub(crate) fn websocket(
    server: &Server,
    subprotocols: Option<&'static str>,
) -> Result<WebSocket<TcpStream>, String> {
    websocket_from(server, subprotocols, None)
}

/// The same from a page of this origin.
fn websocket_from(
    server: &Server,
    subprotocols: Option<&'static str>,
    origin: Option<&'static str>,
) -> Result<WebSocket<TcpStream>, String> {
    let mut request = format!("ws://{}/mqtt", server.http)
        .into_client_request()
        .unwrap();
    if let Some(subprotocols) = subprotocols {
        request.headers_mut().insert(
            "sec-websocket-protocol",
            HeaderValue::from_static(subprotocols),
        );
    }
    if let Some(origin) = origin {
        let origin = HeaderValue::from_static(origin);
        request.headers_mut().insert("origin", origin);
    }
    match client(request, tcp(server.http)) {
        Ok((socket, response)) => {
            let offers_mqtt = |list: &str| list.split(',').any(|name| name.trim() == "mqtt");
            if subprotocols.is_some_and(offers_mqtt) {
                assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
            }
            Ok(socket)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// An MQTT client that does exactly what the test says.
pub(crate) struct Peer<L = TcpStream> {
    pub(crate) stream: L,
    version: ProtocolVersion,
    decoder: Decoder,
    input: Bytes,
    next_id: u16,
}

impl Peer {
    /// A client over TCP whose CONNECT was accepted.
    pub(crate) fn connected(server: &Server, version: ProtocolVersion, client_id: &str) -> Self {
        let mut peer = Peer::over(tcp(server.mqtt), version);
        peer.connect(Connect::with_client_id(version, client_id).unwrap());
        peer
    }
}

impl Peer<WebSocket<TcpStream>> {
    /// A client over WebSocket whose CONNECT was accepted.
    pub(crate) fn connected_by_websocket(server: &Server, client_id: &str) -> Self {
        let socket = websocket(server, Some("mqtt")).unwrap();
        Self::connected_over(socket, client_id)
    }

    /// The same for a page in a browser.
    pub(crate) fn connected_page(server: &Server, client_id: &str) -> Self {
        let socket = websocket_from(server, Some("mqtt"), Some("http://dashboard.test")).unwrap();
        Self::connected_over(socket, client_id)
    }

    fn connected_over(socket: WebSocket<TcpStream>, client_id: &str) -> Self {
        let mut peer = Peer::over(socket, ProtocolVersion::V5);
        peer.connect(Connect::with_client_id(ProtocolVersion::V5, client_id).unwrap());
        peer
    }
}

impl<L: ByteStream> Peer<L> {
    pub(crate) fn over(stream: L, version: ProtocolVersion) -> Self {
        let mut decoder = Decoder::client(version);
        decoder.set_max_packet_size(u32::MAX);
        Self {
            stream,
            version,
            decoder,
            input: Bytes::new(),
            next_id: 1,
        }
    }

    pub(crate) fn send(&mut self, packet: &Packet) {
        let bytes = bytes_of(packet, self.version);
        self.stream.send(bytes).unwrap();
    }

    /// The next packet. `None` when the server has closed.
    pub(crate) fn receive(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(packet);
            }
            assert!(!self.input.has_remaining(), "the decoder takes all");
            self.input = self.stream.receive()?;
        }
    }

    /// Decodes the packets that end within `bytes`, the next input.
    pub(crate) fn decoded(&mut self, mut bytes: Bytes) -> Vec<Packet> {
        let decoder = &mut self.decoder;
        std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect()
    }

    pub(crate) fn connect(&mut self, connect: Connect) -> ConnAck {
        self.send(&Packet::Connect(connect));
        match self.receive() {
            Some(Packet::ConnAck(answer)) if answer.reason_code == ReasonCode::Success => answer,
            other => panic!("not connected: {other:?}"),
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) {
        let topic_filter = TopicFilter::new(Utf8String::try_from(filter).unwrap()).unwrap();
        let packet_id = self.packet_id();
        self.send(&Packet::Subscribe(Subscribe {
            packet_id,
            subscriptions: vec![Subscription::new(topic_filter, qos)],
            subscription_identifier: None,
            user_properties: Vec::new(),
        }));
        loop {
            match self.receive() {
                Some(Packet::SubAck(answer)) => {
                    return assert!(!answer.reason_codes[0].is_error(), "{answer:?}");
                }
                Some(other) => self.handle(other),
                None => panic!("closed instead of subscribed"),
            }
        }
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: impl Into<Bytes>, qos: QoS) {
        let packet = self.publication(topic, payload, qos);
        self.send(&Packet::Publish(packet));
    }

    pub(crate) fn publication(
        &mut self,
        topic: &str,
        payload: impl Into<Bytes>,
        qos: QoS,
    ) -> Publish {
        let mut publish = Publish::new(topic_name(topic), payload);
        publish.qos = qos;
        publish.packet_id = (qos != QoS::AtMostOnce).then(|| self.packet_id());
        publish
    }

    /// The next message that this client receives.
    pub(crate) fn message(&mut self) -> (String, Bytes) {
        let publish = self.raw_message(|_| true);
        (publish.topic.unwrap().as_str().to_owned(), publish.payload)
    }

    /// The next message that fits.
    pub(crate) fn raw_message(&mut self, fits: impl Fn(&Publish) -> bool) -> Publish {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "many messages, but not the one");
            let packet = self.receive().expect("closed instead of a message");
            let publish = match &packet {
                Packet::Publish(publish) if fits(publish) => Some(publish.clone()),
                _ => None,
            };
            self.handle(packet);
            if let Some(publish) = publish {
                return publish;
            }
        }
    }

    /// Answers a message or an acknowledgement as the standard demands.
    pub(crate) fn handle(&mut self, packet: Packet) {
        let success = ReasonCode::Success;
        let answer = match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => Packet::PubAck(PubAck::new(id, success)),
                (QoS::ExactlyOnce, Some(id)) => Packet::PubRec(PubRec::new(id, success)),
                _ => return,
            },
            Packet::PubRec(received) => Packet::PubRel(PubRel::new(received.packet_id, success)),
            Packet::PubRel(release) => Packet::PubComp(PubComp::new(release.packet_id, success)),
            Packet::PubAck(_) | Packet::PubComp(_) | Packet::SubAck(_) | Packet::Disconnect(_) => {
                return;
            }
            other => panic!("not expected here: {other:?}"),
        };
        self.send(&answer);
    }

    fn packet_id(&mut self) -> PacketId {
        self.next_id += 1;
        PacketId::new(self.next_id).unwrap()
    }
}

pub(crate) fn bytes_of(packet: &Packet, version: ProtocolVersion) -> Bytes {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes).unwrap();
    bytes.freeze()
}

pub(crate) fn topic_name(text: &str) -> TopicName {
    TopicName::new(Utf8String::try_from(text).unwrap()).unwrap()
}
