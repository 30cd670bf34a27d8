//! Asks the server for a time, one question after another, and shows the answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use api::fleet::{Device, Time};
use api::history::FleetAt;
use leptos::prelude::*;
use link::http::{HttpFailure, Method, Request, percent_encode};

use super::stamp;
use crate::route::Route;
use crate::state::AppState;

/// How far the latest question has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Asking {
    /// What is wanted is shown.
    Rest {
        /// Whether its values are exact.
        is_exact: bool,
    },
    /// An answer is awaited.
    Waiting,
    /// The server could not be asked, and why.
    Failed(String),
}

/// Winds the page. `Copy`.
#[derive(Copy, Clone)]
pub struct Winder {
    state: AppState,
    inner: StoredValue<Rc<Inner>, LocalStorage>,
    wanted: RwSignal<Option<i64>>,
    asking: RwSignal<Asking>,
}

struct Inner {
    route: Memo<Route>,
    request: RefCell<Option<Request>>,
    /// The time for which the request under way asks.
    asked: Cell<Option<i64>>,
}

impl Winder {
    /// Shows what is, until it is asked for another time.
    pub fn new(state: AppState, route: Memo<Route>) -> Self {
        let inner = Inner {
            route,
            request: RefCell::default(),
            asked: Cell::new(None),
        };
        let winder = Self {
            state,
            inner: StoredValue::new_local(Rc::new(inner)),
            wanted: RwSignal::new(None),
            asking: RwSignal::new(Asking::Rest { is_exact: true }),
        };
        // Another page shows other devices.
        Effect::new(move |before: Option<Route>| {
            let route = route.get();
            if before.is_some_and(|before| before != route)
                && let Some(at) = winder.wanted.get_untracked()
            {
                winder.ask(at);
            }
            route
        });
        winder
    }

    /// The time that is to be shown. `None`: now.
    pub fn wanted(self) -> ReadSignal<Option<i64>> {
        self.wanted.read_only()
    }

    /// How far the latest question has come.
    pub fn asking(self) -> ReadSignal<Asking> {
        self.asking.read_only()
    }

    /// Whether what is wanted is shown, so that the next step may be made.
    pub fn is_ready(self) -> bool {
        self.asking.get_untracked() != Asking::Waiting
    }

    /// Shows what is again.
    pub fn stop(self) {
        let inner = self.inner.get_value();
        inner.asked.set(None);
        inner.request.borrow_mut().take();
        self.wanted.set(None);
        self.asking.set(Asking::Rest { is_exact: true });
        self.state.unwind();
    }

    /// Shows this time. While a question is under way, only the latest of those that come waits.
    pub fn ask(self, at: i64) {
        self.wanted.set(Some(at));
        if self.inner.get_value().asked.get().is_none() {
            self.begin(at);
        }
    }

    fn begin(self, at: i64) {
        let inner = self.inner.get_value();
        inner.asked.set(Some(at));
        self.asking.set(Asking::Waiting);
        let time = Time(at);
        let request = match inner.route.get_untracked() {
            Route::Device(id) => {
                let address = format!("api/v1/devices/{}?at={time}", percent_encode(&id));
                Request::send(Method::Get, &address, move |answer| {
                    let device = match answer {
                        // It was not there yet.
                        Err(HttpFailure::Status(404)) => Ok(Vec::new()),
                        answer => read::<Device>(answer).map(|device| vec![device]),
                    };
                    self.take(at, device.map(|devices| (devices, true)));
                })
            }
            Route::Fleet | Route::Unknown => {
                let address = format!("api/v1/fleet?at={time}");
                Request::send(Method::Get, &address, move |answer| {
                    let fleet = read::<FleetAt>(answer);
                    self.take(at, fleet.map(|fleet| (fleet.devices, fleet.exact)));
                })
            }
        };
        *inner.request.borrow_mut() = Some(request);
    }

    fn take(self, at: i64, answer: Result<(Vec<Device>, bool), String>) {
        let inner = self.inner.get_value();
        if inner.asked.take() != Some(at) {
            return;
        }
        let wanted = self.wanted.get_untracked();
        match answer {
            Ok((devices, is_exact)) => {
                self.asking.set(Asking::Rest { is_exact });
                self.state.wind(stamp(at), &devices);
            }
            Err(why) => self.asking.set(Asking::Failed(why)),
        }
        if let Some(wanted) = wanted
            && wanted != at
        {
            self.begin(wanted);
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Result<Vec<u8>, HttpFailure>) -> Result<T, String> {
    let body = answer.map_err(|failure| match failure {
        HttpFailure::Status(404) => {
            "This broker keeps no history, so there is no way back.".to_owned()
        }
        failure => format!("That time could not be asked for: {failure}. Try again."),
    })?;
    serde_json::from_slice(&body)
        .map_err(|_| "The server's answer cannot be read: reload the page.".to_owned())
}
