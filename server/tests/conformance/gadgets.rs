//! The CONNECTs of gadgets and of libraries, in the table `gadgets.txt`. The server lets each in;
//! each can subscribe, and gets what it publishes.

use std::collections::BTreeSet;

use crate::raw::{CONNACK, PUBLISH, Publish, SUBACK, V3, packet, string, subscribe, variable};
use crate::wire::{Site, Wire, on_each_transport};

/// One line of the table.
struct Gadget {
    name: &'static str,
    protocol: &'static str,
    level: u8,
    flags: u8,
    keep_alive: u16,
    /// The strings of the payload.
    strings: Vec<&'static str>,
}

fn gadgets() -> Vec<Gadget> {
    include_str!("gadgets.txt")
        .lines()
        .filter_map(read)
        .collect()
}

fn read(line: &'static str) -> Option<Gadget> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let [name, head, strings] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
    let [protocol, level, flags, keep_alive] =
        head.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let byte = |hex: &str| u8::from_str_radix(hex.strip_prefix("0x").unwrap(), 16).unwrap();
    let text = |string| if string == "-" { "" } else { string };
    Some(Gadget {
        name,
        protocol,
        level: byte(level),
        flags: byte(flags),
        keep_alive: keep_alive.parse().unwrap(),
        strings: strings.split(' ').map(text).collect(),
    })
}

/// The variable header and payload.
fn rest(gadget: &Gadget) -> Vec<u8> {
    let head = [
        &string(gadget.protocol)[..],
        &[gadget.level, gadget.flags],
        &gadget.keep_alive.to_be_bytes(),
    ];
    let strings = gadget.strings.iter().flat_map(string);
    head.concat().into_iter().chain(strings).collect()
}

fn open(site: &Site, bytes: &[u8]) -> Wire {
    let mut wire = site.open();
    wire.version = V3;
    wire.send(bytes);
    wire
}

#[test]
fn every_gadget_is_let_in_and_served() {
    let all = gadgets();
    let names: BTreeSet<_> = all.iter().map(|gadget| gadget.name).collect();
    assert_eq!(names.len(), all.len());
    on_each_transport(|site| {
        for gadget in &all {
            let name = gadget.name;
            let mut wire = open(site, &packet(0x10, &rest(gadget)));
            let answer = wire.packet();
            assert_eq!(answer.bytes(), [CONNACK, 2, 0, 0], "{name}");
            wire.subscribe("cmnd/own/#", 1);
            wire.send(&Publish::new("cmnd/own/POWER", name).bytes(V3));
            // A bridge does not get its own messages.
            if gadget.level & 0x80 != 0 {
                wire.quiet();
            } else {
                wire.message("cmnd/own/POWER", name);
            }
            wire.leave();
        }
    });
}

/// Small devices write all that they have to say at once, and lengths in more bytes than they need:
/// 3.1.1 does not forbid it.
#[test]
fn a_gadget_need_not_wait_nor_write_short_lengths() {
    on_each_transport(|site| {
        for gadget in gadgets().iter().take(3) {
            let rest = rest(gadget);
            let length = u8::try_from(rest.len()).unwrap();
            assert_eq!(variable(rest.len()), [length]);
            let long = [&[0x10, length | 0x80, 0x80, 0x80, 0x00][..], &rest].concat();
            let rest = [
                subscribe(V3, 1, &[("cmnd/#", 0)]),
                Publish::new("cmnd/POWER", "ON").bytes(V3),
            ];
            let mut wire = open(site, &[&long[..], &rest.concat()].concat());
            wire.expect(&[CONNACK, 2, 0, 0]);
            // PUBLISH passes a SUBACK that waits for the disk (section 3.8.4).
            let firsts = [wire.packet().first, wire.packet().first];
            assert!(
                firsts.contains(&SUBACK) && firsts.contains(&PUBLISH),
                "{firsts:x?}"
            );
            wire.leave();
        }
    });
}
