//! The application's subscriptions. The client repeats a request until the server answers it,
//! remembers the subscription until the application ends it, and renews it when the server has lost
//! the session.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::connection::{Outlet, ServerLimits};
use super::event::{Event, SubscribeError, SubscribeId, UnsubscribeId};
use super::packet_ids::PacketIds;
use crate::error::ProtocolError;
use crate::packet::{
    Packet, PacketId, SubAck, Subscribe, Subscription, SubscriptionIdentifier, UnsubAck,
    Unsubscribe, UserProperty,
};
use crate::reason::ReasonCode;
use crate::topic::TopicFilter;

/// The properties of a SUBSCRIBE. Version 5 only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeProperties {
    /// The server puts it into every message that these subscriptions cause. The client leaves it out
    /// where the server supports none.
    pub identifier: Option<SubscriptionIdentifier>,
    /// Names and values that mean something to the server.
    pub user_properties: Vec<UserProperty>,
}

/// Subscriptions, and the requests that the server has not answered.
///
/// The client also remembers what the server refused: it asks again with the next session, perhaps
/// with other credentials.
#[derive(Debug)]
pub(super) struct Subscriptions {
    remembered: Vec<Group>,
    requests: VecDeque<Request>,
    limit: usize,
}

/// The subscriptions of one call, without those that were replaced or ended since.
#[derive(Clone, Debug)]
struct Group {
    id: SubscribeId,
    subscriptions: Vec<Subscription>,
    properties: SubscribeProperties,
}

#[derive(Debug)]
struct Request {
    what: What,
    /// Set once it is sent on this connection.
    packet_id: Option<PacketId>,
}

#[derive(Debug)]
enum What {
    Subscribe(Group),
    Unsubscribe(UnsubscribeId, Vec<TopicFilter>),
}

impl Subscriptions {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            remembered: Vec::new(),
            requests: VecDeque::new(),
            limit,
        }
    }

    pub(super) fn subscribe(
        &mut self,
        id: SubscribeId,
        subscriptions: Vec<Subscription>,
        properties: SubscribeProperties,
    ) -> Result<(), SubscribeError> {
        if subscriptions.is_empty() {
            return Err(SubscribeError::Empty);
        }
        let refused = |s: &Subscription| s.no_local && s.topic_filter.shared().is_some();
        if subscriptions.iter().any(refused) {
            return Err(SubscribeError::NoLocalShared);
        }
        let replaced = |s: &Subscription| {
            subscriptions
                .iter()
                .any(|new| new.topic_filter == s.topic_filter)
        };
        let kept = self.filters().filter(|s| !replaced(s)).count();
        self.check_limit(kept + subscriptions.len())?;
        self.forget(replaced);
        let group = Group {
            id,
            subscriptions,
            properties,
        };
        self.remembered.push(group.clone());
        self.requests
            .push_back(Request::new(What::Subscribe(group)));
        Ok(())
    }

    pub(super) fn unsubscribe(
        &mut self,
        id: UnsubscribeId,
        topic_filters: Vec<TopicFilter>,
    ) -> Result<(), SubscribeError> {
        if topic_filters.is_empty() {
            return Err(SubscribeError::Empty);
        }
        self.check_limit(topic_filters.len())?;
        self.forget(|s| topic_filters.contains(&s.topic_filter));
        let what = What::Unsubscribe(id, topic_filters);
        self.requests.push_back(Request::new(what));
        Ok(())
    }

    fn check_limit(&self, filters: usize) -> Result<(), SubscribeError> {
        if filters > self.limit || self.requests.len() >= self.limit {
            return Err(SubscribeError::TooMany { limit: self.limit });
        }
        Ok(())
    }

    fn filters(&self) -> impl Iterator<Item = &Subscription> {
        self.remembered.iter().flat_map(|g| &g.subscriptions)
    }

    fn forget(&mut self, gone: impl Fn(&Subscription) -> bool) {
        self.remembered.retain_mut(|group| {
            group.subscriptions.retain(|s| !gone(s));
            !group.subscriptions.is_empty()
        });
    }

    /// A connection has ended. The client must repeat every request without an answer.
    pub(super) fn disconnected(&mut self, ids: &mut PacketIds) {
        for request in &mut self.requests {
            if let Some(packet_id) = request.packet_id.take() {
                ids.free(packet_id);
            }
        }
    }

    /// A connection begins. If the server has, or may have, forgotten the session, the client first
    /// repeats every subscription that it is not about to request anyway.
    pub(super) fn connected(&mut self, session_present: bool) {
        if session_present {
            return;
        }
        for group in self.remembered.iter().rev() {
            let asked = self.requests.iter().any(|request| match &request.what {
                What::Subscribe(asked) => asked.id == group.id,
                What::Unsubscribe(..) => false,
            });
            if !asked {
                let what = What::Subscribe(group.clone());
                self.requests.push_front(Request::new(what));
            }
        }
    }

    /// Appends the requests that were not sent on this connection.
    pub(super) fn transmit(&mut self, outlet: &mut Outlet<'_>) {
        let mut index = 0;
        while let Some(request) = self.requests.get_mut(index) {
            match request.transmit(outlet) {
                Progress::Sent => index += 1,
                Progress::NoPacketId => return,
                Progress::Refused(reason_code) => {
                    if let Some(request) = self.requests.remove(index) {
                        let codes = vec![reason_code; request.what.len()];
                        outlet.events.push_back(request.what.answered(codes));
                    }
                }
            }
        }
    }

    /// Handles the answer to SUBSCRIBE, code by code `[MQTT-3.9.3-1]`.
    pub(super) fn on_suback(
        &mut self,
        suback: SubAck,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProtocolError> {
        let Some(index) = self.position(suback.packet_id) else {
            return Ok(());
        };
        match self.requests.get(index).map(|request| &request.what) {
            Some(What::Subscribe(group))
                if group.subscriptions.len() == suback.reason_codes.len() => {}
            Some(What::Subscribe(_) | What::Unsubscribe(..)) | None => {
                return Err(violation(
                    "SUBACK does not fit its SUBSCRIBE [MQTT-3.9.3-1]",
                ));
            }
        }
        self.finish(index, suback.reason_codes, ids, events);
        Ok(())
    }

    /// Handles the answer to UNSUBSCRIBE. Version 5 has one code per filter `[MQTT-3.11.3-1]`,
    /// 3.1.1 has none.
    pub(super) fn on_unsuback(
        &mut self,
        unsuback: UnsubAck,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProtocolError> {
        let Some(index) = self.position(unsuback.packet_id) else {
            return Ok(());
        };
        let mut reason_codes = unsuback.reason_codes;
        match self.requests.get(index).map(|request| &request.what) {
            Some(What::Unsubscribe(_, filters)) if reason_codes.is_empty() => {
                reason_codes.resize(filters.len(), ReasonCode::Success);
            }
            Some(What::Unsubscribe(_, filters)) if filters.len() == reason_codes.len() => {}
            Some(What::Subscribe(_) | What::Unsubscribe(..)) | None => {
                return Err(violation(
                    "UNSUBACK does not fit its UNSUBSCRIBE [MQTT-3.11.3-1]",
                ));
            }
        }
        self.finish(index, reason_codes, ids, events);
        Ok(())
    }

    fn finish(
        &mut self,
        index: usize,
        reason_codes: Vec<ReasonCode>,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) {
        if let Some(request) = self.requests.remove(index) {
            if let Some(packet_id) = request.packet_id {
                ids.free(packet_id);
            }
            events.push_back(request.what.answered(reason_codes));
        }
    }

    fn position(&self, packet_id: PacketId) -> Option<usize> {
        self.requests
            .iter()
            .position(|request| request.packet_id == Some(packet_id))
    }
}

/// The result of an attempt to send a request.
enum Progress {
    Sent,
    /// All packet identifiers are in use: try later.
    NoPacketId,
    /// The server would have to refuse the request, or has announced a limit that is too small for
    /// it.
    Refused(ReasonCode),
}

impl Request {
    const fn new(what: What) -> Self {
        Self {
            what,
            packet_id: None,
        }
    }

    fn transmit(&mut self, outlet: &mut Outlet<'_>) -> Progress {
        if self.packet_id.is_some() {
            return Progress::Sent;
        }
        if let Some(reason_code) = self.what.unsupported(&outlet.connection.limits) {
            return Progress::Refused(reason_code);
        }
        let Some(packet_id) = outlet.ids.take() else {
            return Progress::NoPacketId;
        };
        let packet = self.what.packet(packet_id, &outlet.connection.limits);
        if !outlet.connection.write(&packet, outlet.out) {
            outlet.ids.free(packet_id);
            return Progress::Refused(ReasonCode::PacketTooLarge);
        }
        self.packet_id = Some(packet_id);
        Progress::Sent
    }
}

impl What {
    fn len(&self) -> usize {
        match self {
            Self::Subscribe(group) => group.subscriptions.len(),
            Self::Unsubscribe(_, filters) => filters.len(),
        }
    }

    /// Why the server would end the connection because of this filter (section 3.2.2.3.11 to 13).
    fn unsupported(&self, limits: &ServerLimits) -> Option<ReasonCode> {
        let Self::Subscribe(group) = self else {
            return None;
        };
        let any = |test: fn(&TopicFilter) -> bool| {
            group.subscriptions.iter().any(|s| test(&s.topic_filter))
        };
        if !limits.shared_subscription_available && any(|filter| filter.shared().is_some()) {
            return Some(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if !limits.wildcard_subscription_available && any(TopicFilter::has_wildcard) {
            return Some(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        None
    }

    fn packet(&self, packet_id: PacketId, limits: &ServerLimits) -> Packet {
        match self {
            Self::Subscribe(group) => Packet::Subscribe(Subscribe {
                packet_id,
                subscriptions: group.subscriptions.clone(),
                subscription_identifier: group
                    .properties
                    .identifier
                    .filter(|_| limits.subscription_identifiers_available),
                user_properties: group.properties.user_properties.clone(),
            }),
            Self::Unsubscribe(_, filters) => Packet::Unsubscribe(Unsubscribe {
                packet_id,
                topic_filters: filters.clone(),
                user_properties: Vec::new(),
            }),
        }
    }

    fn answered(self, reason_codes: Vec<ReasonCode>) -> Event {
        match self {
            Self::Subscribe(group) => Event::Subscribed {
                id: group.id,
                topic_filters: group
                    .subscriptions
                    .into_iter()
                    .map(|s| s.topic_filter)
                    .collect(),
                reason_codes,
            },
            Self::Unsubscribe(id, _) => Event::Unsubscribed { id, reason_codes },
        }
    }
}

const fn violation(what: &'static str) -> ProtocolError {
    ProtocolError::Violation {
        reason_code: ReasonCode::ProtocolError,
        what,
    }
}
