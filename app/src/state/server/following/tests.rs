use super::*;

const NOW: Instant = Instant::from_millis(1_000);

fn at(millis: u64) -> Instant {
    Instant::from_millis(1_000 + millis)
}

fn asks(following: &mut Following) -> Vec<Ask> {
    std::iter::from_fn(|| following.poll()).collect()
}

fn open(cursor: &str) -> Ask {
    Ask::OpenStream(cursor.to_owned())
}

// The calls read better so.
#[allow(clippy::unnecessary_wraps)]
fn named(id: &str) -> Result<String, HttpFailure> {
    Ok(id.to_owned())
}

/// An answer that may be another one the next time.
fn passing() -> NoList {
    HttpFailure::Status(502).into()
}

/// A page that follows, whose stream is open.
fn follower() -> Following {
    let mut following = Following::new(true);
    following.handle_server(NOW, named("s1"));
    following.handle_connected(Some("s1"));
    assert_eq!(asks(&mut following), [Ask::Server, Ask::Devices]);
    assert!(following.handle_devices(NOW, Ok("s1-7")));
    assert_eq!(asks(&mut following), [open("s1-7")]);
    assert_eq!(following.mode(), Mode::Follows);
    following
}

#[test]
fn equal_ids_are_combined_whichever_comes_first() {
    follower();
    let mut following = Following::new(true);
    following.handle_connected(Some("s1"));
    assert_eq!(asks(&mut following), [Ask::Server]);
    assert_eq!(following.mode(), Mode::Deciding);
    following.handle_server(NOW, named("s1"));
    assert_eq!(asks(&mut following), [Ask::Devices]);
    assert_eq!(
        following.mode(),
        Mode::Deciding,
        "the devices are not known"
    );
}

#[test]
fn any_other_broker_is_followed_by_nobody() {
    for (own, broker, server) in [
        (true, None, named("s1")),
        (true, Some(""), named("")),
        (false, Some("s2"), named("s1")),
        (false, Some("s2"), Err(HttpFailure::Status(404))),
        (false, Some("s2"), Err(HttpFailure::Status(502))),
        (false, Some("s2"), Err(HttpFailure::Unreachable)),
        (false, Some("s2"), Err(HttpFailure::TooLate)),
        (true, None, Err(HttpFailure::Unreachable)),
    ] {
        let mut following = Following::new(own);
        following.handle_server(NOW, server.clone());
        following.handle_connected(broker);
        // It may have been started again since it was asked.
        following.handle_server(NOW, server);
        assert_eq!(following.mode(), Mode::Alone);
        assert_eq!(following.trouble(), None);
        assert_eq!(following.poll_timeout(), None);
        assert!(!asks(&mut following).contains(&Ask::Devices));
    }
}

#[test]
fn a_server_that_was_started_again_is_followed_again() {
    let mut following = follower();
    following.handle_disconnected();
    assert_eq!(asks(&mut following), [Ask::CloseStream]);
    following.handle_connected(Some("s2"));
    assert_eq!(asks(&mut following), [Ask::Server]);
    assert_eq!(following.mode(), Mode::Deciding);
    following.handle_server(NOW, named("s2"));
    assert_eq!(asks(&mut following), [Ask::Devices]);
    assert!(following.handle_devices(NOW, Ok("s2-1")));
    assert_eq!(asks(&mut following), [open("s2-1")]);
}

#[test]
fn a_connection_that_comes_back_to_the_same_server_asks_for_the_devices_at_once() {
    let mut following = follower();
    following.handle_disconnected();
    assert!(!following.handle_devices(NOW, Ok("s1-9")), "nobody asked");
    following.handle_connected(Some("s1"));
    assert_eq!(asks(&mut following), [Ask::CloseStream, Ask::Devices]);
}

#[test]
fn a_list_that_cannot_be_read_is_told_and_tried_again_while_the_page_goes_on_alone() {
    let mut following = Following::new(true);
    following.handle_server(NOW, named("s1"));
    following.handle_connected(Some("s1"));
    let mut now = NOW;
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        asks(&mut following);
        assert!(!following.handle_devices(now, Err(&passing())));
        let mode = if wait < 8 {
            Mode::Deciding
        } else {
            Mode::Alone
        };
        assert_eq!(following.mode(), mode, "{wait}");
        assert!(following.trouble().unwrap().contains("502"));
        now = now + Duration::from_secs(wait);
        assert_eq!(following.poll_timeout(), Some(now));
        following.handle_timeout(now);
        assert_eq!(asks(&mut following), [Ask::Devices]);
    }
    assert!(following.handle_devices(now, Ok("s1-1")));
    assert_eq!(
        (following.mode(), following.trouble()),
        (Mode::Follows, None)
    );
}

#[test]
fn a_list_that_will_never_be_understood_is_given_up_at_once() {
    let mut following = Following::new(true);
    following.handle_server(NOW, named("s1"));
    following.handle_connected(Some("s1"));
    let never = NoList {
        why: "the answer is not understood".to_owned(),
        may_pass: false,
    };
    assert!(!following.handle_devices(NOW, Err(&never)));
    assert_eq!(following.mode(), Mode::Alone);
    assert!(following.trouble().unwrap().contains("not understood"));
    assert_eq!(following.poll_timeout(), Some(at(1_000)));
}

#[test]
fn a_server_that_is_just_starting_is_asked_again_who_it_is() {
    let mut following = Following::new(true);
    following.handle_server(NOW, Err(HttpFailure::Status(502)));
    following.handle_connected(Some("s1"));
    assert_eq!(asks(&mut following), [Ask::Server, Ask::Server]);
    let mut now = NOW;
    for wait in [1, 2, 4] {
        following.handle_server(now, Err(HttpFailure::Status(502)));
        assert_eq!(following.mode(), Mode::Deciding, "{wait}");
        assert!(following.trouble().unwrap().contains("502"));
        now = now + Duration::from_secs(wait);
        assert_eq!(following.poll_timeout(), Some(now));
        following.handle_timeout(now);
        assert_eq!(asks(&mut following), [Ask::Server]);
    }
    following.handle_server(now, Err(HttpFailure::Status(502)));
    assert_eq!(following.mode(), Mode::Alone);
    now = following.poll_timeout().unwrap();
    following.handle_timeout(now);
    following.handle_server(now, named("s1"));
    assert_eq!(asks(&mut following), [Ask::Server, Ask::Devices]);
}

#[test]
fn devices_that_cannot_be_read_anew_are_asked_for_again_while_the_page_keeps_what_it_has() {
    let mut following = follower();
    following.handle_changes(NOW, "s1-90", true);
    asks(&mut following);
    let mut now = NOW;
    for wait in [1, 2, 4] {
        assert!(!following.handle_devices(now, Err(&passing())));
        assert!(!following.handle_devices(now, Ok("s1-1")), "nobody asked");
        assert_eq!(following.mode(), Mode::Follows);
        assert!(following.trouble().unwrap().contains("knew before"));
        now = now + Duration::from_secs(wait);
        assert_eq!(following.poll_timeout(), Some(now));
        following.handle_timeout(now);
        assert_eq!(asks(&mut following), [Ask::Devices]);
    }
    assert!(following.handle_devices(now, Ok("s1-95")));
    assert_eq!(asks(&mut following), [open("s1-95")]);
    assert_eq!(following.trouble(), None);
}

#[test]
fn devices_that_stay_unreadable_are_given_up() {
    let mut following = follower();
    following.handle_changes(NOW, "s1-90", true);
    let mut now = NOW;
    for _ in 0..Following::RETRIES {
        assert!(!following.handle_devices(now, Err(&passing())));
        now = following.poll_timeout().unwrap();
        following.handle_timeout(now);
    }
    assert!(!following.handle_devices(now, Err(&passing())));
    assert_eq!(following.mode(), Mode::Alone);
    assert!(following.trouble().unwrap().contains("what devices send"));
}

#[test]
fn an_api_that_is_not_passed_on_is_told_and_tried_again() {
    let mut following = Following::new(true);
    following.handle_connected(Some("s1"));
    following.handle_server(NOW, Err(HttpFailure::Status(404)));
    assert!(following.trouble().unwrap().contains("proxy"));
    assert_eq!(asks(&mut following), [Ask::Server]);
    following.handle_timeout(at(1_000));
    assert_eq!(asks(&mut following), [Ask::Server]);
    following.handle_server(at(1_000), Err(HttpFailure::Status(404)));
    assert_eq!(following.poll_timeout(), Some(at(3_000)));
    following.handle_timeout(at(3_000));
    following.handle_server(at(3_000), named("s1"));
    assert_eq!(asks(&mut following), [Ask::Server, Ask::Devices]);
    assert!(following.handle_devices(at(3_000), Ok("s1-1")));
    assert_eq!(following.mode(), Mode::Follows);
}

#[test]
fn a_broken_stream_goes_on_behind_the_last_change() {
    let mut following = follower();
    following.handle_changes(NOW, "s1-8", false);
    following.handle_stream_ended(NOW);
    assert_eq!(asks(&mut following), []);
    assert_eq!(following.poll_timeout(), Some(at(1_000)));
    following.handle_timeout(at(999));
    assert_eq!(asks(&mut following), []);
    following.handle_timeout(at(1_000));
    assert_eq!(asks(&mut following), [open("s1-8")]);
}

#[test]
fn a_stream_that_never_holds_is_given_up_and_the_list_is_tried() {
    let mut following = follower();
    let mut now = NOW;
    for _ in 0..Following::STREAM_FAILURES {
        following.handle_stream_ended(now);
        assert_eq!(following.mode(), Mode::Follows);
        now = following.poll_timeout().unwrap();
        following.handle_timeout(now);
    }
    following.handle_stream_ended(now);
    assert_eq!(following.mode(), Mode::Alone);
    assert!(following.trouble().is_some());
    now = following.poll_timeout().unwrap();
    asks(&mut following);
    following.handle_timeout(now);
    assert_eq!(asks(&mut following), [Ask::Devices]);
}

#[test]
fn a_stream_that_has_gone_silent_is_opened_again_behind_the_last_change() {
    let mut following = follower();
    following.handle_stream_opened(at(2_000));
    following.handle_changes(at(5_000), "s1-8", false);
    following.handle_beat(at(20_000));
    following.handle_timeout(at(59_999));
    assert_eq!(asks(&mut following), []);
    assert_eq!(following.poll_timeout(), Some(at(60_000)));
    following.handle_timeout(at(60_000));
    assert_eq!(asks(&mut following), [Ask::CloseStream]);
    assert_eq!(following.mode(), Mode::Follows);
    following.handle_timeout(at(61_000));
    assert_eq!(asks(&mut following), [open("s1-8")]);
    // It may hang while it opens, too.
    following.handle_timeout(at(101_000));
    assert_eq!(asks(&mut following), [Ask::CloseStream]);
}

#[test]
fn a_stream_that_is_always_silent_is_given_up_with_the_reason() {
    let mut following = follower();
    while following.mode() == Mode::Follows {
        let now = following.poll_timeout().unwrap();
        assert!(now < at(300_000), "it is never given up");
        following.handle_timeout(now);
        following.handle_stream_opened(now);
    }
    assert!(following.trouble().unwrap().contains("is silent"));
}

#[test]
fn breaks_far_apart_do_not_add_up() {
    let mut following = follower();
    let mut now = NOW;
    for _ in 0..3 * Following::STREAM_FAILURES {
        following.handle_stream_ended(now);
        assert_eq!(following.poll_timeout(), Some(now + Duration::from_secs(1)));
        now = now + Duration::from_secs(1);
        following.handle_timeout(now);
        following.handle_beat(now);
    }
    assert_eq!(following.mode(), Mode::Follows);
}

#[test]
fn changes_that_are_lost_are_made_up_for_by_the_list() {
    let mut following = follower();
    following.handle_changes(NOW, "s1-90", true);
    assert_eq!(asks(&mut following), [Ask::CloseStream, Ask::Devices]);
    assert_eq!(following.mode(), Mode::Follows);
    following.handle_changes(NOW, "s1-91", false);
    following.handle_stream_ended(NOW);
    assert!(following.handle_devices(NOW, Ok("s1-95")));
    assert_eq!(asks(&mut following), [open("s1-95")]);
}

#[test]
fn nobody_looks_for_ten_seconds_and_the_stream_rests() {
    let mut following = follower();
    following.handle_visibility(NOW, true);
    following.handle_visibility(at(4_000), true);
    following.handle_timeout(at(9_999));
    assert_eq!(asks(&mut following), []);
    following.handle_timeout(at(10_000));
    assert_eq!(asks(&mut following), [Ask::CloseStream]);
    assert_eq!(following.mode(), Mode::Follows);
    following.handle_visibility(at(60_000), false);
    assert_eq!(asks(&mut following), [open("s1-7")]);
    following.handle_visibility(at(61_000), true);
    following.handle_visibility(at(62_000), false);
    following.handle_timeout(at(90_000));
    assert_eq!(asks(&mut following), [], "it was only a glance elsewhere");
}

#[test]
fn a_page_that_is_opened_in_the_background_opens_its_stream_when_it_is_seen() {
    let mut following = Following::new(true);
    following.handle_visibility(NOW, true);
    following.handle_server(NOW, named("s1"));
    following.handle_connected(Some("s1"));
    assert!(following.handle_devices(NOW, Ok("s1-7")));
    assert_eq!(asks(&mut following), [Ask::Server, Ask::Devices]);
    following.handle_visibility(at(60_000), false);
    assert_eq!(asks(&mut following), [open("s1-7")]);
}
