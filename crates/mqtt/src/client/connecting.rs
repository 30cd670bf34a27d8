//! From one connection to the next: opening, CONNECT, CONNACK, and what follows each kind of end.

use alloc::boxed::Box;

use bytes::BytesMut;

use super::Client;
use super::connection::Connection;
use super::event::Event;
use super::options::ClientOptions;
use super::reconnect::Backoff;
use super::state::{DisconnectCause, ServerReason, State};
use crate::codec::encode;
use crate::error::ProtocolError;
use crate::packet::{
    ConnAck, Connect, ConnectProperties, Dialect, Disconnect, DisconnectProperties, Packet,
    ProtocolVersion,
};
use crate::reason::ReasonCode;
use crate::text::Utf8String;
use crate::time::Instant;

/// The version of the next CONNECT, and what the client knows about the server.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// The server has not accepted anything yet. The client tries this version next.
    Trying(ProtocolVersion),
    /// Version 5 failed. The client tries 3.1.1 next.
    FallingBack {
        /// `true` if the server refused version 5; `false` if it said nothing at all.
        refused: bool,
    },
    /// The server accepted this version.
    Accepted(ProtocolVersion),
    /// The server accepted 3.1.1 after it had answered version 5 with silence. The network may have
    /// caused the silence, so the next connection tries version 5 again.
    Assumed,
}

/// What the client knows about the server, over all connections.
#[derive(Debug)]
pub(super) struct Acquaintance {
    pub(super) speaks: Speaks,
    pub(super) backoff: Backoff,
    session: NextSession,
    /// The client has sent a CONNECT since the last CONNACK. The answer may have been lost, and may
    /// have created a new session. The next CONNACK then reports that new session as present.
    unanswered: bool,
}

/// What the next CONNECT does about a session that the server may have.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum NextSession {
    /// No server has accepted a connection yet: the options say it.
    AsOptions,
    /// The client resumes its session.
    Resume,
    /// The client discards the session. It would only end the next connection too, because its queue
    /// is full, or the client has asked the server to end it.
    Discard,
}

/// What follows the end of a connection.
enum Next {
    /// A new attempt after the backoff.
    Wait,
    /// A new attempt at once.
    AtOnce,
    /// A new attempt at once, with version 3.1.1.
    FallBack {
        /// `true` if the server refused version 5.
        refused: bool,
    },
    /// No new attempt until the shell gives other credentials.
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

    /// The server has accepted the connection.
    const fn accepted(self) -> Self {
        match self {
            Self::FallingBack { refused: false } | Self::Assumed => Self::Assumed,
            Self::FallingBack { refused: true } => Self::Accepted(ProtocolVersion::V3_1_1),
            Self::Trying(version) | Self::Accepted(version) => Self::Accepted(version),
        }
    }

    /// The connection or the attempt has ended. `preferred` is the version that the options name.
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
            session: NextSession::AsOptions,
            unanswered: options.session.is_some(),
        }
    }
}

impl Client {
    /// Begins an attempt.
    pub(super) fn open(&mut self) {
        self.connection = None;
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
                let mut connection = Connection::new(self.now, version, &self.options);
                connection.clean_start = clean_start;
                connection.doubtful = core::mem::replace(&mut self.server.unanswered, true);
                connection.push_encoded(&wire);
                self.connection = Some(connection);
                self.farewell.clear();
                self.state = State::Connecting { since, attempt };
            }
            Err(error) => self.end(DisconnectCause::NotEncodable(error), Farewell::Close),
        }
    }

    fn connect(&self, version: ProtocolVersion) -> Connect {
        let options = &self.options;
        let anew = match self.server.session {
            NextSession::AsOptions => options.clean_start,
            NextSession::Resume => false,
            NextSession::Discard => true,
        };
        let (clean_start, properties) = match version {
            ProtocolVersion::V5 => (anew, connect_properties(options)),
            // With Clean Session, the session also ends when the connection ends (section 3.1.2.4).
            ProtocolVersion::V3_1_1 => (
                anew || options.session_expiry_interval == 0 || options.client_id.is_empty(),
                ConnectProperties::default(),
            ),
        };
        let needs_user_name = version == ProtocolVersion::V3_1_1 && options.password.is_some();
        Connect {
            version,
            dialect: Dialect::default(),
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

    /// Handles the server's answer to CONNECT.
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
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        if session_present && connection.clean_start {
            return Err(ProtocolError::Violation {
                reason_code: ReasonCode::ProtocolError,
                what: "session present after a clean start [MQTT-3.2.2-2]",
            });
        }
        connection.accept(self.now, &properties, &self.options);
        let version = connection.version;
        self.server.speaks = self.server.speaks.accepted();
        if session_present && matches!(self.server.session, NextSession::AsOptions) {
            // An earlier process may have left exchanges open that this one does not know. A message with
            // such an identifier would be taken for one that has arrived `[MQTT-4.3.3-10]`.
            self.ids.begin_at(self.options.seed);
        }
        self.server.session = NextSession::Resume;
        self.server.unanswered = false;
        let doubtful = connection.doubtful;
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

    /// Handles a DISCONNECT from the server.
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

    /// Ends a connection or an attempt: reports it, and begins what follows.
    pub(super) fn end(&mut self, why: DisconnectCause, farewell: Farewell) {
        let next = self.next(&why);
        if ends_session(&why) {
            self.server.session = NextSession::Discard;
        }
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

    /// Closes the connection, with or without a DISCONNECT. Nothing follows a DISCONNECT
    /// `[MQTT-3.14.4-1]`.
    fn leave(&mut self, farewell: Farewell) {
        self.farewell.clear();
        let connection = self.connection.take();
        let connected = self.state.is_connected();
        match farewell {
            Farewell::None => {}
            Farewell::Close => self.events.push_back(Event::CloseTransport),
            Farewell::Disconnect(disconnect) => {
                if let Some(connection) = connection.filter(|_| connected) {
                    self.say_goodbye(connection, disconnect);
                }
                self.events.push_back(Event::CloseTransport);
            }
            Farewell::EndSession => {
                if let Some(connection) = connection.filter(|_| connected) {
                    let mut disconnect = Disconnect::new(ReasonCode::Success);
                    // The standard allows it only if CONNECT asked for a session that lasts; the others
                    // end anyway (section 3.14.2.2.2).
                    disconnect.properties.session_expiry_interval =
                        (self.options.session_expiry_interval != 0).then_some(0);
                    self.say_goodbye(connection, disconnect);
                }
                self.events.push_back(Event::CloseTransport);
            }
        }
    }

    /// In version 3.1.1 DISCONNECT has no reason. It always means a normal end, and discards the
    /// will `[MQTT-3.14.4-3]`. For any other end the client only closes the transport.
    fn say_goodbye(&mut self, mut connection: Connection, mut disconnect: Disconnect) {
        connection.take_pending(&mut self.farewell);
        let old = connection.version == ProtocolVersion::V3_1_1;
        if old && disconnect.reason_code != ReasonCode::Success {
            return;
        }
        if old {
            disconnect.properties = DisconnectProperties::default();
        }
        // [MQTT-3.14.2-1]
        if !disconnect.reason_code.may_be_said_by_client() {
            disconnect.reason_code = ReasonCode::UnspecifiedError;
        }
        connection.write(&Packet::Disconnect(disconnect), &mut self.farewell);
    }

    /// Decides what follows the end of a connection.
    fn next(&self, why: &DisconnectCause) -> Next {
        match why {
            DisconnectCause::Requested
            | DisconnectCause::Suspended
            | DisconnectCause::NotEncodable(_) => Next::Stop,
            // After this machine has slept, the server has closed its side long ago, or it treats
            // the new connection as a takeover.
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

    /// The server closed without a word. Many 3.1.1 servers answer a version 5 CONNECT that way, so
    /// the client tries the other version once. If that ends in the same way, the version was not
    /// the reason, and the next attempt uses the version that the options name.
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

    /// A 3.1.1 server may answer CONNECT with a CONNACK of its own version. That is too short to be
    /// a version 5 CONNACK.
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

/// Whether the server would refuse the same CONNECT again.
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

/// Whether this end leaves no session worth resuming. A server that disconnects for a quota has too
/// much queued for this client. The same queue would end each connection that resumes it.
const fn ends_session(why: &DisconnectCause) -> bool {
    match why {
        DisconnectCause::Suspended => true,
        DisconnectCause::ByServer(reason) => {
            matches!(reason.reason_code, ReasonCode::QuotaExceeded)
        }
        DisconnectCause::Requested
        | DisconnectCause::TransportNotOpened
        | DisconnectCause::TransportClosed
        | DisconnectCause::ConnectTimeout
        | DisconnectCause::PingTimeout
        | DisconnectCause::Slept
        | DisconnectCause::Refused(_)
        | DisconnectCause::Protocol(_)
        | DisconnectCause::NotEncodable(_) => false,
    }
}

/// Two clients with one client identifier would take the session from each other for ever. So the
/// client that was there first gives way.
const fn is_last_word(reason_code: ReasonCode) -> bool {
    matches!(
        reason_code,
        ReasonCode::SessionTakenOver | ReasonCode::ServerMoved
    )
}

/// How our side ends a connection.
#[derive(Debug)]
pub(super) enum Farewell {
    /// The transport is closed already.
    None,
    /// Close the transport.
    Close,
    /// Send DISCONNECT if the connection is open, then close the transport.
    Disconnect(Disconnect),
    /// The same, and let the session end now.
    EndSession,
}

fn connect_properties(options: &ClientOptions) -> ConnectProperties {
    let expiry = options.session_expiry_interval;
    let aliases = options.topic_alias_maximum;
    ConnectProperties {
        session_expiry_interval: (expiry != 0).then_some(expiry),
        receive_maximum: Some(options.receive_maximum.max(1)),
        maximum_packet_size: Some(options.maximum_packet_size.max(1)),
        topic_alias_maximum: (aliases != 0).then_some(aliases),
        request_response_information: options.request_response_information,
        request_problem_information: options.request_problem_information,
        user_properties: options.user_properties.clone(),
        ..ConnectProperties::default()
    }
}
