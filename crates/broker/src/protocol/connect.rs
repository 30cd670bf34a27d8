//! CONNECT and CONNACK: what a client asks for, and what the broker grants (sections 3.1 and
//! 3.2).

use mqtt::packet::ConnAckProperties;
use mqtt::{ConnAck, Connect, ProtocolVersion, ReasonCode, TopicName, Utf8String};

use crate::delivery::ClientId;
use crate::types::{CloseCause, Limits};

/// What the broker grants to a client.
#[derive(Debug)]
pub(crate) struct Granted<'a> {
    /// How long the session outlives the connection, in seconds.
    pub(crate) session_expiry_interval: u32,
    /// How long the client asked for, in seconds.
    pub(crate) session_expiry_asked: u32,
    /// The keep alive in seconds. 0: none.
    pub(crate) keep_alive: u16,
    /// The beginning of each client's topic for responses. `/` and the client identifier follow it.
    pub(crate) response_base: Option<&'a Utf8String>,
    /// The server's id.
    pub(crate) server_id: Option<&'a Utf8String>,
    pub(crate) limits: &'a Limits,
}

impl Granted<'_> {
    /// The CONNACK that lets a client in. `session_present` does not change its length. Add a
    /// new property here.
    pub(crate) fn connack(
        &self,
        connect: &Connect,
        client_id: &ClientId,
        session_present: bool,
    ) -> ConnAck {
        let (expiry, keep_alive) = (self.session_expiry_interval, self.keep_alive);
        let asks_for_response = connect.properties.request_response_information == Some(true);
        ConnAck {
            session_present,
            reason_code: ReasonCode::Success,
            properties: ConnAckProperties {
                session_expiry_interval: (expiry != self.session_expiry_asked).then_some(expiry),
                receive_maximum: Some(self.limits.receive_maximum),
                maximum_packet_size: Some(self.limits.maximum_packet_size),
                assigned_client_identifier: client_id.if_assigned().cloned(),
                topic_alias_maximum: Some(self.limits.topic_alias_maximum),
                server_keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
                // [MQTT-3.1.2-28]
                response_information: asks_for_response
                    .then(|| self.response_information(client_id.text()))
                    .flatten(),
                user_properties: self.user_properties(),
                ..ConnAckProperties::default()
            },
        }
    }

    /// What is not part of MQTT. The client may not need it, so it is left out if CONNACK would be too
    /// large with it `[MQTT-3.2.2-20]`.
    fn user_properties(&self) -> Vec<(Utf8String, Utf8String)> {
        let server = Utf8String::from_static("beaconry-server");
        let id = self.server_id.cloned();
        id.map(|id| (server, id)).into_iter().collect()
    }

    /// The client's own topic for responses.
    fn response_information(&self, client_id: &str) -> Option<Utf8String> {
        let base = self.response_base?;
        let topic = TopicName::try_from(format!("{base}/{client_id}")).ok()?;
        Some(topic.as_text().clone())
    }
}

/// The identifier that a client asks for. `None` if the broker must assign one.
pub(crate) fn client_id_asked(connect: &Connect) -> Result<Option<ClientId>, CloseCause> {
    if !connect.client_id.is_empty() {
        return Ok(Some(ClientId::asked_for(connect.client_id.clone())));
    }
    let what = if connect.dialect.is_v3_1 {
        "no client identifier, which MQTT 3.1 requires"
    } else if connect.version == ProtocolVersion::V3_1_1 && !connect.clean_start {
        "no client identifier with Clean Session 0 [MQTT-3.1.3-8 of 3.1.1]"
    } else {
        return Ok(None);
    };
    Err(refused(ReasonCode::ClientIdentifierNotValid, what))
}

/// How long the client wants its session to outlive the connection, in seconds. Version 3.1.1
/// cannot say so: without a clean session, `of_3_1_1` applies.
pub(crate) fn session_expiry_asked(connect: &Connect, of_3_1_1: u32) -> u32 {
    match connect.version {
        ProtocolVersion::V5 => connect.properties.session_expiry_interval.unwrap_or(0),
        ProtocolVersion::V3_1_1 if connect.clean_start => 0,
        ProtocolVersion::V3_1_1 => of_3_1_1,
    }
}

/// The cause for closing after a refused CONNECT: CONNACK carries the code, the log says `what`.
pub(crate) fn refused(reason_code: ReasonCode, what: &'static str) -> CloseCause {
    CloseCause::Refused { reason_code, what }
}
