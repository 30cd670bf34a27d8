//! How client programs end, in the numbers that mosquitto's tools have.

use std::process::ExitCode;

use mqtt::client::{DisconnectCause, ServerReason};
use mqtt::{ProtocolVersion, ReasonCode};

/// Why a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well, also if a signal ended it.
    Success,
    /// The command line is wrong, or a file cannot be read.
    Usage,
    /// No connection came about.
    NoConnection,
    /// The server refused the connection.
    Refused(u8),
    /// `-W`: the time is over.
    TimedOut,
    /// A signal came before the program was done.
    Interrupted,
    /// Another fault.
    Failed,
}

impl Exit {
    /// How a program that cannot go on without a connection ends.
    pub(crate) fn of_cause(why: &DisconnectCause, version: ProtocolVersion) -> Self {
        match why {
            DisconnectCause::Requested | DisconnectCause::Suspended => Self::Success,
            DisconnectCause::Refused(reason) => Self::Refused(refusal(reason, version)),
            DisconnectCause::TransportNotOpened
            | DisconnectCause::TransportClosed
            | DisconnectCause::ConnectTimeout
            | DisconnectCause::PingTimeout
            | DisconnectCause::Slept => Self::NoConnection,
            DisconnectCause::ByServer(_)
            | DisconnectCause::Protocol(_)
            | DisconnectCause::NotEncodable(_) => Self::Failed,
        }
    }

    /// The number for the shell.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage | Self::NoConnection | Self::Failed => 1,
            Self::Refused(code) => code,
            Self::TimedOut => 27,
            Self::Interrupted => 255,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// mosquitto's tools exit with the code of CONNACK, which differs by version.
fn refusal(reason: &ServerReason, version: ProtocolVersion) -> u8 {
    match version {
        ProtocolVersion::V5 => reason.reason_code as u8,
        ProtocolVersion::V3_1_1 => match reason.reason_code {
            ReasonCode::UnsupportedProtocolVersion => 1,
            ReasonCode::ClientIdentifierNotValid => 2,
            ReasonCode::ServerUnavailable => 3,
            ReasonCode::BadUserNameOrPassword => 4,
            _ => 5,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_numbers_of_connack() {
        let cause = |reason_code| {
            DisconnectCause::Refused(ServerReason {
                reason_code,
                reason_string: None,
                server_reference: None,
            })
        };
        let number = |code, version| Exit::of_cause(&cause(code), version).number();
        let code = ReasonCode::BadUserNameOrPassword;
        assert_eq!(number(code, ProtocolVersion::V3_1_1), 4);
        assert_eq!(number(code, ProtocolVersion::V5), 0x86);
        let code = ReasonCode::NotAuthorized;
        assert_eq!(number(code, ProtocolVersion::V3_1_1), 5);
        assert_eq!(number(code, ProtocolVersion::V5), 0x87);
    }
}
