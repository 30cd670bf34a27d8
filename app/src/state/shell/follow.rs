//! Following the server: requests to its API, and its changes.

use std::rc::{Rc, Weak};

use api::ServerInfo;
use api::fleet::{Change, Changes, Devices, Time};
use fleet::DeviceKey;
use link::http::{EventStream, HttpFailure, Method, Request, StreamEvent};

use super::Shell;
use crate::state::core::Core;
use crate::state::server::following::{Ask, Mode, NoList};
use crate::state::server::order::Told;
use crate::state::server::requests;

impl Shell {
    /// Does what the machine asks for, and what follows from it.
    pub(super) fn follow(self: &Rc<Self>) {
        loop {
            let ask = self.following.borrow_mut().poll();
            match ask {
                Some(Ask::Server) => self.ask_server(),
                Some(Ask::Devices) => self.ask_devices(),
                Some(Ask::OpenStream(after)) => self.open_stream(&after),
                Some(Ask::CloseStream) => *self.stream.borrow_mut() = None,
                None => break,
            }
        }
        let mode = self.following.borrow().mode();
        if self.mode.replace(mode) == mode {
            return;
        }
        match mode {
            Mode::Deciding => {}
            Mode::Alone => {
                self.decided.set(true);
                self.live().set_follows(false);
                self.subscribe();
                self.listen();
            }
            // The devices have come, and `take_devices` has done the rest.
            Mode::Follows => {
                self.subscribe_soon();
                self.ask_for_owed();
                // The list leaves out what they were asked in the meantime.
                let open = self.live().opened();
                for key in open {
                    self.ask_for_details(key);
                }
            }
        }
    }

    fn ask_server(self: &Rc<Self>) {
        let request = self.get(requests::SERVER, |shell, answer| {
            let id = answer.and_then(|body| {
                // An answer of something else is no answer of this API.
                let info = serde_json::from_slice::<ServerInfo>(&body);
                let info = info.map_err(|_| HttpFailure::Status(404))?;
                shell.remembers.set(info.history);
                Ok(info.id)
            });
            let now = shell.clock.now();
            shell.following.borrow_mut().handle_server(now, id);
            shell.follow();
        });
        *self.asked.borrow_mut() = Some(request);
    }

    fn ask_devices(self: &Rc<Self>) {
        let request = self.get(requests::DEVICES, |shell, answer| {
            shell.take_devices(&read(answer));
            shell.follow();
            shell.invalidate();
        });
        *self.asked.borrow_mut() = Some(request);
    }

    /// The server's whole list has come, or has not.
    fn take_devices(self: &Rc<Self>, devices: &Result<Devices, NoList>) {
        let cursor = match devices {
            Ok(devices) => Ok(&*devices.cursor),
            Err(no_list) => Err(no_list),
        };
        let now = self.clock.now();
        let wanted = self.following.borrow_mut().handle_devices(now, cursor);
        let Ok(devices) = devices else {
            return;
        };
        if !wanted {
            return;
        }
        self.order.borrow_mut().note_list();
        self.note_time(devices.now);
        self.decided.set(true);
        let now = self.wall();
        let mut core = self.live();
        core.set_follows(true);
        core.handle_connected(now);
        core.adopt_devices(now, &devices.devices, devices.next.is_none());
        let open = core.opened();
        drop(core);
        self.subscribe_soon();
        for key in open {
            self.ask_for_details(key);
        }
    }

    fn open_stream(self: &Rc<Self>, after: &str) {
        let weak = Rc::downgrade(self);
        let report = move |event| {
            if let Some(shell) = Weak::upgrade(&weak) {
                shell.handle_stream(event);
            }
        };
        let stream = EventStream::open(&requests::changes(after), "changes", "beat", report);
        if stream.is_none() {
            let now = self.clock.now();
            self.following.borrow_mut().handle_stream_ended(now);
        }
        *self.stream.borrow_mut() = stream;
    }

    fn handle_stream(self: &Rc<Self>, event: StreamEvent) {
        let now = self.clock.now();
        match event {
            StreamEvent::Opened => {
                self.following.borrow_mut().handle_stream_opened(now);
                return;
            }
            StreamEvent::Beat => {
                self.following.borrow_mut().handle_beat(now);
                return;
            }
            StreamEvent::Message { id, data } => self.take_changes(&id, &data),
            StreamEvent::Ended => self.following.borrow_mut().handle_stream_ended(now),
        }
        self.follow();
        self.invalidate();
    }

    fn take_changes(self: &Rc<Self>, cursor: &str, data: &str) {
        // Changes that this page does not understand are made up for by the list.
        let changes = serde_json::from_slice::<Changes>(data.as_bytes()).ok();
        let resync = changes
            .as_ref()
            .is_none_or(|all| all.changes.contains(&Change::Resync));
        if let Some(changes) = changes {
            self.note_time(changes.now);
            let now = self.wall();
            let mut core = self.live();
            let mut order = self.order.borrow_mut();
            for change in &changes.changes {
                if let Some((id, told)) = Core::told(change) {
                    order.note(id, told);
                }
                core.adopt_change(now, change);
            }
            drop(order);
            core.fold();
            let others = core.has_other_devices();
            drop(core);
            if others {
                self.subscribe_soon();
            }
        }
        let now = self.clock.now();
        self.following
            .borrow_mut()
            .handle_changes(now, cursor, resync);
    }

    // ---- what the user asks the server for ----

    /// Forgets a device. With our server it is forgotten there too.
    pub(in crate::state) fn forget(self: &Rc<Self>, key: DeviceKey) {
        self.change(key, Method::Delete, Told::Gone, "forgotten", |shell| {
            shell.core.borrow_mut().forget(key);
        });
    }

    /// Hides a device, or shows it again. With our server it is hidden for everybody.
    pub(in crate::state) fn hide(self: &Rc<Self>, key: DeviceKey, hidden: bool) {
        let (json, word) = if hidden {
            (r#"{"hidden":true}"#, "hidden")
        } else {
            (r#"{"hidden":false}"#, "shown again")
        };
        self.change(key, Method::Patch(json), Told::Changed, word, |shell| {
            shell.core.borrow_mut().hide(key, hidden);
        });
    }

    /// Changes a device here at once, and then at the server. If that fails, the server's device comes
    /// back.
    fn change(
        self: &Rc<Self>,
        key: DeviceKey,
        method: Method<'_>,
        told: Told,
        what: &'static str,
        here: impl FnOnce(&Self),
    ) {
        if self.is_wound() {
            self.tell_failure(Some(format!(
                "Not {what}: this is the past, go back to live first"
            )));
            return;
        }
        self.tell_failure(None);
        let name = self.name_of(key);
        here(self);
        self.draw_now();
        let Some(name) = name.filter(|_| self.mode.get() == Mode::Follows) else {
            return;
        };
        self.order.borrow_mut().note(&name, told);
        let number = self.number();
        let request = self.send(method, &requests::device(&name), move |shell, answer| {
            shell.end_request(number);
            if let Err(failure) = answer {
                for address in requests::some_devices([&*name]) {
                    shell.ask_some(address);
                }
                let name = fleet::display::shorten(&name, 60);
                let text = format!("{name} could not be {what}: {failure}. Try it again");
                shell.tell_failure(Some(text));
            }
        });
        self.requests.borrow_mut().push((number, request));
    }

    // ---- helpers ----

    pub(super) fn get(
        self: &Rc<Self>,
        address: &str,
        done: impl FnOnce(Rc<Self>, Result<Vec<u8>, HttpFailure>) + 'static,
    ) -> Request {
        self.send(Method::Get, address, done)
    }

    fn send(
        self: &Rc<Self>,
        method: Method<'_>,
        address: &str,
        done: impl FnOnce(Rc<Self>, Result<Vec<u8>, HttpFailure>) + 'static,
    ) -> Request {
        let weak = Rc::downgrade(self);
        Request::send(method, address, move |answer| {
            if let Some(shell) = Weak::upgrade(&weak) {
                done(shell, answer);
            }
        })
    }

    pub(super) fn number(&self) -> u64 {
        let number = self.next_request.get();
        self.next_request.set(number + 1);
        number
    }

    pub(super) fn name_of(&self, key: DeviceKey) -> Option<String> {
        let core = self.core.borrow();
        core.fleet().device(key).map(fleet::Device::full_id)
    }

    /// The server has told its time just now.
    pub(super) fn note_time(&self, theirs: Time) {
        let ours = self.own_wall_ms();
        let mut clock = self.server_clock.get();
        clock.note(theirs.0, ours);
        self.server_clock.set(clock);
    }
}

/// Reads a list of devices, or says why there is none.
pub(super) fn read(answer: Result<Vec<u8>, HttpFailure>) -> Result<Devices, NoList> {
    let body = answer?;
    serde_json::from_slice(&body).map_err(|error| NoList {
        why: format!("the answer is not understood ({error})"),
        may_pass: false,
    })
}
