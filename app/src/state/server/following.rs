//! When the page follows a server, and what it asks it for.
//!
//! The page has two connections: MQTT to a broker, and HTTP to the server that it came from. Both name a
//! server's id. Only if they are equal does the page combine them: it asks for the devices, then for the
//! changes since. Against any other broker it goes on alone, with what the devices send.
//!
//! ```text
//! Deciding ──ids are equal──▶ Loading ──devices──▶ Following ──changes, changes, …
//!    │  ▲                        │                     │
//!    │  └──────── a new connection of the broker ──────┤
//!    ▼                           ▼                     ▼
//!  Alone ◀──────────── the API keeps failing ──────────┘   and tries again by itself
//! ```
//!
//! The machine does no input or output. After each call, do what [`Following::poll`] asks for, then look
//! at [`Following::mode`].

use std::collections::VecDeque;
use std::time::Duration;

use link::http::HttpFailure;
use mqtt::Instant;

/// What the page shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Ask who the server is, then call [`Following::handle_server`].
    Server,
    /// Ask for the devices, then call [`Following::handle_devices`]. The answer of an earlier request is
    /// no longer wanted.
    Devices,
    /// Open the stream of changes after this cursor, in the place of an earlier one.
    OpenStream(String),
    /// Close the stream of changes.
    CloseStream,
}

/// Why the server's list of devices cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoList {
    /// For people.
    pub why: String,
    /// Whether the same request may be answered later.
    pub may_pass: bool,
}

impl From<HttpFailure> for NoList {
    fn from(failure: HttpFailure) -> Self {
        Self {
            why: failure.to_string(),
            may_pass: failure.may_pass(),
        }
    }
}

/// Whom the page believes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is not known yet.
    Deciding,
    /// The devices themselves.
    Alone,
    /// The server. Its devices are known.
    Follows,
}

/// Where the page's knowledge about the server comes from, and how far it has got.
#[derive(Debug)]
pub struct Following {
    /// Whether the broker is the one beside the page, because the page's address names no other.
    own_broker: bool,
    /// The id in the broker's CONNACK, while it is connected.
    broker: Broker,
    /// The id that the API has told.
    server: Server,
    state: State,
    hidden_since: Option<Instant>,
    failures: u32,
    /// Why the API cannot be used, although it is that of the broker.
    trouble: Option<String>,
    asks: VecDeque<Ask>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Broker {
    Disconnected,
    /// It says that it belongs to no server with an API.
    Other,
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    Asked,
    /// The page's server has no such API, or did not answer.
    Silent,
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// `again`: who the server is could not be asked, and is asked again at this time.
    Deciding {
        again: Option<Instant>,
    },
    /// The devices are asked for. `again`: the request has failed, and is made again at this time.
    Loading {
        again: Option<Instant>,
    },
    Following {
        cursor: String,
        stream: Stream,
    },
    /// With the time of the next attempt, if the API is that of the broker.
    Alone {
        again: Option<Instant>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stream {
    /// It is open, or opens.
    Open {
        /// When it last told something, or began to open.
        heard: Instant,
    },
    /// Closed while nobody looks.
    Resting,
    /// The devices are asked for anew. Until then the stream is closed. `again`: the request has failed,
    /// and is made again at this time.
    Reloading { again: Option<Instant> },
    /// It broke. It is opened again at this time.
    Broken { again: Instant },
}

impl Following {
    /// How long the page may be hidden before the stream is closed. Browsers allow six connections to a
    /// server over HTTP/1.1, for all tabs together.
    pub const REST_AFTER: Duration = Duration::from_secs(10);
    /// How long the stream may tell nothing while somebody looks. The server tells something every 15
    /// seconds, but a connection that has silently gone is never reported.
    pub const SILENCE: Duration = Duration::from_secs(40);
    /// How often in a row the stream may fail before the page goes on alone.
    const STREAM_FAILURES: u32 = 4;
    /// How often the server is asked again who it is and for its devices, with what is known kept, before
    /// the page goes on alone.
    const RETRIES: u32 = 3;

    /// Begins by asking who the server is. `own_broker`: the page's address names no other broker.
    pub fn new(own_broker: bool) -> Self {
        Self {
            own_broker,
            broker: Broker::Disconnected,
            server: Server::Asked,
            state: State::Deciding { again: None },
            hidden_since: None,
            failures: 0,
            trouble: None,
            asks: VecDeque::from([Ask::Server]),
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// Whom the page believes.
    pub fn mode(&self) -> Mode {
        match &self.state {
            State::Deciding { .. } | State::Loading { .. } => Mode::Deciding,
            State::Following { .. } => Mode::Follows,
            State::Alone { .. } => Mode::Alone,
        }
    }

    /// What is wrong with the API, for people, and what happens about it.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let again = match &self.state {
            State::Deciding { again } | State::Loading { again } | State::Alone { again } => *again,
            State::Following { stream, .. } => match stream {
                Stream::Open { heard } => Some(match self.hidden_since {
                    Some(since) => since + Self::REST_AFTER,
                    None => *heard + Self::SILENCE,
                }),
                Stream::Resting => None,
                Stream::Reloading { again } => *again,
                Stream::Broken { again } => Some(*again),
            },
        };
        again.filter(|_| self.broker != Broker::Disconnected)
    }

    /// The broker has accepted the connection. `id` is what CONNACK says about the server.
    pub fn handle_connected(&mut self, id: Option<&str>) {
        self.broker = match id {
            None | Some("") => Broker::Other,
            Some(id) => Broker::Named(id.to_owned()),
        };
        self.state = State::Deciding { again: None };
        self.failures = 0;
        if let (Broker::Named(broker), Server::Named(_) | Server::Silent) =
            (&self.broker, &self.server)
            && self.server != Server::Named(broker.clone())
        {
            // The server may have been started again since it was asked.
            self.server = Server::Asked;
            self.asks.push_back(Ask::Server);
        }
        self.decide();
    }

    /// The connection to the broker is gone.
    pub fn handle_disconnected(&mut self) {
        if self.broker == Broker::Disconnected {
            return;
        }
        self.broker = Broker::Disconnected;
        self.state = State::Deciding { again: None };
        self.trouble = None;
        self.asks.push_back(Ask::CloseStream);
    }

    /// The API has told the server's id, or has not.
    pub fn handle_server(&mut self, now: Instant, id: Result<String, HttpFailure>) {
        match id {
            Ok(id) => self.server = Server::Named(id),
            Err(failure) => {
                self.server = Server::Silent;
                // A page that came from elsewhere need not have the broker's API beside it, and what is
                // there may fail in any way.
                if self.own_broker && matches!(self.broker, Broker::Named(_)) {
                    self.note_no_answer(now, &failure.into());
                    return;
                }
            }
        }
        self.decide();
    }

    /// The devices have come, with the cursor behind them, or have not. Returns whether they are wanted.
    pub fn handle_devices(&mut self, now: Instant, cursor: Result<&str, &NoList>) -> bool {
        let wanted = match &self.state {
            State::Deciding { .. } => false,
            State::Loading { again } => again.is_none(),
            State::Following { stream, .. } => *stream == Stream::Reloading { again: None },
            State::Alone { again } => again.is_none() && self.is_ours(),
        };
        if !wanted {
            return false;
        }
        match cursor {
            Ok(cursor) => {
                self.failures = 0;
                self.trouble = None;
                let cursor = cursor.to_owned();
                let stream = Stream::Resting;
                self.state = State::Following { cursor, stream };
                self.open_stream(now);
                true
            }
            Err(no_list) => {
                self.note_no_answer(now, no_list);
                false
            }
        }
    }

    /// The server, or a proxy before it, does not answer as it should. One that is just starting soon will.
    fn note_no_answer(&mut self, now: Instant, no_list: &NoList) {
        let NoList { why, may_pass } = no_list;
        let failures = self.failures + 1;
        let next = Some(now + backoff(failures));
        match &mut self.state {
            State::Deciding { again }
            | State::Loading { again }
            | State::Following {
                stream: Stream::Reloading { again },
                ..
            } if *may_pass && failures <= Self::RETRIES => *again = next,
            State::Deciding { .. }
            | State::Loading { .. }
            | State::Following { .. }
            | State::Alone { .. } => {
                self.go_alone(now, why);
                return;
            }
        }
        self.failures = failures;
        self.trouble = Some(format!(
            "The server's list of devices cannot be read: {why}. Until it can, this page shows what it knew before. It tries again by itself"
        ));
    }

    /// The stream of changes is open. That does not end a row of failures: a proxy may open each stream
    /// and break it at once.
    pub fn handle_stream_opened(&mut self, now: Instant) {
        if let State::Following {
            stream: Stream::Open { heard },
            ..
        } = &mut self.state
        {
            *heard = now;
        }
    }

    /// The stream of changes says that there are none.
    pub fn handle_beat(&mut self, now: Instant) {
        if let State::Following {
            stream: Stream::Open { heard },
            ..
        } = &mut self.state
        {
            *heard = now;
            self.failures = 0;
        }
    }

    /// Changes have come, up to this cursor. `resync` says that they are not all.
    pub fn handle_changes(&mut self, now: Instant, cursor: &str, resync: bool) {
        let State::Following {
            cursor: known,
            stream,
        } = &mut self.state
        else {
            return;
        };
        let Stream::Open { heard } = stream else {
            return;
        };
        *heard = now;
        self.failures = 0;
        cursor.clone_into(known);
        if resync {
            *stream = Stream::Reloading { again: None };
            self.asks.extend([Ask::CloseStream, Ask::Devices]);
        }
    }

    /// The stream of changes has ended.
    pub fn handle_stream_ended(&mut self, now: Instant) {
        self.note_broken(now, "the stream of changes breaks off");
    }

    fn note_broken(&mut self, now: Instant, why: &str) {
        let failures = self.failures + 1;
        let State::Following { stream, .. } = &mut self.state else {
            return;
        };
        let Stream::Open { .. } = stream else {
            return;
        };
        if failures > Self::STREAM_FAILURES {
            self.go_alone(now, why);
            return;
        }
        self.failures = failures;
        let again = now + backoff(failures);
        *stream = Stream::Broken { again };
    }

    /// The page is hidden, or is seen again.
    pub fn handle_visibility(&mut self, now: Instant, hidden: bool) {
        if hidden {
            self.hidden_since.get_or_insert(now);
            return;
        }
        self.hidden_since = None;
        if let State::Following { stream, .. } = &self.state
            && *stream == Stream::Resting
        {
            self.open_stream(now);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match &mut self.state {
            State::Deciding { again } => {
                *again = None;
                self.server = Server::Asked;
                self.asks.push_back(Ask::Server);
            }
            State::Loading { again } => {
                *again = None;
                self.asks.push_back(Ask::Devices);
            }
            State::Alone { again } => {
                *again = None;
                if self.is_ours() {
                    self.asks.push_back(Ask::Devices);
                } else {
                    self.server = Server::Asked;
                    self.asks.push_back(Ask::Server);
                }
            }
            State::Following { stream, .. } => match stream {
                Stream::Open { .. } if self.hidden_since.is_some() => {
                    *stream = Stream::Resting;
                    self.asks.push_back(Ask::CloseStream);
                }
                Stream::Open { .. } => {
                    self.asks.push_back(Ask::CloseStream);
                    self.note_broken(now, "the stream of changes is silent");
                }
                Stream::Broken { .. } => {
                    *stream = Stream::Resting;
                    self.open_stream(now);
                }
                Stream::Reloading { again } => {
                    *again = None;
                    self.asks.push_back(Ask::Devices);
                }
                Stream::Resting => {}
            },
        }
    }

    fn is_ours(&self) -> bool {
        match (&self.broker, &self.server) {
            (Broker::Named(broker), Server::Named(server)) => broker == server,
            (Broker::Disconnected | Broker::Other | Broker::Named(_), _) => false,
        }
    }

    /// Compares the ids, once both are known.
    fn decide(&mut self) {
        let undecided = matches!(self.state, State::Deciding { .. } | State::Alone { .. });
        if !undecided {
            return;
        }
        match (&self.broker, &self.server) {
            (Broker::Disconnected, _) | (Broker::Named(_), Server::Asked) => {}
            (Broker::Named(_), _) if self.is_ours() => {
                match self.state {
                    State::Alone { .. } => self.state = State::Alone { again: None },
                    State::Deciding { .. } | State::Loading { .. } | State::Following { .. } => {
                        self.state = State::Loading { again: None };
                    }
                }
                self.asks.push_back(Ask::Devices);
            }
            // Another broker, or another server than the one that the page came from.
            (Broker::Other, _) | (Broker::Named(_), Server::Named(_) | Server::Silent) => {
                self.trouble = None;
                self.state = State::Alone { again: None };
            }
        }
    }

    /// Opens the stream, unless nobody looks.
    fn open_stream(&mut self, now: Instant) {
        if let State::Following { cursor, stream } = &mut self.state
            && self.hidden_since.is_none()
        {
            *stream = Stream::Open { heard: now };
            self.asks.push_back(Ask::OpenStream(cursor.clone()));
        }
    }

    fn go_alone(&mut self, now: Instant, why: &str) {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff(self.failures);
        if matches!(self.state, State::Following { .. }) {
            self.asks.push_back(Ask::CloseStream);
        }
        self.state = State::Alone {
            again: Some(now + wait),
        };
        self.trouble = Some(format!(
            "The server's list of devices cannot be read: {why}. Until it can, this page shows only what devices send while it is open. It tries again by itself; look whether a proxy passes api/v1 on to the server"
        ));
    }
}

/// One second, then twice as long each time, up to half a minute.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    Duration::from_secs(1 << doublings).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests;
