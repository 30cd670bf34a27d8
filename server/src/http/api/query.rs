//! The parameters of the API's questions. A parameter that is not known is refused, so that a misspelt
//! one is not silently without effect.

use fleet::{Search, Sort};

use super::ApiError;
use crate::devices::{Hidden, Place, Query, presence_of};

/// The parameters of `GET /api/v1/devices`.
pub(super) fn of_devices(text: Option<&str>) -> Result<Query, ApiError> {
    let mut given = Parameters::read(
        text,
        &["q", "state", "sort", "limit", "after", "id", "hidden"],
    )?;
    let ids = given.all("id");
    let search = given.one("q")?.map(|words| Search::new(&words));
    let state = given.parsed("state", STATES, presence_of)?;
    let sort = given.parsed("sort", SORTS, sort_of)?.unwrap_or_default();
    let limit = given.parsed("limit", "a whole number from 1", |text| {
        text.parse().ok().filter(|limit| *limit > 0)
    })?;
    let after = given.parsed(
        "after",
        "the member \"next\" of the answer to the same question",
        |text| Place::parse(sort, text),
    )?;
    let hidden = given.parsed("hidden", "true, false or any", |text| match text {
        "true" => Some(Hidden::Alone),
        "false" => Some(Hidden::LeftOut),
        "any" => Some(Hidden::Included),
        _ => None,
    })?;
    Ok(Query {
        search: search.unwrap_or_default(),
        state,
        sort,
        limit,
        after,
        ids,
        hidden: hidden.unwrap_or_default(),
    })
}

/// The parameters of `GET /api/v1/changes`: the cursor as it was given, and the ids.
pub(super) fn of_changes(text: Option<&str>) -> Result<(Option<String>, Vec<String>), ApiError> {
    let mut given = Parameters::read(text, &["after", "id"])?;
    let ids = given.all("id");
    Ok((given.one("after")?, ids))
}

const STATES: &str = "online, sleeping, stale, offline or unknown";
const SORTS: &str = "name, trouble or latest";

fn sort_of(word: &str) -> Option<Sort> {
    Sort::ALL.into_iter().find(|sort| sort.word() == word)
}

/// The parameters that were given, percent-decoded.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn read(
        text: Option<&str>,
        known: &'static [&'static str],
    ) -> Result<Self, ApiError> {
        let given = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        let given: Vec<(String, String)> = given.into_owned().collect();
        match given.iter().find(|(name, _)| !known.contains(&&**name)) {
            Some((name, _)) => Err(ApiError::UnknownParameter {
                name: name.clone(),
                known: known.join(", "),
            }),
            None => Ok(Self(given)),
        }
    }

    /// Every value of this parameter.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let values = self.0.extract_if(.., |(given, _)| given == name);
        values.map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may be given once. An empty one counts as not given: forms send
    /// those.
    pub(super) fn one(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        let mut values = self.all(name);
        let value = values.pop().filter(|value| !value.is_empty());
        if values.is_empty() {
            Ok(value)
        } else {
            Err(ApiError::RepeatedParameter { name })
        }
    }

    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.one(name)? else {
            return Ok(None);
        };
        parse(&value)
            .map(Some)
            .ok_or(ApiError::BadParameter { name, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::PresenceKind;

    fn query(text: &str) -> Query {
        of_devices(Some(text)).unwrap()
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        of_devices(Some(text)).unwrap_err().to_string()
    }

    #[test]
    fn nothing_asks_for_everything_that_is_not_hidden() {
        assert_eq!(of_devices(None).unwrap(), Query::default());
        assert_eq!(query("q=&state=&limit="), Query::default());
    }

    #[test]
    fn all_parameters_are_read() {
        let query = query(
            "q=pump%20%C3%BC+x&state=stale&sort=trouble&limit=10&after=trouble:stale:1:ab&id=a/b&id=c&hidden=any",
        );
        assert_eq!(query.search, Search::new("pump ü x"));
        assert_eq!(query.state, Some(PresenceKind::Stale));
        assert_eq!((query.sort, query.limit), (Sort::Trouble, Some(10)));
        assert_eq!(query.after.unwrap().to_text(), "trouble:stale:1:ab");
        assert_eq!(query.ids, ["a/b", "c"]);
        assert_eq!(query.hidden, Hidden::Included);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_expected() {
        for (text, part) in [
            ("stat=online", "\"stat\""),
            ("state=away", STATES),
            ("sort=size", SORTS),
            ("limit=0", "from 1"),
            ("limit=-1", "from 1"),
            ("limit=ten", "from 1"),
            ("after=x", "\"next\""),
            ("sort=latest&after=name::0:x", "\"next\""),
            ("q=a&q=b", "once"),
            ("hidden=1", "true, false or any"),
        ] {
            let text_of_error = refused(text);
            assert!(text_of_error.contains(part), "{text}: {text_of_error}");
        }
        assert!(refused("stat=online").contains("q, state, sort, limit"));
        assert!(of_changes(Some("since=1")).is_err());
    }

    #[test]
    fn changes_have_a_cursor_and_ids() {
        let (after, ids) = of_changes(Some("after=0123-4&id=a%2Fb")).unwrap();
        assert_eq!(
            (after.as_deref(), ids),
            (Some("0123-4"), vec!["a/b".to_owned()])
        );
    }
}
