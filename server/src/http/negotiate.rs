//! Content negotiation: which form of a file a client accepts (RFC 9110, sections 12.5.1 and 12.5.3),
//! and whether it has that form already (section 13.1.2).

/// A content coding in which this binary holds files.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
    Identity,
}

impl Coding {
    /// In order of preference: the smallest files first.
    const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The mark of this coding in an entity tag. The bytes differ, so the tags must differ too.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Gzip => "-gz",
            Self::Identity => "",
        }
    }
}

/// The best coding of those `available` that `accept_encoding` allows.
///
/// It is identity if there is no such header, or if the header allows none of them: a page that the
/// client did not ask for is more useful than an error.
pub(crate) fn coding(accept_encoding: Option<&str>, available: impl Fn(Coding) -> bool) -> Coding {
    let Some(header) = accept_encoding else {
        return Coding::Identity;
    };
    let mut best = (Coding::Identity, 0);
    for coding in Coding::ALL {
        let quality = quality(header, coding);
        if quality > best.1 && available(coding) {
            best = (coding, quality);
        }
    }
    best.0
}

/// The quality of a coding in thousandths. 0 means that the client does not accept it.
fn quality(header: &str, coding: Coding) -> u16 {
    let mut wildcard = None;
    for entry in header.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let named = name.eq_ignore_ascii_case(coding.name())
            || (coding == Coding::Gzip && name.eq_ignore_ascii_case("x-gzip"));
        if !named && name != "*" {
            continue;
        }
        let weight = weight(parts);
        if named {
            return weight;
        }
        wildcard = Some(weight);
    }
    // Identity is acceptable unless the header excludes it, but codings that it names come first.
    wildcard.unwrap_or(u16::from(coding == Coding::Identity))
}

/// Whether `accept` names HTML, as a browser does when it wants to show a page. Programs accept
/// anything (`*/*`).
pub(crate) fn names_html(accept: &str) -> bool {
    accept.split(',').any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        name.eq_ignore_ascii_case("text/html") && weight(parts) > 0
    })
}

/// The quality that an entry's parameters give, in thousandths.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    parameters
        .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .map_or(1_000, thousandths)
}

/// Reads `0`, `1`, or up to three decimals. Anything else counts as 0.
fn thousandths(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    match whole {
        "1" => 1_000,
        "0" => format!("{decimals:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// The entity tag of a file in one coding. `etag` is the quoted tag of its plain bytes.
pub(crate) fn entity_tag(etag: &str, coding: Coding) -> String {
    let opaque = etag.trim_matches('"');
    format!("\"{opaque}{}\"", coding.suffix())
}

/// Whether `if_none_match` names `tag`, which means that the client has these bytes already.
pub(crate) fn matches(if_none_match: &str, tag: &str) -> bool {
    if_none_match.split(',').map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_acceptable_coding_is_chosen() {
        let all = |_| true;
        for (header, expected) in [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("gzip, deflate, br, zstd"), Coding::Brotli),
            (Some("gzip, deflate"), Coding::Gzip),
            (Some("gzip;q=1.0, br;q=0.5"), Coding::Gzip),
            (Some("br;q=0, gzip"), Coding::Gzip),
            (Some("br;q=0, gzip;q=0.001"), Coding::Gzip),
            (Some("*"), Coding::Brotli),
            (Some("*;q=0.1, br;q=0"), Coding::Gzip),
            (Some("identity, br;q=0.2"), Coding::Identity),
            (Some("identity;q=0, *;q=0"), Coding::Identity),
            (Some("GZIP ; q=0.7"), Coding::Gzip),
            (Some("br;q=2, gzip;q=x, deflate;;=,"), Coding::Identity),
        ] {
            assert_eq!(coding(header, all), expected, "{header:?}");
        }
        assert_eq!(
            coding(Some("br, gzip"), |coding| coding != Coding::Brotli),
            Coding::Gzip
        );
    }

    #[test]
    fn only_a_client_that_names_html_wants_a_page() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/xml;q=0.9, Text/HTML;level=1;q=0.1", true),
            ("text/html;q=0, */*", false),
            ("*/*", false),
            ("text/plain, text/*;q=0.5", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(names_html(accept), expected, "{accept}");
        }
    }

    #[test]
    fn tags_differ_by_coding_and_are_compared_weakly() {
        let tag = entity_tag("\"abc\"", Coding::Brotli);
        assert_eq!(tag, "\"abc-br\"");
        assert!(matches("\"x\", W/\"abc-br\"", &tag));
        assert!(matches("*", &tag));
        assert!(!matches("\"abc\"", &tag));
    }
}
