//! What clients may not do.

use broker::{DenyRules, Grants};
use clap::Args;
use mqtt::TopicFilter;

/// Rules that hold for every client.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Nobody may publish to topics that this filter matches: "not authorized" (3.1.1 clients get an
    /// acknowledgement, and the message is dropped). May be given several times; in the variable,
    /// one filter a line.
    #[arg(
        long,
        value_name = "FILTER",
        env = "BEACONRY_DENY_PUBLISH",
        value_delimiter = '\n',
        value_parser = parse_filter
    )]
    deny_publish: Vec<TopicFilter>,

    /// Nobody is sent messages with topics that this filter matches, and the API knows nothing of
    /// them. A subscription to nothing else
    /// is refused; one to more is accepted and gets the rest. May be given several times; in the
    /// variable, one filter a line.
    #[arg(
        long,
        value_name = "FILTER",
        env = "BEACONRY_DENY_SUBSCRIBE",
        value_delimiter = '\n',
        value_parser = parse_filter
    )]
    deny_subscribe: Vec<TopicFilter>,
}

impl AccessArgs {
    /// What every client may do.
    pub(crate) fn grants(&self) -> Grants {
        let rules = DenyRules::new(self.deny_publish.clone(), self.deny_subscribe.clone());
        if rules.is_empty() {
            Grants::default()
        } else {
            Grants::new(rules)
        }
    }
}

fn parse_filter(text: &str) -> Result<TopicFilter, String> {
    let filter = TopicFilter::try_from(text).map_err(|error| {
        let why = error.to_string();
        format!(
            "the topic filter {}",
            why.strip_prefix("filter ").unwrap_or(&why)
        )
    })?;
    if text.starts_with("$share/") {
        return Err("give the filter without $share/NAME/: shared or not, it is denied".to_owned());
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use broker::Reach;
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        access: AccessArgs,
    }

    #[test]
    fn each_flag_adds_a_rule() {
        let line = Line::try_parse_from([
            "beaconry",
            "--deny-publish=a/#",
            "--deny-publish=b",
            "--deny-subscribe=c/+",
        ]);
        let grants = line.unwrap().access.grants();
        assert!(
            !grants.may_publish("a/x") && !grants.may_publish("b") && grants.may_publish("c/x")
        );
        assert!(!grants.may_receive("c/x") && grants.may_receive("a/x"));
        assert_eq!(grants.reach("c/1"), Reach::Nothing);
        let none = Line::try_parse_from(["beaconry"]).unwrap().access.grants();
        assert!(none.is_everything());
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_reason() {
        for (bad, why) in [
            ("a/#/b", "the topic filter has a '#'"),
            ("$share/g/a", "without $share"),
            ("", "the topic filter is empty"),
        ] {
            let error = Line::try_parse_from(["beaconry", &format!("--deny-subscribe={bad}")]);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
