//! A client that receives messages, and checks that none is missing, doubled or out of order.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;

use mqtt::{Packet, PacketId, PubAck, PubComp, PubRec, Publish, QoS, ReasonCode};

use super::client::{Client, subscribe};
use super::stage::{Act, Alarm, Stage};

/// When a subscriber is connected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Whenever there is a server.
    Always,
    /// In every third life of the server.
    Sometimes,
    /// To subscribe, and at the end.
    AtTheEnd,
}

pub(crate) struct Subscriber {
    name: String,
    presence: Presence,
    has_session: bool,
    is_subscribed: bool,
    /// The `QoS` 2 messages that it has received and that are not released.
    unreleased: HashSet<PacketId>,
    /// By topic.
    taken: BTreeMap<String, Taken>,
}

/// The messages received from one publisher.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The highest number.
    pub(crate) last: u64,
    /// How many messages came again, with `QoS` 1.
    pub(crate) again: u64,
}

impl Subscriber {
    pub(crate) fn new(index: usize, presence: Presence) -> Self {
        Self {
            name: format!("subscriber-{index}"),
            presence,
            has_session: false,
            is_subscribed: false,
            unreleased: HashSet::new(),
            taken: BTreeMap::new(),
        }
    }

    /// Waits until it is subscribed, on a server that nobody kills.
    pub(crate) fn subscribe(&mut self, address: SocketAddr) {
        let (mut client, answer) = Client::connect(address, &self.name).unwrap();
        assert!(!answer.session_present);
        self.has_session = true;
        client.put(&subscribe("load/#", QoS::ExactlyOnce));
        client.flush().unwrap();
        match client.receive().unwrap() {
            Packet::SubAck(answer) => assert!(!answer.reason_codes[0].is_error(), "{answer:?}"),
            other => panic!("{other:?}"),
        }
        self.is_subscribed = true;
    }

    /// Receives messages until everything in `expected` has come: the last number of each topic,
    /// once it is known.
    pub(crate) fn run(
        mut self,
        stage: &Stage,
        expected: impl Fn() -> BTreeMap<String, u64>,
    ) -> BTreeMap<String, Taken> {
        let _alarm = Alarm(stage);
        let mut generation = 0;
        loop {
            if self.presence == Presence::AtTheEnd {
                stage.wait_for_act(Act::Receiving);
            }
            let (current, address) = stage.server(generation);
            let is_here = self.presence != Presence::Sometimes || current.is_multiple_of(3);
            if !is_here && stage.act() < Act::Receiving {
                stage.wait_for_news(current);
                generation = 0;
                continue;
            }
            let lived = self.session(address, stage, &expected);
            // After a kill the client waits for a new server. After a new act, the same server will
            // do.
            generation = match lived {
                Ok(()) => return self.taken,
                Err(_) if stage.act() >= Act::Receiving => 0,
                Err(_) => current,
            };
        }
    }

    fn session(
        &mut self,
        address: SocketAddr,
        stage: &Stage,
        expected: &impl Fn() -> BTreeMap<String, u64>,
    ) -> io::Result<()> {
        let (mut client, answer) = Client::connect(address, &self.name)?;
        assert!(answer.session_present, "{}: the session is lost", self.name);
        if stage.act() < Act::Receiving {
            stage.wake_to_receive(client.stream());
        }
        loop {
            if stage.act() >= Act::Receiving && self.has_all(&expected()) {
                break;
            }
            let packet = client.receive()?;
            self.handle(&mut client, packet);
            if !client.has_input() {
                client.flush()?;
            }
        }
        client.flush()?;
        // Anything that would come twice has come before this answer.
        client.put(&Packet::PingReq);
        client.flush()?;
        loop {
            match client.receive()? {
                Packet::PingResp => return Ok(()),
                packet => self.handle(&mut client, packet),
            }
        }
    }

    fn handle(&mut self, client: &mut Client, packet: Packet) {
        let success = ReasonCode::Success;
        match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => {
                    self.take(&publish);
                    client.put(&Packet::PubAck(PubAck::new(id, success)));
                }
                (QoS::ExactlyOnce, Some(id)) => {
                    // [MQTT-4.3.3-10]
                    if self.unreleased.insert(id) {
                        self.take(&publish);
                    }
                    client.put(&Packet::PubRec(PubRec::new(id, success)));
                }
                other => panic!("{other:?}"),
            },
            Packet::PubRel(release) => {
                self.unreleased.remove(&release.packet_id);
                client.put(&Packet::PubComp(PubComp::new(release.packet_id, success)));
            }
            other => panic!("{}: {other:?}", self.name),
        }
    }

    fn take(&mut self, publish: &Publish) {
        let topic = publish.topic.as_ref().unwrap().as_str();
        let payload = std::str::from_utf8(&publish.payload).unwrap();
        let number: u64 = payload.split(' ').next().unwrap().parse().unwrap();
        if !self.taken.contains_key(topic) {
            self.taken.insert(topic.to_owned(), Taken::default());
        }
        let taken = self.taken.get_mut(topic).unwrap();
        if number == taken.last + 1 {
            taken.last = number;
        } else if number <= taken.last {
            assert!(
                publish.qos == QoS::AtLeastOnce,
                "{}: {topic} {number} came twice at QoS 2, {} was the last",
                self.name,
                taken.last
            );
            taken.again += 1;
        } else {
            panic!(
                "{}: {topic} {number} came where {} was to come: lost, or out of order",
                self.name,
                taken.last + 1
            );
        }
    }

    fn has_all(&self, expected: &BTreeMap<String, u64>) -> bool {
        expected.iter().all(|(topic, last)| {
            self.taken
                .get(topic)
                .is_some_and(|taken| taken.last >= *last)
        })
    }
}
