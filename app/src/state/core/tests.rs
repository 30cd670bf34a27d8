use super::*;
use crate::state::server::order::Order;
use api::fleet::Change;
use fleet::{CommandState, Presence, PresenceKind};
use mqtt::client::{Client, ClientOptions};
use mqtt::{Instant, ReasonCode, Utf8String};

const NOW: Timestamp = Timestamp(1_795_233_600_000);

fn message(topic: &str, payload: &str) -> Publish {
    Publish::new(TopicName::try_from(topic).unwrap(), payload.to_owned())
}

fn with_device() -> (Core, DeviceKey) {
    let mut core = Core::new();
    core.handle_message(NOW, &message("beaconry/register/pump-1", "SIGN_IN"));
    core.handle_message(NOW, &message("beaconry/data/pump-1", "{\"flow\":1.5}"));
    core.fold();
    let key = core.fleet().find("pump-1").unwrap();
    (core, key)
}

fn changed(changes: &Changes, key: DeviceKey) -> Changed {
    let mut devices = changes.devices.iter();
    devices.find(|(device, _)| *device == key).unwrap().1
}

fn state(core: &Core, key: DeviceKey, uuid: &str) -> CommandState {
    let device = core.fleet().device(key).unwrap();
    device.command(uuid).unwrap().state().clone()
}

#[test]
fn what_the_broker_left_out_of_the_open_device_is_counted() {
    let (mut core, key) = with_device();
    let mut publish = message("beaconry/data/pump-1", "{\"flow\":2}");
    let (name, count) = ("beaconry-skipped", "41");
    let told = (
        Utf8String::from_static(name),
        Utf8String::from_static(count),
    );
    publish.properties.user_properties.push(told);
    core.handle_message(NOW, &publish);
    assert_eq!((core.skipped(), core.skipped_of(key)), (41, 0), "a card");
    core.open(key);
    core.handle_message(NOW, &publish);
    core.handle_message(NOW, &message("beaconry/data/pump-1", "{\"flow\":3}"));
    assert_eq!((core.skipped(), core.skipped_of(key)), (82, 41));
}

#[test]
fn a_fault_may_change_what_a_search_finds() {
    let (mut core, _) = with_device();
    core.take_changes();
    core.handle_message(NOW, &message("beaconry/data/pump-1", "{nonsense"));
    core.fold();
    assert!(core.take_changes().list.values);
}

#[test]
fn a_burst_is_one_change_and_all_its_readings() {
    let (mut core, key) = with_device();
    core.take_changes();
    for index in 0..1_000 {
        let at = NOW.plus_ms(i64::from(index));
        let payload = format!("{{\"flow\":{index}}}");
        core.handle_message(at, &message("beaconry/data/pump-1", &payload));
    }
    core.fold();
    let changes = core.take_changes();
    assert_eq!(changes.devices.len(), 1);
    assert!(changes.devices[0].1.samples && changes.devices[0].1.view);
    let expected = ListChanges {
        values: true,
        ..ListChanges::default()
    };
    assert_eq!(changes.list, expected, "presence is what it was");
    assert!(!core.has_changes());
    let (metric, _) = core
        .fleet()
        .device(key)
        .unwrap()
        .metric_named("flow")
        .unwrap();
    let series = core.series().series(key, metric).unwrap();
    assert_eq!(series.values().last(), Some(&999.0));
}

#[test]
fn raw_messages_are_kept_of_open_devices_only() {
    let (mut core, key) = with_device();
    assert!(core.messages(key).is_none());
    core.open(key);
    core.handle_message(NOW, &message("beaconry/data/pump-1", "{not json"));
    core.handle_message(NOW, &message("beaconry/data/pump-2", "{\"flow\":1}"));
    assert_eq!(core.messages(key).unwrap().len(), 1);
    core.fold();
    let changes = core.take_changes();
    assert!(changed(&changes, key).messages);
    core.open(key);
    core.close(key);
    assert!(core.messages(key).is_some(), "one still looks");
    core.close(key);
    assert!(core.messages(key).is_none());
}

#[test]
fn a_forgotten_device_leaves_nothing_and_comes_back_as_another() {
    let (mut core, key) = with_device();
    core.open(key);
    core.command(NOW, key, "u", CommandRequest::Named("PING"))
        .unwrap();
    core.handle_message(NOW, &message("beaconry/data/pump-1", "{\"flow\":2}"));
    core.fold();
    core.take_changes();
    core.forget(key);
    let changes = core.take_changes();
    assert!(changes.list.devices);
    assert_eq!(changed(&changes, key), Changed::ALL);
    assert!(core.messages(key).is_none() && core.fleet().is_empty());
    assert_eq!(core.series().bytes(), 0);

    let mut retained = message("beaconry/register/pump-1", "SIGN_IN");
    retained.retain = true;
    core.handle_message(NOW, &retained);
    assert!(core.fleet().is_empty());
    core.handle_message(NOW, &message("beaconry/data/pump-1", "{\"flow\":3}"));
    core.fold();
    let changes = core.take_changes();
    assert!(changes.list.devices);
    assert_ne!(core.fleet().find("pump-1"), Some(key));
    // The old device's page closes when it learns that the device is gone.
    core.close(key);
}

#[test]
fn presence_makes_the_list_new_and_an_outage_leaves_nothing_known() {
    let (mut core, key) = with_device();
    assert!(core.take_changes().list.presence);
    core.handle_disconnected(NOW);
    assert!(core.take_changes().list.presence);
    let kind = |core: &Core| core.fleet().device(key).unwrap().presence().kind();
    assert_eq!(kind(&core), PresenceKind::Unknown);
    core.handle_connected(NOW);
    core.handle_message(NOW, &message("beaconry/data/pump-1", "{\"flow\":2}"));
    core.fold();
    assert_eq!(kind(&core), PresenceKind::Online);
}

/// The id of a publication in a client that is not connected, so that it waits there.
fn publish_id(publish: Publish) -> PublishId {
    let options = ClientOptions::new(Utf8String::from_static("test"));
    let mut client = Client::new(Instant::ZERO, options);
    client.publish(Instant::ZERO, publish).unwrap()
}

#[test]
fn a_command_goes_from_queued_to_answered() {
    let (mut core, key) = with_device();
    core.take_changes();
    let publish = core
        .command(NOW, key, "u-1", CommandRequest::Named("PING"))
        .unwrap();
    assert_eq!(publish.qos, QoS::ExactlyOnce);
    assert!(!publish.retain);
    assert_eq!(publish.topic.as_deref(), Some("beaconry/cmd/req/pump-1"));
    let properties = &publish.properties;
    assert_eq!(
        properties.response_topic.as_deref(),
        Some("beaconry/cmd/resp/pump-1")
    );
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"u-1"[..]));
    assert_eq!(properties.message_expiry_interval, Some(COMMAND_EXPIRY));
    assert!(changed(&core.take_changes(), key).commands);

    let id = publish_id(publish);
    core.command_published(NOW, id, key, "u-1", false);
    assert_eq!(state(&core, key, "u-1"), CommandState::Queued);
    core.handle_connected(NOW.plus_ms(100));
    assert_eq!(state(&core, key, "u-1"), CommandState::Sent);
    let acknowledged = PublishOutcome::Acknowledged(ReasonCode::Success);
    core.handle_published(NOW.plus_ms(110), id, &acknowledged);
    assert_eq!(state(&core, key, "u-1"), CommandState::Pending);
    let answer = r#"{"deviceId":"pump-1","messageType":"commandResp","commandResult":"PONG","uuid":"u-1","command":"PING"}"#;
    core.handle_message(
        NOW.plus_ms(140),
        &message("beaconry/cmd/resp/pump-1", answer),
    );
    core.fold();
    let CommandState::Answered { after_ms, ok, .. } = state(&core, key, "u-1") else {
        panic!("not answered");
    };
    assert_eq!((after_ms, ok), (Some(40), true));
    assert!(changed(&core.take_changes(), key).commands);
}

#[test]
fn a_command_that_could_not_go_says_why() {
    let (mut core, key) = with_device();
    let mut send = |uuid: &str, outcome: PublishOutcome| {
        let publish = core.command(NOW, key, uuid, CommandRequest::Named("PING"));
        let id = publish_id(publish.unwrap());
        core.command_published(NOW, id, key, uuid, false);
        core.handle_published(NOW, id, &outcome);
        match state(&core, key, uuid) {
            CommandState::Failed { why, .. } => why.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let expired = send("u-1", PublishOutcome::Dropped(DropCause::Expired));
    assert_eq!(expired, "there was no connection in time");
    let refused = send("u-2", PublishOutcome::Refused(ReasonCode::NotAuthorized));
    assert_eq!(refused, "the broker refused it: not authorized (0x87)");
    let not_an_object = core.command(NOW, key, "u-3", CommandRequest::Json("[1]"));
    assert!(not_an_object.unwrap_err().starts_with("not a JSON object"));
}

#[test]
fn a_command_without_an_answer_times_out() {
    let (mut core, key) = with_device();
    let publish = core.command(NOW, key, "u-1", CommandRequest::Named("PING"));
    let id = publish_id(publish.unwrap());
    core.command_published(NOW, id, key, "u-1", true);
    // Punctual calls, as the page's ticker makes them.
    for second in 1..=40 {
        core.handle_timeout(NOW.plus_ms(second * 1_000));
    }
    assert!(matches!(
        state(&core, key, "u-1"),
        CommandState::TimedOut { .. }
    ));
}

/// What the server says about `pump-1` once it has heard these messages.
fn described(messages: &[(&str, &str)]) -> api::fleet::Device {
    let mut core = Core::new();
    for (topic, payload) in messages {
        core.handle_message(NOW, &message(topic, payload));
    }
    let key = core.fleet().find("pump-1").unwrap();
    core.fleet().describe(key).unwrap()
}

#[test]
fn an_answer_that_is_older_than_the_stream_adds_values_and_undoes_nothing() {
    let online = described(&[
        ("beaconry/register/pump-1", "SIGN_IN"),
        ("beaconry/data/pump-1", "{\"flow\":1.5}"),
    ]);
    let offline = described(&[("beaconry/register/pump-1", "SIGN_OUT")]);
    let mut core = Core::new();
    core.set_follows(true);
    core.handle_connected(NOW);
    let mut order = Order::default();
    let asked = order.begin();
    let change = Change::Device {
        device: Box::new(offline),
    };
    let (id, told) = Core::told(&change).unwrap();
    order.note(id, told);
    core.adopt_change(NOW, &change);
    core.adopt_answer(NOW, std::slice::from_ref(&online), &order, &asked);
    let key = core.fleet().find("pump-1").unwrap();
    let device = core.fleet().device(key).unwrap();
    assert_eq!(device.presence().kind(), PresenceKind::Offline);
    assert!(device.metric_named("flow").is_some());

    let gone = Change::Gone {
        id: online.id.clone(),
    };
    let (id, told) = Core::told(&gone).unwrap();
    order.note(id, told);
    core.adopt_change(NOW, &gone);
    core.adopt_answer(NOW, std::slice::from_ref(&online), &order, &asked);
    assert_eq!(core.fleet().find("pump-1"), None, "it is no ghost");

    let asked = order.begin();
    core.adopt_answer(NOW, &[online], &order, &asked);
    let key = core.fleet().find("pump-1").unwrap();
    let presence = core.fleet().device(key).unwrap().presence();
    assert_eq!(presence.kind(), PresenceKind::Online, "this one is newer");
}

#[test]
fn while_there_is_no_connection_no_reason_says_that_it_came_back() {
    let (mut core, key) = with_device();
    core.handle_connected(NOW);
    core.handle_disconnected(NOW.plus_ms(1));
    let device = core.fleet().device(key).unwrap();
    let Presence::Unknown { reason, .. } = device.presence() else {
        panic!("{:?}", device.presence());
    };
    assert_eq!(reason.message(), "not heard since the connection was lost");
}
