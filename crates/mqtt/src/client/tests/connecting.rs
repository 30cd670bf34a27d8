//! CONNECT, CONNACK, refusals, versions, reconnection.

use super::*;
use crate::packet::{Disconnect, Will, WillProperties};

#[test]
fn mqtt_3_1_0_1_connect_comes_first_and_follows_the_options() {
    let will = Will {
        topic: topic("fleet/pump-7/gone"),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::ExactlyOnce,
        retain: true,
        properties: WillProperties::default(),
    };
    let mut bench = Bench::new(ClientOptions {
        will: Some(will.clone()),
        user_name: Some(Utf8String::from_static("ann")),
        password: Some(Bytes::from_static(b"secret")),
        receive_maximum: 0,
        ..options()
    });
    assert_eq!(bench.events(), [Event::OpenTransport]);
    assert_eq!(bench.sent(), [], "nothing before the transport is open");
    let connect = bench.open();
    assert!(connect.clean_start);
    assert_eq!(connect.keep_alive, 60);
    assert_eq!(connect.will, Some(will));
    assert_eq!(connect.user_name.as_deref(), Some("ann"));
    assert_eq!(connect.password.as_deref(), Some(&b"secret"[..]));
    assert_eq!(connect.properties.receive_maximum, Some(1));
    assert_eq!(connect.properties.session_expiry_interval, Some(300));
    bench.publish(QoS::AtLeastOnce, "early");
    assert_eq!(bench.sent(), [], "nothing before CONNACK");
}

#[test]
fn the_password_is_not_in_a_log() {
    let options = ClientOptions {
        password: Some(Bytes::from_static(b"secret")),
        ..options()
    };
    assert!(!alloc::format!("{options:?}").contains("secret"));
}

#[test]
fn mqtt_3_2_0_1_anything_before_connack_ends_the_attempt() {
    let mut bench = Bench::new(options());
    bench.open();
    assert!(bench.try_feed(&Packet::PingResp).is_err());
    assert!(matches!(bench.client.state(), State::Waiting { .. }));
}

#[test]
fn mqtt_3_2_2_2_session_present_after_a_clean_start_is_refused() {
    let mut bench = Bench::new(options());
    bench.open();
    let connack = ConnAck::new(true, ReasonCode::Success);
    let error = bench.try_feed(&Packet::ConnAck(connack)).unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
}

#[test]
fn mqtt_3_1_2_4_only_the_first_connection_starts_clean() {
    let mut bench = Bench::new(options());
    assert!(bench.connect(|_| {}).clean_start);
    assert!(!bench.reconnect(true).clean_start);
    let mut old = Bench::new(ClientOptions {
        session_expiry_interval: 0,
        ..options_3_1_1()
    });
    old.connect(|_| {});
    assert!(old.reconnect(false).clean_start, "its session ends with it");
}

#[test]
fn mqtt_3_1_3_6_an_assigned_client_id_is_kept() {
    let mut bench = Bench::connected_as(ClientOptions::new(Utf8String::default()), |connack| {
        let given = Utf8String::from_static("given-42");
        connack.properties.assigned_client_identifier = Some(given);
    });
    assert_eq!(bench.client.client_id(), "given-42");
    assert_eq!(bench.reconnect(true).client_id, "given-42");
}

#[test]
fn an_old_server_that_says_so_is_spoken_to_in_its_version() {
    let mut bench = Bench::new(options());
    assert_eq!(bench.open().version, ProtocolVersion::V5);
    // Return code 1, "unacceptable protocol version", as version 3.1.1 writes it.
    let refusal = Bytes::from_static(&[0x20, 0x02, 0x00, 0x01]);
    let _ = bench.client.handle_input(bench.now, refusal);
    assert!(bench.events().contains(&Event::OpenTransport), "at once");
    assert_eq!(bench.connect(|_| {}).version, ProtocolVersion::V3_1_1);
    let again = bench.reconnect(false);
    assert_eq!(again.version, ProtocolVersion::V3_1_1, "and from then on");
}

#[test]
fn an_old_server_that_hangs_up_is_spoken_to_in_its_version_once() {
    let mut bench = Bench::new(options());
    bench.open();
    bench.client.handle_transport_closed(bench.now);
    assert!(bench.events().contains(&Event::OpenTransport), "at once");
    assert_eq!(bench.open().version, ProtocolVersion::V3_1_1);
    bench.client.handle_transport_closed(bench.now);
    assert!(matches!(bench.client.state(), State::Waiting { .. }));
    assert_eq!(bench.retry(false).version, ProtocolVersion::V5);
    bench.client.handle_transport_closed(bench.now);
    bench.wait(Duration::from_mins(1));
    bench.open();
    bench.client.handle_transport_closed(bench.now);
    let state = bench.client.state();
    assert!(
        matches!(state, State::Waiting { .. }),
        "version 5 is known to work"
    );
}

#[test]
fn a_version_that_was_only_assumed_is_not_for_ever() {
    let mut bench = Bench::new(options());
    bench.open();
    bench.client.handle_transport_closed(bench.now);
    assert_eq!(bench.connect(|_| {}).version, ProtocolVersion::V3_1_1);
    assert_eq!(bench.reconnect(false).version, ProtocolVersion::V5);
    assert_eq!(bench.reconnect(true).version, ProtocolVersion::V5);
}

#[test]
fn without_fall_back_a_refused_version_is_the_end() {
    let mut bench = Bench::new(ClientOptions {
        fall_back: false,
        ..options()
    });
    bench.open();
    refuse(&mut bench, ReasonCode::UnsupportedProtocolVersion);
    assert!(matches!(bench.client.state(), State::Stopped { .. }));
    assert_eq!(bench.client.poll_timeout(), None);
}

#[test]
fn mqtt_3_2_2_bad_credentials_stop_until_there_are_others() {
    for reason_code in [ReasonCode::BadUserNameOrPassword, ReasonCode::NotAuthorized] {
        let mut bench = Bench::new(options());
        bench.open();
        refuse(&mut bench, reason_code);
        assert_eq!(
            bench.client.state(),
            &State::CredentialsNeeded { reason_code }
        );
        assert!(
            bench
                .events()
                .contains(&Event::CredentialsNeeded { reason_code })
        );
        bench.wait(Duration::from_hours(1));
        bench.client.reconnect_now(bench.now);
        assert_eq!(bench.events(), []);
        let password = Some(Bytes::from_static(b"right"));
        bench.client.set_credentials(bench.now, None, password);
        assert_eq!(bench.events(), [Event::OpenTransport]);
        assert_eq!(bench.open().password.as_deref(), Some(&b"right"[..]));
    }
}

#[test]
fn mqtt_3_1_2_22_of_3_1_1_no_password_without_a_user_name() {
    let mut bench = Bench::new(ClientOptions {
        password: Some(Bytes::from_static(b"token")),
        ..options_3_1_1()
    });
    assert_eq!(bench.open().user_name.as_deref(), Some(""));
}

#[test]
fn a_busy_server_is_asked_again_less_and_less_often() {
    let mut bench = Bench::new(options());
    let mut last = Duration::ZERO;
    for attempt in 1..=4 {
        bench.open();
        refuse(&mut bench, ReasonCode::ServerBusy);
        let State::Waiting {
            until, attempt: n, ..
        } = *bench.client.state()
        else {
            panic!("{:?}", bench.client.state());
        };
        assert_eq!(n, attempt);
        assert!(until - bench.now > last / 2);
        last = until - bench.now;
        bench.now = until;
        bench.client.handle_timeout(until);
    }
    assert!(last >= Duration::from_secs(4));
}

#[test]
fn a_final_refusal_stops_the_client_and_the_button_tries_again() {
    let mut bench = Bench::new(options());
    bench.open();
    refuse(&mut bench, ReasonCode::ClientIdentifierNotValid);
    assert!(matches!(bench.client.state(), State::Stopped { .. }));
    bench.events();
    bench.client.reconnect_now(bench.now);
    assert_eq!(bench.events(), [Event::OpenTransport]);
}

#[test]
fn a_session_that_was_taken_over_is_not_fought_for() {
    let mut bench = Bench::connected(options());
    bench.feed(Packet::Disconnect(Disconnect::new(
        ReasonCode::SessionTakenOver,
    )));
    assert!(matches!(bench.client.state(), State::Stopped { .. }));
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_server_that_shuts_down_is_come_back_to() {
    let mut bench = Bench::connected(options());
    bench.feed(Packet::Disconnect(Disconnect::new(
        ReasonCode::ServerShuttingDown,
    )));
    let events = bench.events();
    assert_eq!(events[0], Event::CloseTransport);
    assert!(matches!(
        &events[1],
        Event::Disconnected { why: DisconnectCause::ByServer(reason), retry_at: Some(_) }
            if reason.reason_code == ReasonCode::ServerShuttingDown
    ));
}

#[test]
fn a_session_whose_queue_was_full_is_not_resumed() {
    let mut bench = Bench::connected(options());
    assert!(
        !bench.reconnect(true).clean_start,
        "it is resumed otherwise"
    );
    bench.feed(Packet::Disconnect(Disconnect::new(
        ReasonCode::QuotaExceeded,
    )));
    assert!(matches!(bench.client.state(), State::Waiting { .. }));
    assert!(bench.retry(false).clean_start);
    assert!(!bench.reconnect(true).clean_start, "the new one is resumed");
}

#[test]
fn a_suspended_client_ends_its_session_and_begins_anew_when_it_is_asked_to() {
    for (options, expiry) in [
        (options(), Some(0)),
        (options_3_1_1(), None),
        (
            ClientOptions {
                session_expiry_interval: 0,
                ..options()
            },
            None,
        ),
    ] {
        let mut bench = Bench::connected(options);
        bench.reconnect(false);
        bench.publish(QoS::AtLeastOnce, "not answered");
        assert_eq!(bench.sent().len(), 1);
        bench.client.suspend(bench.now);
        let mut goodbye = Disconnect::new(ReasonCode::Success);
        goodbye.properties.session_expiry_interval = expiry;
        assert_eq!(bench.sent(), [Packet::Disconnect(goodbye)]);
        let end = Event::Disconnected {
            why: DisconnectCause::Suspended,
            retry_at: None,
        };
        assert_eq!(bench.events(), [Event::CloseTransport, end]);
        bench.wait(Duration::from_hours(1));
        assert_eq!(bench.events(), [], "it does nothing by itself");

        bench.client.reconnect_now(bench.now);
        assert!(bench.connect(|_| {}).clean_start);
        assert_eq!(payloads(&bench.sent_publishes()), [b"not answered"]);
    }
}

#[test]
fn a_client_that_waits_or_connects_is_suspended_too() {
    let mut bench = Bench::new(options());
    bench.events();
    bench.client.suspend(bench.now);
    assert_eq!(bench.sent(), []);
    assert!(matches!(bench.client.state(), State::Stopped { .. }));
    bench.events();
    bench.client.reconnect_now(bench.now);
    assert_eq!(bench.events(), [Event::OpenTransport]);
    bench.client.handle_transport_closed(bench.now);
    assert!(matches!(bench.client.state(), State::Waiting { .. }));
    bench.client.suspend(bench.now);
    assert_eq!(bench.client.poll_timeout(), None);
}

#[test]
fn mqtt_4_12_0_an_unrequested_auth_is_refused() {
    let mut bench = Bench::connected(options());
    let auth = crate::packet::Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        properties: crate::packet::AuthProperties {
            authentication_method: Some(Utf8String::from_static("SCRAM")),
            ..Default::default()
        },
    };
    assert!(bench.try_feed(&Packet::Auth(auth)).is_err());
    let goodbye = Disconnect::new(ReasonCode::ProtocolError);
    assert_eq!(bench.sent(), [Packet::Disconnect(goodbye)]);
}

#[test]
fn mqtt_3_2_0_2_a_second_connack_is_refused() {
    let mut bench = Bench::connected(options());
    let connack = ConnAck::new(false, ReasonCode::Success);
    assert!(bench.try_feed(&Packet::ConnAck(connack)).is_err());
}

#[test]
fn mqtt_3_1_2_24_a_packet_larger_than_announced_is_refused() {
    let mut bench = Bench::connected(ClientOptions {
        maximum_packet_size: 64,
        ..options()
    });
    let large = Publish::new(topic("a"), alloc::vec![0; 64]);
    let error = bench.try_feed(&Packet::Publish(large)).unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
    let goodbye = Disconnect::new(ReasonCode::PacketTooLarge);
    assert_eq!(bench.sent(), [Packet::Disconnect(goodbye)]);
}

#[test]
fn mqtt_3_14_4_1_nothing_follows_disconnect() {
    let mut bench = Bench::connected(options());
    bench.publish(QoS::AtLeastOnce, "last");
    bench.client.disconnect(bench.now, ReasonCode::Success);
    let sent = bench.sent();
    assert!(matches!(sent[0], Packet::Publish(_)));
    assert_eq!(
        sent[1],
        Packet::Disconnect(Disconnect::new(ReasonCode::Success))
    );
    assert_eq!(sent.len(), 2);
    let end = Event::Disconnected {
        why: DisconnectCause::Requested,
        retry_at: None,
    };
    assert_eq!(bench.events(), [Event::CloseTransport, end]);
    let refused = bench
        .client
        .publish(bench.now, message(QoS::AtMostOnce, ""));
    assert_eq!(refused, Err(PublishError::Stopped));
    bench.client.reconnect_now(bench.now);
    assert_eq!(bench.events(), [], "for good");
}

#[test]
fn mqtt_3_14_4_3_of_3_1_1_a_will_that_is_to_speak_gets_no_disconnect() {
    let mut bench = Bench::connected(options_3_1_1());
    let reason_code = ReasonCode::DisconnectWithWill;
    bench.client.disconnect(bench.now, reason_code);
    assert_eq!(bench.sent(), []);
    let mut bench = Bench::connected(options());
    bench.client.disconnect(bench.now, reason_code);
    assert_eq!(
        bench.sent(),
        [Packet::Disconnect(Disconnect::new(reason_code))]
    );
}

#[test]
fn connect_and_disconnect_carry_what_the_application_adds() {
    let property = (
        Utf8String::from_static("site"),
        Utf8String::from_static("7"),
    );
    let added = |options: ClientOptions| ClientOptions {
        request_response_information: Some(true),
        request_problem_information: Some(false),
        user_properties: alloc::vec![property.clone()],
        ..options
    };
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.properties.user_properties = alloc::vec![property.clone()];
    disconnect.properties.reason_string = Some(Utf8String::from_static("done"));

    let mut bench = Bench::new(added(options()));
    let connect = bench.open();
    assert_eq!(connect.properties.request_response_information, Some(true));
    assert_eq!(connect.properties.request_problem_information, Some(false));
    assert_eq!(connect.properties.user_properties.first(), Some(&property));

    let mut bench = Bench::connected(added(options()));
    bench.client.disconnect_with(bench.now, disconnect.clone());
    assert_eq!(bench.sent(), [Packet::Disconnect(disconnect.clone())]);

    // Version 3.1.1 has no properties.
    let mut bench = Bench::connected(added(options_3_1_1()));
    bench.client.disconnect_with(bench.now, disconnect);
    let plain = Disconnect::new(ReasonCode::Success);
    assert_eq!(bench.sent(), [Packet::Disconnect(plain)]);
}

/// Found by fuzzing. A server refuses a packet that holds such a code.
#[test]
fn mqtt_3_14_2_1_a_servers_code_becomes_an_unspecified_error() {
    for reason_code in [ReasonCode::SessionTakenOver, ReasonCode::GrantedQoS1] {
        let mut bench = Bench::connected(options());
        bench.client.disconnect(bench.now, reason_code);
        let said = Packet::Disconnect(Disconnect::new(ReasonCode::UnspecifiedError));
        assert_eq!(bench.sent(), [said]);
    }
}

#[test]
fn a_transport_that_does_not_open_is_given_up_in_time() {
    let mut bench = Bench::new(options());
    assert_eq!(
        bench.client.poll_timeout(),
        Some((Instant::from_millis(15_000), Timer::Connect))
    );
    bench.events();
    bench.wait(Duration::from_secs(15));
    let events = bench.events();
    assert_eq!(events[0], Event::CloseTransport);
    assert!(matches!(
        events[1],
        Event::Disconnected {
            why: DisconnectCause::ConnectTimeout,
            retry_at: Some(_)
        }
    ));
}

#[test]
fn options_that_make_no_connect_stop_with_a_word() {
    let mut bench = Bench::new(ClientOptions {
        password: Some(Bytes::from(alloc::vec![0; 70_000])),
        ..options()
    });
    bench.client.handle_transport_open(bench.now);
    assert!(matches!(
        bench.client.state(),
        State::Stopped {
            why: DisconnectCause::NotEncodable(_)
        }
    ));
}

fn refuse(bench: &mut Bench, reason_code: ReasonCode) {
    bench.feed(Packet::ConnAck(ConnAck::new(false, reason_code)));
}
