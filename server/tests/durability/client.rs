//! One connection of a client, whose session usually lasts for ever.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::{Bytes, BytesMut};
use mqtt::{
    ConnAck, Connect, Decoder, Packet, PacketId, ProtocolVersion, Publish, QoS, ReasonCode,
    Subscribe, Subscription, TopicFilter, TopicName, Utf8String, encode,
};

use super::server::PATIENCE;

pub(crate) struct Client {
    version: ProtocolVersion,
    stream: TcpStream,
    decoder: Decoder,
    input: Bytes,
    output: BytesMut,
}

impl Client {
    /// Connects. An error means that the server is not there, or is gone again.
    pub(crate) fn connect(address: SocketAddr, client_id: &str) -> io::Result<(Self, ConnAck)> {
        let mut connect = Connect::with_client_id(ProtocolVersion::V5, client_id).unwrap();
        connect.clean_start = false;
        connect.keep_alive = 0;
        connect.properties.session_expiry_interval = Some(u32::MAX);
        Self::connect_as(address, connect)
    }

    /// The same with the client's own CONNECT.
    pub(crate) fn connect_as(address: SocketAddr, connect: Connect) -> io::Result<(Self, ConnAck)> {
        let client_id = connect.client_id.clone();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            version: connect.version,
            stream,
            decoder: Decoder::client(connect.version),
            input: Bytes::new(),
            output: BytesMut::new(),
        };
        client.put(&Packet::Connect(connect));
        client.flush()?;
        match client.receive()? {
            Packet::ConnAck(answer) if answer.reason_code == ReasonCode::Success => {
                Ok((client, answer))
            }
            other => panic!("{client_id} is not connected: {other:?}"),
        }
    }

    /// Queues a packet for the next [`flush`](Self::flush).
    pub(crate) fn put(&mut self, packet: &Packet) {
        encode(packet, self.version, &mut self.output).unwrap();
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output.split())
    }

    pub(crate) fn receive(&mut self) -> io::Result<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input).unwrap() {
                return Ok(packet);
            }
            let mut buffer = vec![0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer.truncate(count);
                    self.input = buffer.into();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing came for {PATIENCE:?}");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there is input to handle without waiting.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Lets another thread wake up a thread that waits in [`receive`](Self::receive).
    pub(crate) fn stream(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }
}

pub(crate) fn publish(topic: &str, payload: impl Into<Bytes>, qos: QoS, id: u16) -> Publish {
    let topic = TopicName::new(Utf8String::try_from(topic).unwrap()).unwrap();
    let mut publish = Publish::new(topic, payload);
    publish.qos = qos;
    publish.packet_id = PacketId::new(id);
    publish
}

pub(crate) fn subscribe(filter: &str, qos: QoS) -> Packet {
    let filter = TopicFilter::new(Utf8String::try_from(filter).unwrap()).unwrap();
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::new(65_535).unwrap(),
        subscriptions: vec![Subscription::new(filter, qos)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    })
}
