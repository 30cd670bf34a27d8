//! Logs: compact lines on standard error.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What to log: a level, or `target=level` pairs as `tracing` writes them.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Targets);

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(level) = text.parse::<LevelFilter>() {
            return Ok(Self(Targets::new().with_default(level)));
        }
        if !text.contains('=') {
            return Err("expected off, error, warn, info, debug or trace".to_owned());
        }
        text.parse().map(Self).map_err(|error| format!("{error}"))
    }
}

/// Begins to write events to standard error.
pub(crate) fn start(filter: &Filter) {
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only the first call in a process has an effect. There is more than one only in tests.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(filter.0.clone())
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_are_understood() {
        for good in ["info", "WARN", "off", "warn,beaconry::demo=debug"] {
            assert!(good.parse::<Filter>().is_ok(), "{good}");
        }
        assert!("loud".parse::<Filter>().is_err());
    }
}
