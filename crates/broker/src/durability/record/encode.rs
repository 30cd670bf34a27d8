//! Encodes records.

use bytes::{BufMut, BytesMut};
use mqtt::packet::SubscriptionIdentifier;
use mqtt::{
    Instant, PacketId, ProtocolVersion, Publish, PublishForm, QoS, TopicForm, Utf8String, Will,
};

use super::fields::{put_bytes, put_number, put_packet_id, put_time, put_u32_if};
use super::{cause, delivery, kind, options, retention};
use crate::durability::{
    Absence, Accepted, InQueue, InWindow, Record, Retention, SessionState, Stored, Subscribed,
    Terms,
};
use crate::types::{
    Cause, Delivery, GroupId, Holder, Identifiers, MessageId, Origin, SessionNumber, to_publish,
};

/// An accepted message without its recipients.
#[derive(Copy, Clone, Debug)]
pub(crate) struct AcceptedHead<'a> {
    pub(crate) publisher: &'a Utf8String,
    pub(crate) received: Instant,
    pub(crate) publish: &'a Publish,
    pub(crate) retention: Retention,
    pub(crate) cause: Cause,
}

/// Writes [`Record::Accepted`]. `recipients` holds `count` recipients, as [`put_recipient`]
/// wrote them.
pub(crate) fn put_accepted(
    out: &mut BytesMut,
    head: &AcceptedHead<'_>,
    count: usize,
    recipients: &[u8],
) {
    out.put_u8(kind::ACCEPTED);
    out.put_u8(match head.retention {
        Retention::Unchanged => retention::UNCHANGED,
        Retention::Kept => retention::KEPT,
        Retention::Removed => retention::REMOVED,
    });
    match head.cause {
        Cause::Client => out.put_u8(cause::CLIENT),
        Cause::Incoming(session, packet_id) => {
            out.put_u8(cause::INCOMING);
            put_session(out, session);
            put_packet_id(out, packet_id);
        }
        Cause::Will(session) => {
            out.put_u8(cause::WILL);
            put_session(out, session);
        }
        Cause::LastWill(session) => {
            out.put_u8(cause::LAST_WILL);
            put_session(out, session);
        }
        Cause::TransientWill(session) => {
            out.put_u8(cause::TRANSIENT_WILL);
            put_session(out, session);
        }
        Cause::OtherWill => out.put_u8(cause::OTHER_WILL),
    }
    put_stored(out, head.publisher, head.received, head.publish);
    put_number(out, count as u64);
    out.extend_from_slice(recipients);
}

/// Writes a recipient of a message.
pub(crate) fn put_recipient(
    out: &mut BytesMut,
    holder: Holder,
    how: &Delivery,
    origin: Origin,
    packet_id: Option<PacketId>,
) {
    put_holder(out, holder);
    put_delivery(out, how, origin, packet_id);
}

/// Writes [`Record::Message`].
pub(crate) fn put_message(
    out: &mut BytesMut,
    id: MessageId,
    publisher: &Utf8String,
    received: Instant,
    publish: &Publish,
) {
    out.put_u8(kind::MESSAGE);
    put_number(out, id.0.get());
    put_stored(out, publisher, received, publish);
}

/// Writes [`Record::RetainedMessage`].
pub(crate) fn put_retained(
    out: &mut BytesMut,
    id: MessageId,
    publisher: &Utf8String,
    received: Instant,
    publish: &Publish,
) {
    out.put_u8(kind::RETAINED_MESSAGE);
    put_number(out, id.0.get());
    put_stored(out, publisher, received, publish);
}

impl Record {
    /// Appends the record's bytes: the body of a frame.
    // Long, because it is one list: an arm for each kind of record.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Opened {
                session,
                client_id,
                terms,
            } => {
                head(out, kind::OPENED, *session);
                put_bytes(out, client_id.as_bytes());
                put_terms(out, terms);
            }
            Self::Resumed { session, terms } => {
                head(out, kind::RESUMED, *session);
                put_terms(out, terms);
            }
            Self::Disconnected {
                session,
                expiry_interval,
                absence,
                is_will_gone,
            } => {
                head(out, kind::DISCONNECTED, *session);
                put_number(out, (*expiry_interval).into());
                put_absence(out, *absence);
                out.put_u8((*is_will_gone).into());
            }
            Self::Ended { session } => head(out, kind::ENDED, *session),
            Self::Subscribed {
                session,
                subscriptions,
            } => {
                head(out, kind::SUBSCRIBED, *session);
                put_list(out, subscriptions, put_subscribed);
            }
            Self::Unsubscribed { session, filters } => {
                head(out, kind::UNSUBSCRIBED, *session);
                put_list(out, filters, |out, filter| {
                    put_bytes(out, filter.as_bytes());
                });
            }
            Self::Accepted(accepted) => put_whole_accepted(out, accepted),
            Self::Incoming { session, packet_id } => {
                head(out, kind::INCOMING, *session);
                put_packet_id(out, *packet_id);
            }
            Self::Released { session, packet_id } => {
                head(out, kind::RELEASED, *session);
                put_packet_id(out, *packet_id);
            }
            Self::Message { id, message } => {
                put_message(
                    out,
                    *id,
                    &message.publisher,
                    message.received,
                    &message.publish,
                );
            }
            Self::Queued {
                message,
                from,
                recipient,
            } => {
                out.put_u8(kind::QUEUED);
                put_number(out, message.0.get());
                put_number(out, from.map_or(0, |from| from.session.0.get()));
                if let Some(from) = from {
                    out.put_u16_le(from.packet_id.map_or(0, PacketId::get));
                }
                put_recipient(
                    out,
                    recipient.holder,
                    &recipient.delivery,
                    recipient.origin,
                    recipient.packet_id,
                );
            }
            Self::Sent {
                session,
                message,
                packet_id,
            } => {
                head(out, kind::SENT, *session);
                put_number(out, message.0.get());
                put_packet_id(out, *packet_id);
            }
            Self::Received { session, packet_id } => {
                head(out, kind::RECEIVED, *session);
                put_packet_id(out, *packet_id);
            }
            Self::Done { session, packet_id } => {
                head(out, kind::DONE, *session);
                put_packet_id(out, *packet_id);
            }
            Self::Dropped {
                holder,
                message,
                origin,
            } => {
                out.put_u8(kind::DROPPED);
                put_holder(out, *holder);
                put_number(out, message.0.get());
                let anyhow = Delivery {
                    qos: QoS::AtLeastOnce,
                    retain: false,
                    identifiers: Identifiers::None,
                };
                put_delivery(out, &anyhow, *origin, None);
            }
            Self::WillPublished { session } => head(out, kind::WILL_PUBLISHED, *session),
            Self::TransientWill(transient_will) => {
                head(out, kind::TRANSIENT_WILL, transient_will.session);
                put_bytes(out, transient_will.client_id.as_bytes());
                put_will(out, &transient_will.will);
            }
            Self::TransientWillEnded { session } => head(out, kind::TRANSIENT_WILL_ENDED, *session),
            Self::RetainedMessage { id, message } => {
                put_retained(
                    out,
                    *id,
                    &message.publisher,
                    message.received,
                    &message.publish,
                );
            }
            Self::Retained { message } => {
                out.put_u8(kind::RETAINED);
                put_number(out, message.0.get());
            }
            Self::LookupEnded { session, filter } => {
                head(out, kind::LOOKUP_ENDED, *session);
                put_bytes(out, filter.as_bytes());
            }
            Self::Session(state) => put_state(out, state),
            Self::CheckpointBegan => out.put_u8(kind::CHECKPOINT_BEGAN),
            Self::Numbers {
                sessions,
                groups: GroupId(groups),
            } => {
                out.put_u8(kind::NUMBERS);
                put_number(out, *sessions);
                put_number(out, *groups);
            }
            Self::CheckpointEnded { from } => {
                out.put_u8(kind::CHECKPOINT_ENDED);
                put_number(out, from.0);
            }
            Self::Restarted => out.put_u8(kind::RESTARTED),
        }
    }
}

fn put_whole_accepted(out: &mut BytesMut, accepted: &Accepted) {
    let Stored {
        publisher,
        received,
        publish,
    } = &accepted.message;
    let head = AcceptedHead {
        publisher,
        received: *received,
        publish,
        retention: accepted.retention,
        cause: accepted.cause,
    };
    let mut recipients = BytesMut::new();
    for it in &accepted.recipients {
        let (how, origin) = (&it.delivery, it.origin);
        put_recipient(&mut recipients, it.holder, how, origin, it.packet_id);
    }
    put_accepted(out, &head, accepted.recipients.len(), &recipients);
}

fn put_state(out: &mut BytesMut, state: &SessionState) {
    head(out, kind::SESSION, state.session);
    put_bytes(out, state.client_id.as_bytes());
    put_terms(out, &state.terms);
    match state.absence {
        None => out.put_u8(0),
        Some(absence) => {
            out.put_u8(1);
            put_absence(out, absence);
        }
    }
    out.put_u16_le(state.last_packet_id);
    put_list(out, &state.incoming, |out, packet_id| {
        put_packet_id(out, *packet_id);
    });
    put_list(out, &state.subscriptions, put_subscribed);
    put_list(out, &state.window, put_in_window);
    put_list(out, &state.queue, put_in_queue);
    put_list(out, &state.lookups, put_subscribed);
}

fn put_in_window(out: &mut BytesMut, it: &InWindow) {
    match &it.message {
        None => {
            out.put_u8(delivery::RECEIVED);
            put_packet_id(out, it.packet_id);
        }
        Some(queued) => {
            let (how, origin) = (&queued.delivery, queued.origin);
            put_delivery(out, how, origin, Some(it.packet_id));
            put_number(out, queued.message.0.get());
        }
    }
}

fn put_in_queue(out: &mut BytesMut, it: &InQueue) {
    put_delivery(out, &it.delivery, it.origin, None);
    put_number(out, it.message.0.get());
}

fn put_delivery(out: &mut BytesMut, how: &Delivery, origin: Origin, packet_id: Option<PacketId>) {
    let identifiers = how.identifiers.as_slice();
    let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    out.put_u8(
        how.qos.as_u8()
            | bit(how.retain, delivery::RETAIN)
            | match origin {
                Origin::Live => 0,
                Origin::Retained => delivery::ORIGIN_RETAINED,
                Origin::Shared(_) => delivery::ORIGIN_SHARED,
            }
            | bit(packet_id.is_some(), delivery::PACKET_ID)
            | bit(!identifiers.is_empty(), delivery::IDENTIFIERS),
    );
    if let Origin::Shared(GroupId(group)) = origin {
        put_number(out, group);
    }
    if let Some(packet_id) = packet_id {
        put_packet_id(out, packet_id);
    }
    if !identifiers.is_empty() {
        put_list(out, identifiers, |out, identifier| {
            put_number(out, identifier.get().into());
        });
    }
}

fn put_subscribed(out: &mut BytesMut, it: &Subscribed) {
    put_bytes(out, it.filter.as_bytes());
    let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    out.put_u8(
        it.qos.as_u8()
            | bit(it.no_local, options::NO_LOCAL)
            | bit(it.retain_as_published, options::RETAIN_AS_PUBLISHED)
            | bit(it.group.is_some(), options::SHARED)
            | bit(it.asks, options::ASKS)
            | bit(it.latest.is_some(), options::LATEST),
    );
    if let Some(GroupId(group)) = it.group {
        put_number(out, group);
    }
    put_u32_if(out, it.identifier.map(SubscriptionIdentifier::get));
    if let Some(interval) = it.latest {
        put_number(out, interval.millis().into());
    }
}

fn put_terms(out: &mut BytesMut, terms: &Terms) {
    put_number(out, terms.expiry_interval.into());
    match terms.will.as_deref() {
        None => out.put_u8(0),
        Some(will) => {
            out.put_u8(1);
            put_will(out, will);
        }
    }
}

fn put_will(out: &mut BytesMut, will: &Will) {
    put_u32_if(out, will.properties.will_delay_interval);
    put_publish(out, &to_publish(will));
}

fn put_absence(out: &mut BytesMut, absence: Absence) {
    put_time(out, absence.expires_at);
    put_time(out, absence.will_at);
}

fn put_stored(out: &mut BytesMut, publisher: &Utf8String, received: Instant, publish: &Publish) {
    put_bytes(out, publisher.as_bytes());
    put_number(out, received.as_micros());
    put_publish(out, publish);
}

/// Writes the message as a PUBLISH of version 5. The packet identifier means nothing here, so the
/// PUBLISH is written with `QoS` 0, and a byte before it holds the real `QoS`.
fn put_publish(out: &mut BytesMut, publish: &Publish) {
    out.put_u8(publish.qos.as_u8());
    let form = PublishForm {
        qos: QoS::AtMostOnce,
        retain: publish.retain,
        topic: TopicForm::Name,
        subscription_identifiers: &[],
    };
    let start = out.len();
    out.put_u32_le(0);
    let written = mqtt::encode_publish(publish, ProtocolVersion::V5, &form, None, out);
    // This succeeds: whatever the decoder accepted can be encoded.
    debug_assert!(written.is_ok(), "{written:?}");
    let len = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

fn put_session(out: &mut BytesMut, session: SessionNumber) {
    put_number(out, session.0.get());
}

/// Writes the number of a session, or 0 for the group that the message's origin names.
fn put_holder(out: &mut BytesMut, holder: Holder) {
    match holder {
        Holder::Session(session) => put_session(out, session),
        Holder::Group => put_number(out, 0),
    }
}

fn head(out: &mut BytesMut, kind: u8, session: SessionNumber) {
    out.put_u8(kind);
    put_session(out, session);
}

fn put_list<T>(out: &mut BytesMut, list: &[T], mut put: impl FnMut(&mut BytesMut, &T)) {
    put_number(out, list.len() as u64);
    for it in list {
        put(out, it);
    }
}
