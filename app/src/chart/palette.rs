//! The colours of the style sheet, for drawing on a canvas.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_events::EventListener;
use web_sys::MediaQueryList;

use crate::frame::FrameLoop;

/// The chart colours as the page's CSS custom properties have them now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Palette {
    /// `--chart-1` to `--chart-6`: one for each line.
    pub(super) lines: [String; 6],
    /// `--chart-grid`
    pub(super) grid: String,
    /// `--chart-axis`
    pub(super) axis: String,
    /// `--chart-fill`
    pub(super) fill: String,
    /// `--font`
    pub(super) font: String,
}

#[derive(Default)]
struct Cached {
    palette: Option<Rc<Palette>>,
    /// Reports that the reader's system turned dark or light.
    scheme: Option<(MediaQueryList, EventListener)>,
}

thread_local! {
    static CACHED: RefCell<Cached> = RefCell::default();
}

impl Palette {
    /// The colours now. They are read once, and again after each change of the colour scheme, which
    /// also makes everything that is drawn dirty.
    pub(super) fn current() -> Rc<Self> {
        CACHED.with_borrow_mut(|cached| {
            if cached.scheme.is_none() {
                cached.scheme = watch_scheme();
            }
            let palette = cached.palette.get_or_insert_with(|| Rc::new(Self::read()));
            Rc::clone(palette)
        })
    }

    fn read() -> Self {
        let style = web_sys::window().and_then(|window| {
            let root = window.document()?.document_element()?;
            window.get_computed_style(&root).ok().flatten()
        });
        let property = |name: &str| {
            let value = style
                .as_ref()
                .and_then(|style| style.get_property_value(name).ok());
            value.map(|value| value.trim().to_owned())
        };
        // On a page without our style sheet, the drawing can still be seen.
        let colour = |name: &str| {
            property(name)
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| "gray".to_owned())
        };
        Self {
            lines: [1, 2, 3, 4, 5, 6].map(|line| colour(&format!("--chart-{line}"))),
            grid: colour("--chart-grid"),
            axis: colour("--chart-axis"),
            fill: colour("--chart-fill"),
            font: property("--font").unwrap_or_else(|| "sans-serif".to_owned()),
        }
    }
}

fn watch_scheme() -> Option<(MediaQueryList, EventListener)> {
    let query = web_sys::window()?
        .match_media("(prefers-color-scheme: dark)")
        .ok()??;
    let listener = EventListener::new(&query, "change", |_| {
        CACHED.with_borrow_mut(|cached| cached.palette = None);
        FrameLoop::page().invalidate_all();
    });
    Some((query, listener))
}
