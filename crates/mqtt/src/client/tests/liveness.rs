//! Keep alive, sleep, probes.

use super::*;

#[test]
fn mqtt_3_1_2_20_pings_in_time_and_takes_any_answer() {
    let mut bench = Bench::connected(options());
    assert_eq!(bench.client.poll_timeout().unwrap().1, Timer::KeepAlive);
    bench.wait(Duration::from_secs(45));
    assert_eq!(bench.sent(), [Packet::PingReq]);
    assert_eq!(bench.client.poll_timeout().unwrap().1, Timer::PingResponse);
    bench.wait(Duration::from_secs(1));
    bench.feed(Packet::PingResp);
    assert_eq!(bench.client.poll_timeout().unwrap().1, Timer::KeepAlive);
    assert!(bench.client.state().is_connected());
}

#[test]
fn mqtt_3_1_2_21_the_servers_keep_alive_counts() {
    let bench = Bench::connected_as(options(), |connack| {
        connack.properties.server_keep_alive = Some(20);
    });
    let expected = (Instant::from_millis(15_000), Timer::KeepAlive);
    assert_eq!(bench.client.poll_timeout(), Some(expected));
}

#[test]
fn no_answer_to_a_ping_ends_the_connection() {
    let mut bench = Bench::connected(options());
    bench.wait(Duration::from_secs(45));
    bench.sent();
    bench.wait(Duration::from_secs(10));
    let events = bench.events();
    assert_eq!(events[0], Event::CloseTransport);
    assert!(matches!(
        events[1],
        Event::Disconnected {
            why: DisconnectCause::PingTimeout,
            retry_at: Some(_)
        }
    ));
}

#[test]
fn mqtt_3_1_2_22_after_a_sleep_a_new_connection_is_made_at_once() {
    let wakes: [fn(&mut Bench); 4] = [
        |bench| bench.client.handle_timeout(bench.now),
        |bench| bench.try_feed(&Packet::PingResp).unwrap(),
        |bench| bench.client.reconnect_now(bench.now),
        |bench| {
            bench.publish(QoS::AtMostOnce, "awake");
        },
    ];
    for wake in wakes {
        let mut bench = Bench::connected(options());
        bench.now = Instant::from_millis(3_600_000);
        wake(&mut bench);
        let end = Event::Disconnected {
            why: DisconnectCause::Slept,
            retry_at: Some(bench.now),
        };
        let expected = [Event::CloseTransport, end, Event::OpenTransport];
        assert_eq!(bench.events(), expected);
    }
}

#[test]
fn a_transport_that_reports_its_end_after_a_sleep_is_not_closed_again() {
    let mut bench = Bench::connected(options());
    bench.now = Instant::from_millis(3_600_000);
    bench.client.handle_transport_closed(bench.now);
    let end = Event::Disconnected {
        why: DisconnectCause::Slept,
        retry_at: Some(bench.now),
    };
    assert_eq!(bench.events(), [end, Event::OpenTransport]);
}

#[test]
fn reconnect_now_asks_a_connection_that_looks_open() {
    let mut bench = Bench::connected(options());
    bench.client.reconnect_now(bench.now);
    assert_eq!(bench.sent(), [Packet::PingReq]);
    bench.wait(Duration::from_secs(3));
    assert!(matches!(bench.client.state(), State::Waiting { .. }));
    bench.events();
    bench.client.reconnect_now(bench.now);
    assert_eq!(bench.events(), [Event::OpenTransport]);
}
