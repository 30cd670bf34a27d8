//! The reason codes of MQTT 5 (section 2.4).

use core::fmt;

use crate::packet::PacketType;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// A reason code. Below 0x80 it means success, from 0x80 on failure.
        ///
        /// The decoder checks which codes are allowed in which packet.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode { $($(#[$doc])* $name = $value,)* }

        impl ReasonCode {
            /// The code with this `value` on the wire, if the standard has one.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$name),)* _ => None }
            }

            /// The standard's own name, in lower case, for logs and screens.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reason_codes! {
    /// Also "normal disconnection" and "granted `QoS` 0".
    Success = 0x00, "success";
    /// SUBACK.
    GrantedQoS1 = 0x01, "granted QoS 1";
    /// SUBACK.
    GrantedQoS2 = 0x02, "granted QoS 2";
    /// DISCONNECT: asks the server to publish the will nevertheless.
    DisconnectWithWill = 0x04, "disconnect with will message";
    /// PUBACK, PUBREC: the server accepted the message, but there was no subscriber.
    NoMatchingSubscribers = 0x10, "no matching subscribers";
    /// UNSUBACK.
    NoSubscriptionExisted = 0x11, "no subscription existed";
    /// AUTH.
    ContinueAuthentication = 0x18, "continue authentication";
    /// AUTH.
    ReAuthenticate = 0x19, "re-authenticate";
    /// The sender will not or cannot say more.
    UnspecifiedError = 0x80, "unspecified error";
    /// The bytes do not follow the standard.
    MalformedPacket = 0x81, "malformed packet";
    /// The bytes follow the standard, but what the packet does is not allowed.
    ProtocolError = 0x82, "protocol error";
    /// The packet is valid, but this receiver does not accept it.
    ImplementationSpecificError = 0x83, "implementation specific error";
    /// CONNACK.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version";
    /// CONNACK.
    ClientIdentifierNotValid = 0x85, "client identifier not valid";
    /// CONNACK.
    BadUserNameOrPassword = 0x86, "bad user name or password";
    /// The client may not do this.
    NotAuthorized = 0x87, "not authorized";
    /// CONNACK.
    ServerUnavailable = 0x88, "server unavailable";
    /// Try again later.
    ServerBusy = 0x89, "server busy";
    /// CONNACK: an administrator has banned the client.
    Banned = 0x8A, "banned";
    /// DISCONNECT.
    ServerShuttingDown = 0x8B, "server shutting down";
    /// The method is not supported, or is not the one in use.
    BadAuthenticationMethod = 0x8C, "bad authentication method";
    /// Nothing came for one and a half times the keep alive.
    KeepAliveTimeout = 0x8D, "keep alive timeout";
    /// Another connection with the same client identifier took over.
    SessionTakenOver = 0x8E, "session taken over";
    /// The filter is well formed, but the server does not accept it.
    TopicFilterInvalid = 0x8F, "topic filter invalid";
    /// The name is well formed, but the server does not accept it.
    TopicNameInvalid = 0x90, "topic name invalid";
    /// PUBACK, PUBREC, SUBACK, UNSUBACK.
    PacketIdentifierInUse = 0x91, "packet identifier in use";
    /// PUBREL, PUBCOMP.
    PacketIdentifierNotFound = 0x92, "packet identifier not found";
    /// More unacknowledged publications than Receive Maximum.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded";
    /// Zero, or above Topic Alias Maximum.
    TopicAliasInvalid = 0x94, "topic alias invalid";
    /// Larger than Maximum Packet Size.
    PacketTooLarge = 0x95, "packet too large";
    /// The client publishes too fast.
    MessageRateTooHigh = 0x96, "message rate too high";
    /// A limit is reached.
    QuotaExceeded = 0x97, "quota exceeded";
    /// An administrator closed the connection.
    AdministrativeAction = 0x98, "administrative action";
    /// The payload does not have the form that the indicator names.
    PayloadFormatInvalid = 0x99, "payload format invalid";
    /// The server keeps no retained messages.
    RetainNotSupported = 0x9A, "retain not supported";
    /// The `QoS` is above the server's Maximum `QoS`.
    QoSNotSupported = 0x9B, "QoS not supported";
    /// Use another server for a while.
    UseAnotherServer = 0x9C, "use another server";
    /// Use another server from now on.
    ServerMoved = 0x9D, "server moved";
    /// The server has no shared subscriptions.
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported";
    /// Clients connect too fast.
    ConnectionRateExceeded = 0x9F, "connection rate exceeded";
    /// The connection has lasted for longer than is allowed.
    MaximumConnectTime = 0xA0, "maximum connect time";
    /// The server has no subscription identifiers.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported";
    /// The server has no wildcard subscriptions.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// The byte on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Whether the code means a failure: 0x80 and above.
    pub const fn is_error(self) -> bool {
        self.as_u8() >= 0x80
    }
}

/// Which codes are allowed in which packet.
impl ReasonCode {
    /// Whether this code is allowed in a version 5 packet of `packet_type`: the table of section
    /// 2.4. No code is allowed in a packet without a reason code.
    pub const fn belongs_in(self, packet_type: PacketType) -> bool {
        match packet_type {
            PacketType::ConnAck => self.belongs_in_connack(),
            PacketType::PubAck | PacketType::PubRec => matches!(
                self,
                Self::Success
                    | Self::NoMatchingSubscribers
                    | Self::UnspecifiedError
                    | Self::ImplementationSpecificError
                    | Self::NotAuthorized
                    | Self::TopicNameInvalid
                    | Self::PacketIdentifierInUse
                    | Self::QuotaExceeded
                    | Self::PayloadFormatInvalid
            ),
            PacketType::PubRel | PacketType::PubComp => {
                matches!(self, Self::Success | Self::PacketIdentifierNotFound)
            }
            PacketType::SubAck => matches!(
                self,
                Self::Success
                    | Self::GrantedQoS1
                    | Self::GrantedQoS2
                    | Self::UnspecifiedError
                    | Self::ImplementationSpecificError
                    | Self::NotAuthorized
                    | Self::TopicFilterInvalid
                    | Self::PacketIdentifierInUse
                    | Self::QuotaExceeded
                    | Self::SharedSubscriptionsNotSupported
                    | Self::SubscriptionIdentifiersNotSupported
                    | Self::WildcardSubscriptionsNotSupported
            ),
            PacketType::UnsubAck => matches!(
                self,
                Self::Success
                    | Self::NoSubscriptionExisted
                    | Self::UnspecifiedError
                    | Self::ImplementationSpecificError
                    | Self::NotAuthorized
                    | Self::TopicFilterInvalid
                    | Self::PacketIdentifierInUse
            ),
            PacketType::Disconnect => self.belongs_in_disconnect(),
            PacketType::Auth => matches!(
                self,
                Self::Success | Self::ContinueAuthentication | Self::ReAuthenticate
            ),
            PacketType::Connect
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq
            | PacketType::PingResp => false,
        }
    }

    /// Whether a client may send this code in DISCONNECT: the column "sent by" of table 3-10. We do
    /// not check servers for it: some send "normal disconnection", and nothing depends on that.
    pub const fn may_be_said_by_client(self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::DisconnectWithWill
                | Self::UnspecifiedError
                | Self::MalformedPacket
                | Self::ProtocolError
                | Self::ImplementationSpecificError
                | Self::BadAuthenticationMethod
                | Self::TopicNameInvalid
                | Self::ReceiveMaximumExceeded
                | Self::TopicAliasInvalid
                | Self::PacketTooLarge
                | Self::MessageRateTooHigh
                | Self::QuotaExceeded
                | Self::AdministrativeAction
                | Self::PayloadFormatInvalid
        )
    }

    /// Section 3.2.2.2.
    const fn belongs_in_connack(self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::UnspecifiedError
                | Self::MalformedPacket
                | Self::ProtocolError
                | Self::ImplementationSpecificError
                | Self::UnsupportedProtocolVersion
                | Self::ClientIdentifierNotValid
                | Self::BadUserNameOrPassword
                | Self::NotAuthorized
                | Self::ServerUnavailable
                | Self::ServerBusy
                | Self::Banned
                | Self::BadAuthenticationMethod
                | Self::TopicNameInvalid
                | Self::PacketTooLarge
                | Self::QuotaExceeded
                | Self::PayloadFormatInvalid
                | Self::RetainNotSupported
                | Self::QoSNotSupported
                | Self::UseAnotherServer
                | Self::ServerMoved
                | Self::ConnectionRateExceeded
        )
    }

    /// Section 3.14.2.1, and 0x8C, which only the table of section 2.4 lists.
    const fn belongs_in_disconnect(self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::DisconnectWithWill
                | Self::UnspecifiedError
                | Self::MalformedPacket
                | Self::ProtocolError
                | Self::ImplementationSpecificError
                | Self::NotAuthorized
                | Self::ServerBusy
                | Self::ServerShuttingDown
                | Self::BadAuthenticationMethod
                | Self::KeepAliveTimeout
                | Self::SessionTakenOver
                | Self::TopicFilterInvalid
                | Self::TopicNameInvalid
                | Self::ReceiveMaximumExceeded
                | Self::TopicAliasInvalid
                | Self::PacketTooLarge
                | Self::MessageRateTooHigh
                | Self::QuotaExceeded
                | Self::AdministrativeAction
                | Self::PayloadFormatInvalid
                | Self::RetainNotSupported
                | Self::QoSNotSupported
                | Self::UseAnotherServer
                | Self::ServerMoved
                | Self::SharedSubscriptionsNotSupported
                | Self::ConnectionRateExceeded
                | Self::MaximumConnectTime
                | Self::SubscriptionIdentifiersNotSupported
                | Self::WildcardSubscriptionsNotSupported
        )
    }
}

/// The return codes of CONNACK in version 3.1.1 (its section 3.2.2.3).
impl ReasonCode {
    /// The meaning of return code `value` in a 3.1.1 CONNACK.
    pub const fn from_return_code(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// The return code of a 3.1.1 CONNACK with the nearest meaning. If there is none, it is 3,
    /// "server unavailable".
    ///
    /// A will's topic that the client must not publish to becomes 5, "not authorized". 3 would
    /// promise that the same CONNECT succeeds later.
    pub const fn to_return_code(self) -> u8 {
        match self {
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => 4,
            Self::NotAuthorized | Self::Banned | Self::TopicNameInvalid => 5,
            _ if self.is_error() => 3,
            _ => 0,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), self.as_u8())
    }
}
