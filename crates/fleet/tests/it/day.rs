//! A day of a thousand devices, held against what was really going on.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{Event, OfflineReason, Presence, PresenceKind};

/// How a device of the simulation behaves.
#[derive(Copy, Clone, PartialEq)]
enum Kind {
    /// Stays connected and sends every so many seconds.
    Steady(u32),
    /// Wakes for 5 s in every 15, signs in, sends, signs out.
    Duty,
    /// Sends until a certain second, then breaks off; its will speaks 90 s later.
    Dies(u32),
    /// Sends until a certain second, then falls silent and has no will.
    Silent(u32),
}

fn kind(index: u32) -> Kind {
    match index % 10 {
        0 => Kind::Duty,
        1 => Kind::Dies(20_000 + index * 10),
        2 => Kind::Silent(30_000 + index * 15),
        n => Kind::Steady(60 * n),
    }
}

#[test]
fn a_thousand_devices_for_a_day() {
    const DEVICES: u32 = 1000;
    const DAY: u32 = 86_400;
    let mut sim = Sim::new();
    let mut samples = 0u64;
    let mut sent = 0u64;
    for second in (0..DAY).step_by(5) {
        // Each second belongs to the devices of one phase, so that not all act at once.
        sim.until(f64::from(second));
        for index in 0..DEVICES {
            let (topic, id) = (|what: &str| format!("beaconry/{what}/d{index}"), index);
            let clock = (second + id * 5) % 900;
            let mut data = |sim: &mut Sim| {
                sent += 1;
                let payload = format!(
                    r#"{{"deviceId":"d{id}","messageType":"DATA","temp":{}}}"#,
                    second % 40
                );
                sim.publish(&topic("data"), payload);
            };
            if second == 0 && kind(id) != Kind::Duty {
                sim.publish(&topic("register"), "SIGN_IN");
            }
            match kind(id) {
                Kind::Steady(every) if (second + id * 5) % every == 0 => data(&mut sim),
                Kind::Dies(end) | Kind::Silent(end) if second < end && clock % 30 == 0 => {
                    data(&mut sim);
                }
                Kind::Dies(end) if second == end + 90 => {
                    sim.publish(&topic("register"), "SIGN_OUT");
                }
                // The hundred duty-cycled ones only for the last hours: they are many messages.
                Kind::Duty if second >= DAY - 7200 => match clock % 15 {
                    0 => {
                        sim.publish(&topic("register"), "SIGN_IN");
                        data(&mut sim);
                    }
                    5 => {
                        sim.publish(&topic("register"), "SIGN_OUT");
                    }
                    _ => {}
                },
                Kind::Steady(_) | Kind::Dies(_) | Kind::Silent(_) | Kind::Duty => {}
            }
        }
        if second % 600 == 0 {
            let polled = core::iter::from_fn(|| sim.fleet.poll_event());
            samples += polled
                .filter(|event| matches!(event, Event::Sample { .. }))
                .count() as u64;
            assert_consistent(&sim.fleet);
        }
    }
    let polled = core::iter::from_fn(|| sim.fleet.poll_event());
    samples += polled
        .filter(|event| matches!(event, Event::Sample { .. }))
        .count() as u64;
    assert_eq!(samples, sent, "each reading is drawn once");
    assert_eq!(sim.fleet.len(), DEVICES as usize);

    for index in 0..DEVICES {
        let id = format!("d{index}");
        let device = sim.device(&id);
        match kind(index) {
            Kind::Steady(_) => {
                assert_eq!(device.presence().kind(), PresenceKind::Online, "{id}");
                assert_eq!(device.presence().since(), at(0.0), "{id}");
            }
            Kind::Duty => {
                // Asleep two thirds of the time, never offline once the rhythm was known.
                let recent: Vec<_> = device.history().map(|span| span.presence.kind()).collect();
                assert_eq!(recent.len(), 64);
                let asleep = recent
                    .iter()
                    .filter(|kind| **kind == PresenceKind::Sleeping);
                assert_eq!(asleep.count(), 32, "{id}");
                let online = recent.iter().filter(|kind| **kind == PresenceKind::Online);
                assert_eq!(online.count(), 32, "{id}");
            }
            Kind::Dies(end) => {
                // Stale for a while, until its will spoke.
                let offline = Presence::Offline {
                    since: at(f64::from(end + 90)),
                    reason: OfflineReason::SaidSo,
                };
                assert_eq!(*device.presence(), offline, "{id}");
            }
            Kind::Silent(end) => {
                let Presence::Stale { since, last_seen } = *device.presence() else {
                    panic!("{id} is {:?}", device.presence());
                };
                assert!(
                    last_seen < at(f64::from(end)) && since.ms_since(last_seen) == 90_000,
                    "{id}"
                );
            }
        }
    }
}
