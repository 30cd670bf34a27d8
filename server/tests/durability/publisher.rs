//! A client that publishes numbered messages, and gives none up.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use mqtt::{Packet, PacketId, PubRel, QoS, ReasonCode};

use super::client::{Client, publish};
use super::stage::{Act, Alarm, Stage};

/// How many messages are in flight at once.
const WINDOW: usize = 16;

pub(crate) struct Publisher {
    pub(crate) name: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The messages that were sent and not acknowledged, in order.
    on_their_way: VecDeque<Sent>,
    /// The number of the last message.
    last: u64,
    has_session: bool,
}

struct Sent {
    number: u64,
    step: Step,
}

#[derive(PartialEq, Eq)]
enum Step {
    Published,
    /// `QoS` 2: PUBREC has come.
    Received,
    Done,
}

impl Publisher {
    pub(crate) fn new(index: usize, qos: QoS, retain: bool) -> Self {
        Self {
            name: format!("publisher-{index}"),
            qos,
            retain,
            on_their_way: VecDeque::new(),
            last: 0,
            has_session: false,
        }
    }

    pub(crate) fn topic(&self) -> String {
        format!("load/{}", self.name)
    }

    /// Publishes until the stage says to finish and everything is acknowledged. Returns the number
    /// of the last message.
    pub(crate) fn run(mut self, stage: &Stage) -> u64 {
        let _alarm = Alarm(stage);
        let mut generation = 0;
        loop {
            let (current, address) = stage.server(generation);
            match self.session(address, stage) {
                Ok(()) => return self.last,
                // The server was killed.
                Err(_) => generation = current,
            }
        }
    }

    fn session(&mut self, address: SocketAddr, stage: &Stage) -> io::Result<()> {
        let (mut client, answer) = Client::connect(address, &self.name)?;
        assert!(
            answer.session_present || !self.has_session,
            "{}: the session is lost",
            self.name
        );
        self.has_session = true;
        // [MQTT-4.4.0-1]
        for sent in &self.on_their_way {
            match sent.step {
                Step::Published => client.put(&self.message(sent.number, true)),
                Step::Received => client.put(&release(sent.number)),
                Step::Done => {}
            }
        }
        loop {
            let act = stage.act();
            assert!(act != Act::Over, "another thread has failed");
            while act == Act::Publishing && self.on_their_way.len() < WINDOW {
                self.last += 1;
                let number = self.last;
                client.put(&self.message(number, false));
                let step = Step::Published;
                self.on_their_way.push_back(Sent { number, step });
            }
            if self.on_their_way.is_empty() {
                return Ok(());
            }
            client.flush()?;
            let mut acknowledged = 0;
            loop {
                let packet = client.receive()?;
                acknowledged += self.handle(&mut client, &packet);
                if !client.has_input() {
                    break;
                }
            }
            stage.acknowledged(acknowledged);
        }
    }

    /// Handles an acknowledgement. Returns how many more messages are certainly stored.
    fn handle(&mut self, client: &mut Client, packet: &Packet) -> u64 {
        let (packet_id, step) = match packet {
            Packet::PubAck(ack) => {
                assert!(!ack.reason_code.is_error(), "{ack:?}");
                (ack.packet_id, Step::Done)
            }
            Packet::PubRec(ack) => {
                assert!(!ack.reason_code.is_error(), "{ack:?}");
                (ack.packet_id, Step::Received)
            }
            Packet::PubComp(ack) => {
                // The second code answers a PUBREL whose PUBCOMP a kill has swallowed.
                let unknown = ReasonCode::PacketIdentifierNotFound;
                let fits = [ReasonCode::Success, unknown].contains(&ack.reason_code);
                assert!(fits, "{ack:?}");
                (ack.packet_id, Step::Done)
            }
            other => panic!("{}: {other:?}", self.name),
        };
        let mut sent = self.on_their_way.iter_mut();
        let sent = sent.find(|sent| id(sent.number) == packet_id);
        let sent = sent.unwrap_or_else(|| panic!("not on its way: {packet:?}"));
        if step == Step::Received {
            client.put(&release(sent.number));
        }
        let is_news = sent.step == Step::Published;
        sent.step = step;
        while self
            .on_their_way
            .front()
            .is_some_and(|sent| sent.step == Step::Done)
        {
            self.on_their_way.pop_front();
        }
        u64::from(is_news)
    }

    fn message(&self, number: u64, dup: bool) -> Packet {
        let payload = format!("{number} {}", "x".repeat(64));
        let id = id(number).get();
        let mut publish = publish(&self.topic(), payload, self.qos, id);
        publish.retain = self.retain;
        publish.dup = dup;
        Packet::Publish(publish)
    }
}

fn release(number: u64) -> Packet {
    Packet::PubRel(PubRel::new(id(number), ReasonCode::Success))
}

/// A long time passes before the identifier is used again.
fn id(number: u64) -> PacketId {
    PacketId::new(u16::try_from(number % 60_000).unwrap() + 1).unwrap()
}
