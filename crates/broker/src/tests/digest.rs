//! The state that must survive a crash, in a form that can be compared.

use std::collections::BTreeMap;

use mqtt::{Instant, PacketId, QoS, Will};

use crate::Broker;
use crate::durability::{Absence, Subscribed};
use crate::routing::Lookups;
use crate::session::Session;
use crate::session::{Outgoing, Stage};
use crate::types::GroupId;
use crate::types::SessionId;
use crate::types::{Delivery, Message};
use crate::types::{MessageId, SessionNumber};
use crate::types::{Origin, Queued};

/// Everything that must survive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    sessions: BTreeMap<SessionNumber, Lasting>,
    /// Wills of sessions that end with their connections, each with its client identifier.
    wills: BTreeMap<SessionNumber, (String, Will)>,
    retained: BTreeMap<String, String>,
    /// Messages that the journal holds for groups, while a member has them whose session ends with
    /// its connection.
    held: BTreeMap<(MessageId, GroupId), String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Lasting {
    client_id: String,
    expiry_interval: u32,
    will: Option<Will>,
    absence: Option<Absence>,
    incoming: Vec<PacketId>,
    subscriptions: Vec<Subscribed>,
    last_packet_id: u16,
    window: Vec<(PacketId, Option<Waiting>)>,
    queue: Vec<Waiting>,
    lookups: Vec<Subscribed>,
}

#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    id: Option<MessageId>,
    message: String,
    delivery: Delivery,
    origin: Origin,
}

impl Digest {
    /// The digest of a running broker.
    pub(crate) fn of(now: Instant, broker: &Broker) -> Self {
        let ids = broker.sessions.ids().into_iter();
        let held = ids.flat_map(|id| {
            let outgoing = broker.sessions.get(id).unwrap().outgoing();
            outgoing.into_iter().flat_map(Outgoing::held)
        });
        let ids = broker.sessions.ids().into_iter();
        let wills = ids.filter_map(|id| {
            let session = broker.sessions.get(id).unwrap();
            let (number, will) = session.held_will()?;
            Some((number, (session.client_id().to_string(), will.clone())))
        });
        Self::with(now, broker, wills.collect(), held, |_, session| {
            let absence = session.slot().is_none().then_some(Absence {
                expires_at: session.expires_at(),
                will_at: session.will_at(),
            });
            let lookups = session.lookups().into_iter();
            (absence, lookups.flat_map(Lookups::recorded).collect())
        })
    }

    /// The digest of a broker that is being recovered.
    pub(crate) fn of_recovery(now: Instant, recovery: &crate::Recovery) -> Self {
        let (broker, rest) = recovery.state();
        let wills = recovery.wills().map(|(number, due)| {
            let will = due.will.clone();
            (*number, (due.publisher.to_string(), will))
        });
        let (wills, held) = (wills.collect(), recovery.held());
        Self::with(now, broker, wills, held, |number, _| rest(number))
    }

    fn with<'a>(
        now: Instant,
        broker: &Broker,
        wills: BTreeMap<SessionNumber, (String, Will)>,
        held: impl Iterator<Item = &'a Queued>,
        rest: impl Fn(SessionNumber, &Session) -> (Option<Absence>, Vec<Subscribed>),
    ) -> Self {
        let ids = broker.sessions.ids();
        let sessions = ids.into_iter().filter_map(|id| {
            let session = broker.sessions.get(id)?;
            let number = session.number()?;
            let rest = rest(number, session);
            Some((number, lasting(now, broker, id, session, rest)))
        });
        // Messages that were never recorded need not survive, and neither do expired ones.
        let retained = broker.retained.all().into_iter();
        let retained = retained.filter(|it| it.id().is_some() && !it.is_expired(now));
        Self {
            sessions: sessions.collect(),
            wills,
            retained: retained
                .map(|it| (it.topic().to_owned(), shown(it)))
                .collect(),
            held: held
                .filter(|it| !it.message.is_expired(now))
                .map(|it| match it.origin {
                    Origin::Shared(group) => {
                        ((it.message.id().unwrap(), group), shown(&it.message))
                    }
                    Origin::Live | Origin::Retained => panic!("no group has {it:?}"),
                })
                .collect(),
        }
    }
}

fn lasting(
    now: Instant,
    broker: &Broker,
    id: SessionId,
    session: &Session,
    (absence, lookups): (Option<Absence>, Vec<Subscribed>),
) -> Lasting {
    let (all, outgoing) = (&broker.subscriptions, session.outgoing());
    let direct = session.subscriptions().iter();
    let direct = direct.map(|node| all.direct(*node, id).unwrap());
    let shared = session.memberships().iter();
    let shared = shared.map(|membership| all.shared(*membership).unwrap());
    let mut subscriptions: Vec<_> = direct.chain(shared).collect();
    subscriptions.sort_by(|a, b| a.filter.cmp(&b.filter));
    let window = outgoing.into_iter().flat_map(Outgoing::window);
    let queue = outgoing.into_iter().flat_map(Outgoing::queue);
    let lasts = |it: &&Queued| it.delivery.qos > QoS::AtMostOnce && !it.message.is_expired(now);
    let will = session.will().filter(|_| !session.is_will_unrecorded());
    Lasting {
        client_id: session.client_id().to_string(),
        expiry_interval: session.expiry_interval(),
        will: will.cloned(),
        absence: absence.map(|it| Absence {
            // Without a will, the time at which it is due means nothing.
            will_at: it.will_at.filter(|_| will.is_some()),
            ..it
        }),
        incoming: session.incoming().to_vec(),
        subscriptions,
        last_packet_id: session.last_packet_id(),
        window: window
            .map(|it| match it.stage() {
                Stage::Unacknowledged(queued) | Stage::Unreceived(queued) => {
                    (it.packet_id(), Some(waiting(queued)))
                }
                Stage::Released => (it.packet_id(), None),
            })
            .collect(),
        queue: queue.filter(lasts).map(waiting).collect(),
        lookups: {
            let plain = |it| Subscribed {
                group: None,
                retain_as_published: false,
                ..it
            };
            lookups.into_iter().map(plain).collect()
        },
    }
}

fn waiting(queued: &Queued) -> Waiting {
    Waiting {
        id: queued.message.id(),
        message: shown(&queued.message),
        delivery: queued.delivery.clone(),
        origin: queued.origin,
    }
}

/// The parts of a message that matter.
fn shown(message: &Message) -> String {
    let mut publish = message.publish.clone();
    publish.dup = false;
    publish.packet_id = None;
    publish.properties.topic_alias = None;
    format!("{} {:?} {publish:?}", message.publisher, message.received())
}
