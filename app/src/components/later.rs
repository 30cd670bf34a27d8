//! Parts of the program that come when they are first used.
//!
//! A part is whatever only functions with `#[wasm_split(PART, …)]` reach: the build moves that into a
//! module of its own (`xtask/src/build/split.rs`). Scripts and style sheets that only the part needs
//! stand in `index.html`, in `<template id="part-PART">`. A split function takes no generics, is not
//! `async`, and returns `Result<AnyView, NotLoaded>`. [`Later`] shows what it returns:
//!
//! ```text
//! pub static MAP: Part = Part::new("map", || Box::pin(load()));
//!
//! #[wasm_split(map, fallible, preload(load))]
//! pub fn page(id: String) -> Result<AnyView, NotLoaded> {
//!     Ok(view! { <Map id=id /> }.into_any())
//! }
//!
//! view! { <Later part=&MAP view=move || Box::pin(page(id.clone())) /> }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use js_sys::Promise;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;
use wasm_split_helpers::SplitLoaderError;

use super::icon::Icon;

/// The part did not arrive. The next load asks for it again.
#[derive(Copy, Clone, Debug)]
pub struct NotLoaded;

impl From<SplitLoaderError> for NotLoaded {
    fn from(_: SplitLoaderError) -> Self {
        Self
    }
}

/// What calling a split function gives, and its `load`.
pub type Coming<T> = Pin<Box<dyn Future<Output = Result<T, NotLoaded>>>>;

/// A part of the program.
pub struct Part {
    name: &'static str,
    load: fn() -> Coming<()>,
    is_here: AtomicBool,
}

impl Part {
    /// `name` is that in `#[wasm_split(NAME, …)]` and in `<template id="part-NAME">`; `load` fetches the
    /// module.
    pub const fn new(name: &'static str, load: fn() -> Coming<()>) -> Self {
        Self {
            name,
            load,
            is_here: AtomicBool::new(false),
        }
    }

    /// Fetches the module and what stands in the template, at the same time. The part works without
    /// the latter, so it may fail.
    async fn fetch(&self) -> Result<(), NotLoaded> {
        let rest = bring(self.name);
        (self.load)().await?;
        if let Ok(rest) = rest {
            let _ = JsFuture::from(rest).await;
        }
        self.is_here.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Fetches the part soon, so that its first use is quick.
    pub fn prefetch(&'static self) {
        let fetch = move || {
            spawn_local(async {
                // Whoever uses it asks again, and tells if that fails too.
                let _ = self.fetch().await;
            });
        };
        set_timeout(fetch, PREFETCHED_AFTER);
    }
}

/// What is on screen comes first.
const PREFETCHED_AFTER: Duration = Duration::from_secs(2);

#[wasm_bindgen]
extern "C" {
    /// Puts the content of a part's template into the document (`style/boot.js`). The promise waits for
    /// all of it.
    #[wasm_bindgen(catch, js_name = beaconryBring)]
    fn bring(part: &str) -> Result<Promise, JsValue>;
}

/// How far the part has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Progress {
    Coming,
    Here,
    Failed,
}

/// A view that is in a part of the program: a skeleton until the part is here. A failure is told,
/// with a button that tries again.
#[component]
pub fn Later(
    /// The part.
    part: &'static Part,
    /// Calls the split function. It is called when the part is here.
    view: impl Fn() -> Coming<AnyView> + Send + 'static,
) -> impl IntoView {
    let is_here = part.is_here.load(Ordering::Relaxed);
    let progress = RwSignal::new(if is_here {
        Progress::Here
    } else {
        Progress::Coming
    });
    let fetch = move || {
        progress.set(Progress::Coming);
        spawn_local(async move {
            let outcome = match part.fetch().await {
                Ok(()) => Progress::Here,
                Err(NotLoaded) => Progress::Failed,
            };
            // The reader may have gone on to another page.
            let _ = progress.try_set(outcome);
        });
    };
    if !is_here {
        fetch();
    }
    move || match progress.get() {
        Progress::Coming => view! { <Skeleton label="Loading this page" /> }.into_any(),
        Progress::Here => now(view()).unwrap_or_else(|NotLoaded| failed(fetch)),
        Progress::Failed => failed(fetch),
    }
}

/// The view of a part that is here: nothing is left to wait for.
fn now(mut view: Coming<AnyView>) -> Result<AnyView, NotLoaded> {
    match view.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(view) => view,
        Poll::Pending => Err(NotLoaded),
    }
}

fn failed(again: impl Fn() + 'static) -> AnyView {
    view! {
        <section class="empty" role="alert" data-testid="part-failed">
            {Icon::Warning.view()}
            <h2>"This part of the page did not arrive"</h2>
            <p>
                "Try again. If that does not help, reload the page: the server may have a newer one, or be away."
            </p>
            <button type="button" class="button" data-testid="part-again" on:click=move |_| again()>
                "Try again"
            </button>
        </section>
    }
    .into_any()
}

/// The page's shape before its content.
#[component]
pub fn Skeleton(
    /// What the reader waits for.
    label: &'static str,
) -> impl IntoView {
    view! {
        <div class="skeleton" role="status" aria-label=label data-testid="loading">
            {(0..8).map(|_| view! { <div></div> }).collect_view()}
        </div>
    }
}
