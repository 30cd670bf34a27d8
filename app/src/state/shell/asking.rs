//! Asking the server for some of its devices, again if that fails.

use std::rc::Rc;

use fleet::DeviceKey;
use link::http::HttpFailure;

use super::Shell;
use super::follow::read;
use crate::state::server::following::Mode;
use crate::state::server::order::Asked;
use crate::state::server::requests;

/// A request that is made again if it fails.
#[derive(Debug)]
pub(super) enum Missed {
    /// For one device with everything that is known of it, at this address.
    One(String),
    /// For some devices.
    Some(String),
}

/// The requests that have failed and are made again soon.
#[derive(Debug, Default)]
pub(super) struct MissedRequests {
    requests: Vec<Missed>,
    /// How often they were made again since one succeeded.
    rounds: u32,
}

/// How long the page waits before it makes failed requests again. Twice as long each time.
const ASK_AGAIN_AFTER_MS: u32 = 2_000;
/// How often it does so before it tells.
const MOST_ROUNDS: u32 = 4;

impl Missed {
    fn address(&self) -> &str {
        match self {
            Self::One(address) | Self::Some(address) => address,
        }
    }
}

impl Shell {
    /// Asks for what these devices sent before the page followed them.
    pub(super) fn ask_for(self: &Rc<Self>, devices: &[DeviceKey]) {
        let names: Vec<String> = {
            let core = self.core.borrow();
            let devices = devices.iter().filter_map(|key| core.fleet().device(*key));
            devices.map(fleet::Device::full_id).collect()
        };
        for address in requests::some_devices(names.iter().map(String::as_str)) {
            self.ask_some(address);
        }
    }

    /// Asks for a device's commands and history, which the list leaves out.
    pub(in crate::state) fn ask_for_details(self: &Rc<Self>, key: DeviceKey) {
        if self.mode.get() != Mode::Follows || self.is_wound() {
            return;
        }
        let name = self.name_of(key);
        let Some(address) = name.map(|name| requests::device(&name)) else {
            return;
        };
        self.ask_again(Missed::One(address));
    }

    /// Makes a request for the first time, or again after it has failed.
    fn ask_again(self: &Rc<Self>, what: Missed) {
        let number = self.number();
        let asked = self.order.borrow_mut().begin();
        let address = what.address().to_owned();
        let request = self.get(&address, move |shell, answer| {
            shell.end_request(number);
            let failure = answer.as_ref().err().cloned();
            let devices = shell.read_answer(&what, answer);
            shell.adopt(&devices, asked);
            match failure {
                Some(failure) => shell.note_missed(what, &failure),
                None => shell.missed.borrow_mut().rounds = 0,
            }
        });
        self.requests.borrow_mut().push((number, request));
    }

    pub(super) fn end_request(&self, number: u64) {
        self.requests.borrow_mut().retain(|(one, _)| *one != number);
    }

    pub(super) fn ask_some(self: &Rc<Self>, address: String) {
        self.ask_again(Missed::Some(address));
    }

    fn read_answer(
        &self,
        what: &Missed,
        answer: Result<Vec<u8>, HttpFailure>,
    ) -> Vec<api::fleet::Device> {
        match what {
            Missed::One(_) => {
                let device = answer.ok();
                let device = device.and_then(|body| serde_json::from_slice(&body).ok());
                device.into_iter().collect()
            }
            Missed::Some(_) => read(answer).map_or_else(
                |_| Vec::new(),
                |devices| {
                    self.note_time(devices.now);
                    devices.devices
                },
            ),
        }
    }

    /// A request has failed. It is made again a few times. A device that is not there is no failure.
    fn note_missed(&self, what: Missed, failure: &HttpFailure) {
        if !failure.may_pass() || self.mode.get() != Mode::Follows {
            return;
        }
        let mut missed = self.missed.borrow_mut();
        if missed.rounds >= MOST_ROUNDS {
            *missed = MissedRequests::default();
            drop(missed);
            self.tell_failure(Some(format!(
                "What some devices sent before cannot be asked for: {failure}. Their next messages show it, and so does a reload of the page"
            )));
            return;
        }
        missed.requests.push(what);
        if missed.requests.len() == 1 {
            self.missed_timer.start(ASK_AGAIN_AFTER_MS << missed.rounds);
            missed.rounds += 1;
        }
    }

    /// Makes the requests again that have failed.
    pub(super) fn ask_for_missed(self: &Rc<Self>) {
        let requests = std::mem::take(&mut self.missed.borrow_mut().requests);
        if self.mode.get() == Mode::Follows {
            for what in requests {
                self.ask_again(what);
            }
        }
    }

    /// Adopts what was asked for, unless the page has ceased to follow.
    fn adopt(&self, devices: &[api::fleet::Device], asked: Asked) {
        let mut order = self.order.borrow_mut();
        if self.mode.get() == Mode::Follows {
            let now = self.wall();
            let mut core = self.live();
            core.adopt_answer(now, devices, &order, &asked);
        }
        order.end(asked);
        drop(order);
        self.invalidate();
    }
}
