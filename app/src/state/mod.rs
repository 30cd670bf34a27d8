//! What the screen shows.
