//! From one connection to the next: opening, CONNECT, CONNACK, and what follows from each
//! way in which it can end.

use alloc::boxed::Box;

use bytes::BytesMut;

use super::Client;
use super::event::Event;
use super::link::Link;
use super::options::ClientOptions;
use super::reconnect::Backoff;
use super::state::{DisconnectCause, ServerReason, State};
use crate::codec::encode;
use crate::error::ProtocolError;
use crate::packet::{
    ConnAck, Connect, ConnectProperties, Disconnect, DisconnectProperties, Packet, ProtocolVersion,
};
use crate::reason::ReasonCode;
use crate::text::Utf8String;
use crate::time::Instant;

/// Which version the next CONNECT speaks, and what is known about the server.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// The server has not accepted anything yet; this is tried next.
    Trying(ProtocolVersion),
    /// Version 5 failed; 3.1.1 is tried next.
    FallingBack {
        /// The server has said so; else it has said nothing at all.
        refused: bool,
    },
    /// The server has accepted this.
    Accepted(ProtocolVersion),
    /// The server has accepted 3.1.1 after it had met version 5 with silence. That may have
    /// been the network: the next connection tries version 5 again.
    Assumed,
}

/// What is known about the server, over all connections.
#[derive(Debug)]
pub(super) struct Acquaintance {
    pub(super) speaks: Speaks,
    pub(super) backoff: Backoff,
    /// Whether a CONNACK has ever accepted: from then on sessions are resumed.
    resumes: bool,
    /// Whether a CONNECT has been sent since the last CONNACK. Its answer may have been lost,
    /// and have said that the session is a new one; the next CONNACK then calls that new
    /// session present.
    unanswered: bool,
}

/// What follows the end of a connection.
enum Next {
    /// A new attempt after the backoff.
    Wait,
    /// A new attempt at once.
    AtOnce,
    /// The same with version 3.1.1.
    FallBack {
        /// Because the server has said so.
        refused: bool,
    },
    /// No new attempt before there are other credentials.
    Credentials(ReasonCode),
    /// No new attempt: it would end in the same way, or harm another client.
    Stop,
}

impl Speaks {
    pub(super) const fn version(self) -> ProtocolVersion {
        match self {
            Self::Trying(version) | Self::Accepted(version) => version,
            Self::FallingBack { .. } | Self::Assumed => ProtocolVersion::V3_1_1,
        }
    }

    /// The server has accepted.
    const fn accepted(self) -> Self {
        match self {
            Self::FallingBack { refused: false } | Self::Assumed => Self::Assumed,
            Self::FallingBack { refused: true } => Self::Accepted(ProtocolVersion::V3_1_1),
            Self::Trying(version) | Self::Accepted(version) => Self::Accepted(version),
        }
    }

    /// The connection, or the attempt, has ended; `preferred` is what the options say.
    const fn ended(self, preferred: ProtocolVersion) -> Self {
        match self {
            Self::Accepted(version) => Self::Accepted(version),
            Self::Trying(_) | Self::FallingBack { .. } | Self::Assumed => Self::Trying(preferred),
        }
    }
}

impl Acquaintance {
    pub(super) fn new(options: &ClientOptions) -> Self {
        Self {
            speaks: Speaks::Trying(options.version),
            backoff: Backoff::new(options.reconnect, options.seed),
            resumes: false,
            unanswered: options.session.is_some(),
        }
    }
}

impl Client {
    /// Begins an attempt.
    pub(super) fn open(&mut self) {
        self.link = None;
        self.state = State::Opening {
            since: self.now,
            attempt: self.server.backoff.failures(),
        };
        self.events.push_back(Event::OpenTransport);
    }

    /// The transport is open: CONNECT is the first packet `[MQTT-3.1.0-1]`.
    pub(super) fn send_connect(&mut self, since: Instant, attempt: u32) {
        let version = self.server.speaks.version();
        let connect = self.connect(version);
        let clean_start = connect.clean_start;
        let mut wire = BytesMut::new();
        match encode(&Packet::Connect(connect), version, &mut wire) {
            Ok(()) => {
                let mut link = Link::new(self.now, version, &self.options);
                link.clean_start = clean_start;
                link.doubtful = core::mem::replace(&mut self.server.unanswered, true);
                link.push_encoded(&wire);
                self.link = Some(link);
                self.farewell.clear();
                self.state = State::Connecting { since, attempt };
            }
            Err(error) => self.end(DisconnectCause::NotEncodable(error), Farewell::Close),
        }
    }

    fn connect(&self, version: ProtocolVersion) -> Connect {
        let options = &self.options;
        let first = options.clean_start && !self.server.resumes;
        let (clean_start, properties) = match version {
            ProtocolVersion::V5 => (first, connect_properties(options)),
            // Clean Session also ends the session with the connection (section 3.1.2.4).
            ProtocolVersion::V3_1_1 => (
                first || options.session_expiry_interval == 0 || options.client_id.is_empty(),
                ConnectProperties::default(),
            ),
        };
        let needs_user_name = version == ProtocolVersion::V3_1_1 && options.password.is_some();
        Connect {
            version,
            clean_start,
            keep_alive: options.keep_alive,
            client_id: options.client_id.clone(),
            will: options.will.clone(),
            user_name: options
                .user_name
                .clone()
                .or_else(|| needs_user_name.then(Utf8String::default)),
            password: options.password.clone(),
            properties,
        }
    }

    /// The server's answer to CONNECT.
    pub(super) fn on_connack(&mut self, connack: ConnAck) -> Result<(), ProtocolError> {
        let ConnAck {
            session_present,
            reason_code,
            properties,
        } = connack;
        if reason_code != ReasonCode::Success {
            let reason = ServerReason {
                reason_code,
                reason_string: properties.reason_string,
                server_reference: properties.server_reference,
            };
            self.end(DisconnectCause::Refused(reason), Farewell::Close);
            return Ok(());
        }
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        if session_present && link.clean_start {
            return Err(ProtocolError::Violation {
                reason_code: ReasonCode::ProtocolError,
                what: "session present after a clean start [MQTT-3.2.2-2]",
            });
        }
        link.accept(self.now, &properties, &self.options);
        let version = link.version;
        self.server.speaks = self.server.speaks.accepted();
        self.server.resumes = true;
        self.server.unanswered = false;
        let doubtful = link.doubtful;
        if let Some(client_id) = &properties.assigned_client_identifier {
            self.options.client_id = client_id.detach();
        }
        self.state = State::Connected {
            since: self.now,
            version,
            session_present,
        };
        self.events.push_back(Event::Connected {
            version,
            session_present,
            properties: Box::new(properties),
        });
        self.incoming.connected(session_present, doubtful);
        self.outgoing
            .connected(session_present, &mut self.ids, &mut self.events);
        self.subscriptions.connected(session_present && !doubtful);
        Ok(())
    }

    /// The server sends us away.
    pub(super) fn on_disconnect(&mut self, disconnect: Disconnect) {
        let DisconnectProperties {
            reason_string,
            server_reference,
            session_expiry_interval: _,
            user_properties: _,
        } = disconnect.properties;
        let reason = ServerReason {
            reason_code: disconnect.reason_code,
            reason_string,
            server_reference,
        };
        self.end(DisconnectCause::ByServer(reason), Farewell::Close);
    }

    /// A connection, or an attempt to make one, ends: says so, and begins what follows.
    pub(super) fn end(&mut self, why: DisconnectCause, farewell: Farewell) {
        let next = self.next(&why);
        self.leave(farewell);
        if let State::Connected { since, .. } = &self.state {
            self.server.backoff.settle(self.now - *since);
        }
        self.subscriptions.disconnected(&mut self.ids);
        let retry_at = match next {
            Next::Wait => Some(self.now + self.server.backoff.fail()),
            Next::AtOnce | Next::FallBack { .. } => Some(self.now),
            Next::Credentials(_) | Next::Stop => None,
        };
        self.events.push_back(Event::Disconnected {
            why: why.clone(),
            retry_at,
        });
        self.server.speaks = self.server.speaks.ended(self.options.version);
        match next {
            Next::Wait => {
                self.state = State::Waiting {
                    until: retry_at.unwrap_or(self.now),
                    attempt: self.server.backoff.failures(),
                    why,
                };
            }
            Next::AtOnce => self.open(),
            Next::FallBack { refused } => {
                self.server.speaks = Speaks::FallingBack { refused };
                self.open();
            }
            Next::Credentials(reason_code) => {
                self.state = State::CredentialsNeeded { reason_code };
                self.events
                    .push_back(Event::CredentialsNeeded { reason_code });
            }
            Next::Stop => {
                self.server.backoff.reset();
                self.state = State::Stopped { why };
            }
        }
    }

    /// Ends the link, with or without a last word; nothing follows it `[MQTT-3.14.4-1]`.
    fn leave(&mut self, farewell: Farewell) {
        self.farewell.clear();
        let link = self.link.take();
        let connected = self.state.is_connected();
        match farewell {
            Farewell::None => {}
            Farewell::Close => self.events.push_back(Event::CloseTransport),
            Farewell::Disconnect(reason_code) => {
                if let Some(link) = link.filter(|_| connected) {
                    self.say_goodbye(link, reason_code);
                }
                self.events.push_back(Event::CloseTransport);
            }
        }
    }

    /// In version 3.1.1 DISCONNECT has no reason: it means that all is well, and that the
    /// will is to be forgotten `[MQTT-3.14.4-3]`. Where that is not so, the end of the
    /// transport says it.
    fn say_goodbye(&mut self, mut link: Link, reason_code: ReasonCode) {
        link.take_pending(&mut self.farewell);
        if link.version == ProtocolVersion::V5 || reason_code == ReasonCode::Success {
            // [MQTT-3.14.2-1]
            let reason_code = if reason_code.may_be_said_by_client() {
                reason_code
            } else {
                ReasonCode::UnspecifiedError
            };
            let disconnect = Packet::Disconnect(Disconnect::new(reason_code));
            link.write(&disconnect, &mut self.farewell);
        }
    }

    /// What follows the end of a connection.
    fn next(&self, why: &DisconnectCause) -> Next {
        match why {
            DisconnectCause::Requested | DisconnectCause::NotEncodable(_) => Next::Stop,
            // The server has long closed its side, or will take this for a takeover.
            DisconnectCause::Slept => Next::AtOnce,
            DisconnectCause::TransportNotOpened
            | DisconnectCause::ConnectTimeout
            | DisconnectCause::PingTimeout => Next::Wait,
            DisconnectCause::TransportClosed => self.after_silence(),
            DisconnectCause::Protocol(error) => self.after_violation(error),
            DisconnectCause::Refused(reason) => self.after_refusal(reason.reason_code),
            DisconnectCause::ByServer(reason) => after_disconnect(reason.reason_code),
        }
    }

    /// Closed without a word. Many servers of version 3.1.1 answer a CONNECT of version 5
    /// so: the other version is tried, once; if that ends in the same way it was not the
    /// version, and the next attempt is as the options say.
    fn after_silence(&self) -> Next {
        if !self.awaits_connack() {
            return Next::Wait;
        }
        match self.server.speaks {
            Speaks::Trying(ProtocolVersion::V5) if self.options.fall_back => {
                Next::FallBack { refused: false }
            }
            Speaks::Trying(_)
            | Speaks::FallingBack { .. }
            | Speaks::Accepted(_)
            | Speaks::Assumed => Next::Wait,
        }
    }

    /// A server of version 3.1.1 may answer CONNECT with a CONNACK of its own version, which
    /// is too short for one of version 5.
    fn after_violation(&self, error: &ProtocolError) -> Next {
        match error {
            ProtocolError::Decode(_) => self.after_silence(),
            ProtocolError::Violation { .. } => Next::Wait,
        }
    }

    fn awaits_connack(&self) -> bool {
        matches!(self.state, State::Connecting { .. })
    }

    fn after_refusal(&self, reason_code: ReasonCode) -> Next {
        let old = self.server.speaks.version() == ProtocolVersion::V3_1_1;
        let fall_back = self.options.fall_back && !old;
        if fall_back && reason_code == ReasonCode::UnsupportedProtocolVersion {
            Next::FallBack { refused: true }
        } else if wants_credentials(reason_code) {
            Next::Credentials(reason_code)
        } else if is_final(reason_code) {
            Next::Stop
        } else {
            Next::Wait
        }
    }
}

const fn wants_credentials(reason_code: ReasonCode) -> bool {
    matches!(
        reason_code,
        ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized
    )
}

/// Whether the same CONNECT would be refused again.
const fn is_final(reason_code: ReasonCode) -> bool {
    matches!(
        reason_code,
        ReasonCode::UnsupportedProtocolVersion
            | ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::ClientIdentifierNotValid
            | ReasonCode::Banned
            | ReasonCode::BadAuthenticationMethod
            | ReasonCode::TopicNameInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QoSNotSupported
            | ReasonCode::ServerMoved
    )
}

fn after_disconnect(reason_code: ReasonCode) -> Next {
    if reason_code == ReasonCode::NotAuthorized {
        Next::Credentials(reason_code)
    } else if is_last_word(reason_code) {
        Next::Stop
    } else {
        Next::Wait
    }
}

/// Two clients with one client id would take the session from each other for ever: the one
/// that was there first gives way.
const fn is_last_word(reason_code: ReasonCode) -> bool {
    matches!(
        reason_code,
        ReasonCode::SessionTakenOver | ReasonCode::ServerMoved
    )
}

/// How a connection ends on our side.
#[derive(Copy, Clone, Debug)]
pub(super) enum Farewell {
    /// The transport is closed already.
    None,
    /// Close it.
    Close,
    /// Send DISCONNECT, if there is someone to hear it, and close it.
    Disconnect(ReasonCode),
}

fn connect_properties(options: &ClientOptions) -> ConnectProperties {
    let expiry = options.session_expiry_interval;
    let aliases = options.topic_alias_maximum;
    ConnectProperties {
        session_expiry_interval: (expiry != 0).then_some(expiry),
        receive_maximum: Some(options.receive_maximum.max(1)),
        maximum_packet_size: Some(options.maximum_packet_size.max(1)),
        topic_alias_maximum: (aliases != 0).then_some(aliases),
        ..ConnectProperties::default()
    }
}
