//! Paths below a device: `/devices/{id}/presence`, `/devices/{id}/metrics/{metric}`.
//!
//! An id may have slashes, so the end of the path tells. A slash that is percent-encoded separates nothing.

use percent_encoding::percent_decode_str;

/// What is asked of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Part {
    /// One of its metrics.
    Metric(String),
    Presence,
    Track,
    Commands,
    Messages,
}

/// Splits what stands behind `/devices/` in a path, as it was sent.
pub(in super::super) fn part_of(path: &str) -> Option<(String, Part)> {
    let (before, last) = path.rsplit_once('/')?;
    let (id, part) = match last {
        "presence" => (before, Part::Presence),
        "track" => (before, Part::Track),
        "commands" => (before, Part::Commands),
        "messages" => (before, Part::Messages),
        metric => (
            before.strip_suffix("/metrics")?,
            Part::Metric(decoded(metric)?),
        ),
    };
    Some((decoded(id)?, part)).filter(|(id, _)| !id.is_empty())
}

fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_tells_what_is_asked() {
        let metric = |name: &str| Part::Metric(name.to_owned());
        for (path, expected) in [
            ("a/presence", Some(("a", Part::Presence))),
            ("a/b%2Fc/track", Some(("a/b/c", Part::Track))),
            ("a/messages", Some(("a", Part::Messages))),
            (
                "a%2Fmetrics%2Fb/metrics/t%2Fx",
                Some(("a/metrics/b", metric("t/x"))),
            ),
            (
                "a/metrics/presence/commands",
                Some(("a/metrics/presence", Part::Commands)),
            ),
            ("a/metrics/t", Some(("a", metric("t")))),
            ("a/b", None),
            ("presence", None),
            ("/presence", None),
            ("a/metrics", None),
        ] {
            let expected = expected.map(|(id, part)| (id.to_owned(), part));
            assert_eq!(part_of(path), expected, "{path}");
        }
    }
}
