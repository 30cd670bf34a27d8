//! The parameters in the page's address: which broker, which topics.

use mqtt::{ReasonCode, TopicFilter};
use web_sys::UrlSearchParams;

/// The parameters in the page's address.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// `?broker=`
    pub(super) broker: Option<String>,
    /// `?topics=`, or `#` if that names no filter.
    pub(super) topics: Vec<TopicFilter>,
}

impl Parameters {
    pub(super) fn from_page() -> Self {
        let search = web_sys::window().and_then(|window| window.location().search().ok());
        let parameters = search.and_then(|search| UrlSearchParams::new_with_str(&search).ok());
        let parameter = |name| parameters.as_ref().and_then(|all| all.get(name));
        Self {
            broker: parameter("broker"),
            topics: topics(parameter("topics").as_deref()),
        }
    }
}

/// The topic filters in `list`, separated by commas. `#` if it has none.
fn topics(list: Option<&str>) -> Vec<TopicFilter> {
    let list = list.unwrap_or_default().split(',').map(str::trim);
    let filters: Vec<TopicFilter> = list
        .filter_map(|filter| TopicFilter::try_from(filter).ok())
        .collect();
    if filters.is_empty() {
        TopicFilter::try_from("#").into_iter().collect()
    } else {
        filters
    }
}

/// What the page says when the broker refuses some of the filters.
pub(super) fn refusal(
    topic_filters: &[TopicFilter],
    reason_codes: &[ReasonCode],
) -> Option<String> {
    let refused = topic_filters
        .iter()
        .zip(reason_codes)
        .find(|(_, code)| **code as u8 >= 0x80);
    refused.map(|(filter, code)| {
        format!(
            "The broker refused the topics “{filter}” ({code}). Name others that it allows in this page's address: ?topics=a/%23,b/%23"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(list: Option<&str>) -> Vec<String> {
        topics(list)
            .iter()
            .map(|filter| filter.as_str().to_owned())
            .collect()
    }

    #[test]
    fn everything_is_subscribed_to_unless_the_address_names_topics() {
        assert_eq!(filters(None), ["#"]);
        assert_eq!(filters(Some("")), ["#"]);
        assert_eq!(filters(Some("a/#, b/+/c,#bad")), ["a/#", "b/+/c"]);
    }

    #[test]
    fn a_refused_filter_is_named() {
        let all = topics(None);
        assert_eq!(refusal(&all, &[ReasonCode::GrantedQoS2]), None);
        let notice = refusal(&all, &[ReasonCode::NotAuthorized]).unwrap();
        assert!(notice.contains("“#”") && notice.contains("not authorized"));
    }
}
