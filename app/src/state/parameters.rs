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

/// The filters that the broker refuses, each with its reason.
#[derive(Debug, Default)]
pub(super) struct Refused(Vec<(String, ReasonCode)>);

impl Refused {
    /// So many are remembered. The page names one, and says how many there are.
    const MOST: usize = 100;

    /// The broker has answered a SUBSCRIBE.
    pub(super) fn note(&mut self, topic_filters: &[TopicFilter], reason_codes: &[ReasonCode]) {
        for (filter, code) in topic_filters.iter().zip(reason_codes) {
            self.0.retain(|(refused, _)| refused != filter.as_str());
            if *code as u8 >= 0x80 && self.0.len() < Self::MOST {
                self.0.push((filter.as_str().to_owned(), *code));
            }
        }
    }

    /// All filters are asked for anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What the page says about it.
    pub(super) fn notice(&self) -> Option<String> {
        let (filter, code) = self.0.first()?;
        let others = match self.0.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!(
            "The broker refused the topics “{filter}”{others} ({code}). Name others that it allows in this page's address: ?topics=a/%23,b/%23"
        ))
    }
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
    fn refused_filters_are_told_until_they_are_granted() {
        let all = topics(Some("a,b"));
        let mut refused = Refused::default();
        refused.note(&all[..1], &[ReasonCode::GrantedQoS2]);
        assert_eq!(refused.notice(), None);
        refused.note(&all, &[ReasonCode::NotAuthorized; 2]);
        let notice = refused.notice().unwrap();
        assert!(
            notice.contains("“a” and 1 more (not authorized (0x87))"),
            "{notice}"
        );
        // What is granted beside it changes nothing.
        refused.note(&topics(Some("c")), &[ReasonCode::Success]);
        refused.note(&all[..1], &[ReasonCode::Success]);
        let notice = refused.notice().unwrap();
        assert!(notice.contains("“b” (not authorized (0x87))"), "{notice}");
        refused.clear();
        assert_eq!(refused.notice(), None);
    }
}
