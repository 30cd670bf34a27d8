//! How two topic filters relate: whether one covers the other, and whether they overlap.
//!
//! Access rules need both. A subscription wholly inside a denied filter is refused; one that only
//! overlaps it is accepted, and its messages are filtered. Here the empty topic counts as a topic,
//! though nobody can publish to it. So `+` and `/#` overlap: both match it.

use core::str::Split;

/// Whether every topic that `inner` matches is matched by `outer`, too. Neither may be shared.
///
/// ```
/// use mqtt::filter_covers;
///
/// assert!(filter_covers("plant/#", "plant/+/temp"));
/// assert!(!filter_covers("plant/+", "plant/#"));
/// // A wildcard at the start does not match topics of the server [MQTT-4.7.2-1].
/// assert!(!filter_covers("#", "$SYS/uptime"));
/// ```
pub fn filter_covers(outer: &str, inner: &str) -> bool {
    if begins_wild(outer) && inner.starts_with('$') {
        return false;
    }
    // At the start `#` stands for one level at least; elsewhere it may stand for none.
    let inner = if inner == "#" { "+/#" } else { inner };
    let (mut outer, mut inner) = (levels(outer), levels(inner));
    loop {
        match (outer.next(), inner.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(outer), Some(inner)) if outer == inner => {}
            (Some(_), Some(_) | None) | (None, Some(_)) => return false,
        }
    }
}

/// Whether there is a topic that both filters match. Neither may be shared.
///
/// ```
/// use mqtt::filters_overlap;
///
/// assert!(filters_overlap("plant/+/temp", "plant/1/#"));
/// assert!(!filters_overlap("plant/+/temp", "plant/1/humidity"));
/// ```
pub fn filters_overlap(one: &str, other: &str) -> bool {
    if begins_wild(one) && other.starts_with('$') || begins_wild(other) && one.starts_with('$') {
        return false;
    }
    let (mut one, mut other) = (levels(one), levels(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some("#"), _) | (_, Some("#")) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(one), Some(other)) if one == other => {}
            (Some(_), Some(_) | None) | (None, Some(_)) => return false,
        }
    }
}

fn begins_wild(filter: &str) -> bool {
    filter.starts_with(['+', '#'])
}

fn levels(filter: &str) -> Split<'_, char> {
    filter.split('/')
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;
    use crate::topic_matches;

    /// Every filter, or topic, that these `levels` make, with at most `most` levels.
    fn all(levels: &[&str], most: usize, is_filter: bool) -> Vec<String> {
        let mut all: Vec<Vec<&str>> = Vec::from([Vec::new()]);
        let mut found = Vec::new();
        for _ in 0..most {
            let mut longer = Vec::new();
            for start in &all {
                for level in levels {
                    let mut next = start.clone();
                    next.push(*level);
                    if !start.contains(&"#") {
                        longer.push(next);
                    }
                }
            }
            found.extend(longer.iter().map(|it| it.join("/")));
            all = longer;
        }
        found.retain(|it| !it.is_empty() || !is_filter);
        found
    }

    /// The topics have one level more than any filter, and a level that no filter names. So any two
    /// filters that differ match different topics.
    #[test]
    fn both_agree_with_all_topics_there_are() {
        let filters = all(&["a", "", "$s", "+", "#"], 3, true);
        let topics = all(&["a", "", "$s", "z"], 4, false);
        for one in &filters {
            let of_one: Vec<&String> = topics.iter().filter(|it| topic_matches(one, it)).collect();
            for other in &filters {
                let covers = topics
                    .iter()
                    .filter(|it| topic_matches(other, it))
                    .all(|it| topic_matches(one, it));
                assert_eq!(filter_covers(one, other), covers, "{one} and {other}");
                let overlaps = of_one.iter().any(|it| topic_matches(other, it));
                assert_eq!(filters_overlap(one, other), overlaps, "{one} and {other}");
            }
        }
    }
}
