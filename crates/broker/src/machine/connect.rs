//! CONNECT, until the client is connected or refused (sections 3.1 and 3.2).

use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use mqtt::{Connect, Instant, Packet, ProtocolVersion, ReasonCode, Utf8String};

use crate::delivery::{Agreement, Authenticating, ClientId, Phase};
use crate::durability::StoreCost;
use crate::machine::{Broker, ConnectedClient, Credentials, Output};
use crate::protocol::{Granted, client_id_asked, refused, session_expiry_asked};
use crate::routing::Standing;
use crate::session::{Session, record_session};
use crate::types::{CloseCause, Conn, Limit, Lsn, Peer, Principal, SessionId, Slot, will_cost};

/// A client that is let in.
pub(crate) struct Arrival {
    pub(crate) connect: Connect,
    pub(crate) client_id: ClientId,
    pub(crate) principal: Principal,
}

impl Broker {
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        slot: Slot,
        connect: Connect,
    ) -> Result<(), CloseCause> {
        if connect.properties.authentication_method.is_some() {
            // [MQTT-4.12.0-1]
            return Err(refused(
                ReasonCode::BadAuthenticationMethod,
                "enhanced authentication is not supported",
            ));
        }
        if let Some(will) = &connect.will {
            self.check_topic_name(&will.topic, Some(&connect.client_id))
                .map_err(|what| refused(ReasonCode::TopicNameInvalid, what))?;
            self.check_will_size(now, &connect.client_id, will)
                .map_err(|what| refused(ReasonCode::QuotaExceeded, what))?;
            let indicator = will.properties.payload_format_indicator;
            self.check_payload_format(indicator, &will.payload, &connect.client_id)
                .map_err(|refusal| refused(refusal.reason_code, refusal.what))?;
        }
        let client_id = self.client_id(&connect)?;
        let mut connack = self.granted(&connect).connack(&connect, &client_id, false);
        connack.properties.user_properties.clear();
        let connack = Packet::ConnAck(connack);
        let most = connect.properties.maximum_packet_size.unwrap_or(u32::MAX);
        if mqtt::encoded_len(&connack, connect.version).is_ok_and(|size| size > most as usize) {
            // Refuse now: after CONNACK, only a DISCONNECT could say that it is too large
            // [MQTT-3.14.0-1].
            return Err(refused(
                ReasonCode::PacketTooLarge,
                "CONNACK is larger than the client's Maximum Packet Size [MQTT-3.1.2-24]",
            ));
        }
        if !self.options.authenticate {
            let principal = Principal {
                name: None,
                grants: self.options.grants.clone(),
            };
            let arrival = Arrival {
                connect,
                client_id,
                principal,
            };
            return self.admit(now, slot, arrival);
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return Ok(());
        };
        let &Phase::AwaitingConnect(peer) = connection.phase() else {
            return Ok(());
        };
        let waiting = Authenticating::new(peer, &connect, &client_id);
        let credentials = Credentials {
            client_id: waiting.client_id().text().clone(),
            user_name: waiting.connect().user_name.clone(),
            password: waiting.connect().password.clone(),
            version: connect.version,
            peer,
        };
        connection.begin_authentication(waiting);
        let output = Output::Authenticate(connection.conn(), Box::new(credentials));
        self.wire.outputs.push_back(output);
        self.count_partial(now, slot);
        Ok(())
    }

    /// Lets the client in: opens or resumes its session.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        slot: Slot,
        arrival: Arrival,
    ) -> Result<(), CloseCause> {
        let Arrival {
            connect,
            client_id,
            principal,
        } = &arrival;
        self.check_will_rule(connect, client_id.text(), &principal.grants)?;
        self.expire(now, client_id.text());
        let existing = self.sessions.find(client_id.text());
        self.check_session_store(connect, client_id.text(), existing)?;
        self.check_backlog(connect, client_id.text())?;
        if existing.is_none() {
            // Check this first: no session must end for a client that is then refused.
            self.check_memory_for(client_id.text())?;
            if self.sessions.len() >= self.limits().sessions {
                self.make_room_for_session(now, client_id.text())?;
            }
        }
        if let Some(id) = existing {
            self.take_over(now, id, slot);
        }
        // Taking over the connection may have ended its session.
        let existing = self.sessions.find(client_id.text());
        let (id, session_present) = match existing {
            Some(id) if !connect.clean_start => (id, true),
            Some(id) => {
                // [MQTT-3.1.2-4]
                self.end_session(now, id);
                self.settle(now);
                (self.sessions.insert(client_id.text()), false)
            }
            // [MQTT-3.1.2-6]
            None => (self.sessions.insert(client_id.text()), false),
        };
        self.memory.set_sessions(self.sessions.len());
        self.establish(now, slot, id, session_present, arrival);
        Ok(())
    }

    /// Ends a session to make room for a new one: one that has expired, or the one that has been
    /// without a connection for longest and has nothing waiting. In the second case the client
    /// loses its subscriptions, and its next CONNACK shows that. But no acknowledged message is
    /// lost.
    fn make_room_for_session(
        &mut self,
        now: Instant,
        client: &Utf8String,
    ) -> Result<(), CloseCause> {
        if let Some(id) = self.timers.pop_due_session(self.heard_until) {
            self.session_expired(now, id);
            self.settle(now);
        } else if let Some(id) = self.sessions.dispensable() {
            let ended = self.sessions.get(id).map(Session::client_id);
            self.limit_log.note(Limit::SessionsEvicted, ended);
            self.metrics.sessions_evicted += 1;
            self.end_session(now, id);
            self.settle(now);
        }
        if self.sessions.len() < self.limits().sessions {
            return Ok(());
        }
        self.metrics.refused_sessions_limit += 1;
        self.limit_log.note(Limit::Sessions, Some(client));
        Err(refused(ReasonCode::QuotaExceeded, "too many sessions"))
    }

    /// Refuses a client with a will while the store is behind. Otherwise a client that reconnects
    /// again and again could cause records faster than the store can write them.
    fn check_backlog(&mut self, connect: &Connect, client: &Utf8String) -> Result<(), CloseCause> {
        if connect.will.is_none()
            || self.ledger.unsettled_bytes() <= self.limits().journal_backlog_bytes
        {
            return Ok(());
        }
        self.metrics.journal_backlog_pauses += 1;
        self.limit_log.note(Limit::JournalBacklog, Some(client));
        Err(refused(
            ReasonCode::ServerBusy,
            "the store cannot keep up with what it has to write",
        ))
    }

    /// Refuses a new session that would outlive its connection if the store is full.
    fn check_session_store(
        &mut self,
        connect: &Connect,
        client_id: &Utf8String,
        existing: Option<SessionId>,
    ) -> Result<(), CloseCause> {
        let needs = StoreCost::of_bytes(client_id.len());
        let is_full = self.ledger.lacks_room(&self.memory, needs);
        if !is_full || self.granted(connect).session_expiry_interval == 0 {
            return Ok(());
        }
        let existing = existing.and_then(|id| self.sessions.get(id));
        let is_resumed = !connect.clean_start && existing.is_some_and(|it| it.number().is_some());
        if is_resumed && !self.ledger.is_stuck() {
            return Ok(());
        }
        self.metrics.refused_store_full += 1;
        self.limit_log.note(Limit::Store, Some(client_id));
        let reason_code = match connect.version {
            ProtocolVersion::V5 => ReasonCode::QuotaExceeded,
            ProtocolVersion::V3_1_1 => ReasonCode::ServerUnavailable,
        };
        Err(refused(
            reason_code,
            "the store has no room for a session that outlives its connection",
        ))
    }

    /// Connects the client to its session, and sends CONNACK.
    fn establish(
        &mut self,
        now: Instant,
        slot: Slot,
        id: SessionId,
        session_present: bool,
        arrival: Arrival,
    ) {
        let connect = &arrival.connect;
        let granted = self.granted(connect);
        let (expiry_interval, keep_alive) = (granted.session_expiry_interval, granted.keep_alive);
        // MQTT 3.1 reserves the byte: its clients do not know Session Present.
        let is_told = session_present && !connect.dialect.is_v3_1;
        let connack = granted.connack(connect, &arrival.client_id, is_told);
        self.apply_connect(slot, id, expiry_interval, &arrival);
        let gate = self.record_arrival(id);
        let Some((conn, peer)) = self.bind(now, slot, id, &arrival.connect) else {
            return;
        };
        let connected = ConnectedClient {
            client_id: arrival.client_id.into_text(),
            user_name: arrival.connect.user_name,
            version: arrival.connect.version,
            dialect: arrival.connect.dialect,
            principal: arrival.principal.name,
            keep_alive,
            session_present,
            session_expiry_interval: expiry_interval,
            peer,
        };
        self.sessions.set_absent(id, None);
        self.metrics.clients += 1;
        self.metrics.connects_accepted += 1;
        self.metrics.sessions_resumed += u64::from(session_present);
        self.tap_connected(now, conn, &connected.client_id);
        let output = Output::Connected(conn, Box::new(connected));
        self.wire.outputs.push_back(output);
        // [MQTT-3.2.0-1] CONNACK goes out before anything else.
        self.send_connack(slot, &Packet::ConnAck(connack), gate);
        self.pump(now, id);
        self.continue_lookups(now, id);
        self.set_standing(id, Standing::Ready);
        // A client that reconnects again and again must not cause records faster than the store can
        // write them.
        self.await_store(slot, Lsn(0));
    }

    /// Gives the session what its client has brought: expiry interval, will, grants.
    fn apply_connect(
        &mut self,
        slot: Slot,
        id: SessionId,
        expiry_interval: u32,
        arrival: &Arrival,
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.set_slot(Some(slot));
        session.set_expiry_interval(expiry_interval);
        // A delayed will must not be sent any more [MQTT-3.1.3-9].
        session.set_will_at(id, None, &mut self.timers);
        session.set_expires_at(id, None, &mut self.timers);
        session.set_will(arrival.connect.will.as_ref(), &mut self.memory);
        let ends_with_connection = expiry_interval == 0 && session.number().is_some();
        let is_other = *session.grants() != arrival.principal.grants;
        session.set_grants(arrival.principal.grants.clone());
        if is_other {
            self.grants_changed(id);
        }
        if ends_with_connection {
            self.leave_to_groups(id);
        }
    }

    /// Records the session. Returns the record that CONNACK waits for.
    fn record_arrival(&mut self, id: SessionId) -> Option<Lsn> {
        let session = self.sessions.get_mut(id)?;
        // [MQTT-4.1.0-1]
        let will = session.will().map_or(0, will_cost);
        let cost = StoreCost::of_bytes(will);
        let is_full = will > 0 && self.ledger.lacks_room(&self.memory, cost);
        session.set_will_unrecorded(is_full);
        if is_full {
            self.ledger.write_back_mut().request();
            self.metrics.wills_not_stored += 1;
            self.limit_log.note(Limit::Store, Some(session.client_id()));
        }
        let gate = record_session(&mut self.ledger, session, &mut self.memory);
        // [MQTT-3.1.2-4] An earlier session must not come back after a crash.
        gate.or(self.ledger.gate_of_ends())
    }

    /// Binds the connection to the session.
    fn bind(
        &mut self,
        now: Instant,
        slot: Slot,
        id: SessionId,
        connect: &Connect,
    ) -> Option<(Conn, Peer)> {
        let session = self.sessions.get(id)?;
        let connection = self.connections.get_mut(slot)?;
        let &Phase::AwaitingConnect(peer) = connection.phase() else {
            return None;
        };
        let agreement = Agreement::new(
            id,
            connect,
            self.options.server_keep_alive,
            &self.options.limits,
            self.options.seed,
            session.incoming().to_vec(),
        );
        let (conn, longest_silence) = (connection.conn(), agreement.longest_silence());
        connection.establish(now, agreement);
        self.set_deadline(
            slot,
            longest_silence.map(|longest_silence| now + longest_silence),
        );
        Some((conn, peer))
    }

    /// What the broker grants to the sender of `connect`.
    fn granted(&self, connect: &Connect) -> Granted<'_> {
        let of_3_1_1 = self.options.session_expiry_interval_3_1_1;
        let asked = session_expiry_asked(connect, of_3_1_1);
        Granted {
            session_expiry_interval: asked.min(self.limits().session_expiry_interval),
            session_expiry_asked: asked,
            keep_alive: Agreement::granted_keep_alive(connect, self.options.server_keep_alive),
            response_base: self.options.response_information.as_ref(),
            server_id: self.options.server_id.as_ref(),
            limits: &self.options.limits,
        }
    }

    /// The identifier of the sender of `connect`: its own, or a new one.
    fn client_id(&mut self, connect: &Connect) -> Result<ClientId, CloseCause> {
        if let Some(client_id) = client_id_asked(connect)? {
            return Ok(client_id);
        }
        loop {
            self.assigned += 1;
            let random = FixedState::with_seed(self.options.seed).hash_one(self.assigned);
            let text = Utf8String::try_from(format!("beaconry-{random:016x}"));
            // [MQTT-3.2.2-16]
            if let Ok(text) = text
                && self.sessions.find(&text).is_none()
            {
                return Ok(ClientId::assigned(text));
            }
        }
    }

    /// Closes the session's present connection in favour of the one in slot `by`
    /// `[MQTT-3.1.4-3]`.
    ///
    /// If the Session Expiry Interval is 0, the session ends with its connection, and the new
    /// connection finds none.
    fn take_over(&mut self, now: Instant, id: SessionId, by: Slot) {
        let slot = self.sessions.get(id).and_then(Session::slot);
        if let Some(slot) = slot
            && let Some(by) = self.connections.get(by)
        {
            let by = by.conn();
            self.metrics.takeovers += 1;
            self.close(now, slot, CloseCause::TakenOver { by });
            self.settle(now);
        }
    }
}
