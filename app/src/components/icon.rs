//! Pictures, as lines of a 16-unit square.

use leptos::prelude::*;

/// What there is a picture of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Icon {
    /// A disc: here.
    Disc,
    /// A crescent: asleep.
    Moon,
    /// A clock: overdue.
    Clock,
    /// A crossed circle: gone.
    Crossed,
    /// A question in a broken circle: nobody knows.
    Question,
    /// Look for something.
    Search,
    /// Away with it.
    Close,
    /// Cards.
    Grid,
    /// Rows.
    Rows,
    /// There is more below.
    ChevronDown,
    /// There is more behind.
    ChevronRight,
    /// Back.
    ArrowLeft,
    /// Look out.
    Warning,
    /// Done well.
    Check,
    /// Take a copy.
    Copy,
    /// Stop for a while.
    Pause,
    /// Go on.
    Play,
    /// To another site.
    External,
    /// A key: log in.
    Key,
    /// A radio mast.
    Beacon,
    /// The connection is broken.
    Unplugged,
    /// Send.
    Send,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Disc => "M8 2.75a5.25 5.25 0 1 0 0 10.5a5.25 5.25 0 0 0 0-10.5",
            Self::Moon => "M13.5 9.6A5.8 5.8 0 1 1 6.4 2.5a4.7 4.7 0 0 0 7.1 7.1",
            Self::Clock => "M8 2.25a5.75 5.75 0 1 0 0 11.5a5.75 5.75 0 0 0 0-11.5M8 5v3.2l2.1 1.3",
            Self::Crossed => {
                "M8 2.25a5.75 5.75 0 1 0 0 11.5a5.75 5.75 0 0 0 0-11.5M5.9 5.9l4.2 4.2M10.1 5.9l-4.2 4.2"
            }
            Self::Question => "M5.6 5.6a2.4 2.4 0 1 1 3.3 2.3c-.6.3-.9.7-.9 1.4M8 11.9v.1",
            Self::Search => "M7.2 2.7a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9M10.5 10.5l3 3",
            Self::Close => "M4 4l8 8M12 4l-8 8",
            Self::Grid => {
                "M2.75 2.75h4v4h-4zM9.25 2.75h4v4h-4zM2.75 9.25h4v4h-4zM9.25 9.25h4v4h-4z"
            }
            Self::Rows => "M2.75 4h10.5M2.75 8h10.5M2.75 12h10.5",
            Self::ChevronDown => "M4.25 6.25L8 10l3.75-3.75",
            Self::ChevronRight => "M6.25 4.25L10 8l-3.75 3.75",
            Self::ArrowLeft => "M13 8H3.5M7.5 4l-4 4l4 4",
            Self::Warning => "M8 2.6l6 10.6H2zM8 6.6v3M8 11.4v.1",
            Self::Check => "M3.25 8.5l3.2 3.2l6.3-7",
            Self::Copy => "M5.75 5.75h7.5v7.5h-7.5zM10.25 5.75v-3h-7.5v7.5h3",
            Self::Pause => "M5.5 3.5v9M10.5 3.5v9",
            Self::Play => "M5 3.2v9.6l7.6-4.8z",
            Self::External => "M9.5 2.75h3.75V6.5M13 3L7.75 8.25M11.75 9v4.25h-9v-9H7",
            Self::Key => {
                "M10.5 2.75a2.75 2.75 0 1 0 0 5.5a2.75 2.75 0 0 0 0-5.5M8.5 7.5l-5.75 5.75M5 11l1.75 1.75"
            }
            Self::Beacon => {
                "M6.7 7.5h2.6l1.2 6h-5zM8 4.8v.1M4.6 2.2a3.9 3.9 0 0 0 0 5M11.4 2.2a3.9 3.9 0 0 1 0 5"
            }
            Self::Unplugged => {
                "M2.5 2.5l11 11M9.9 3.2a3 3 0 0 1 2.9 2.9c0 .8-.3 1.5-.8 2l-.8.8M6 6L4 8a2.9 2.9 0 0 0 4 4l2-2"
            }
            Self::Send => "M2.75 8h9.5M8.5 4.25L12.25 8L8.5 11.75",
        }
    }

    /// Drawn as a shape instead of lines.
    const fn is_solid(self) -> bool {
        matches!(self, Self::Disc | Self::Moon | Self::Play)
    }

    /// The picture; it says nothing to those who do not see it, so put the word beside it.
    pub fn view(self) -> impl IntoView {
        let broken = (self == Self::Question).then(|| {
            view! { <circle cx="8" cy="8" r="6.25" stroke-dasharray="2.6 2.3" stroke-width="1.3" /> }
        });
        view! {
            <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
                {broken}
                <path class:solid=self.is_solid() d=self.path() />
            </svg>
        }
    }
}

/// The product's own mark.
#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <path
                class="mark-tower"
                d="M13.2 14.5h5.6l2.7 13.7a1.1 1.1 0 0 1-1.1 1.3h-8.8a1.1 1.1 0 0 1-1.1-1.3z"
            />
            <circle class="mark-flame" cx="16" cy="9.2" r="3.2" />
            <path
                class="mark-wave"
                d="M9.6 4.4a7.6 7.6 0 0 0 0 9.6M22.4 4.4a7.6 7.6 0 0 1 0 9.6M5.6 1.8a13 13 0 0 0 0 14.8M26.4 1.8a13 13 0 0 1 0 14.8"
            />
        </svg>
    }
}
