//! The messages against a naive model: a list of all of them.

mod disk;

use std::time::Duration;

use mqtt::topic_matches;
use proptest::prelude::*;

use super::*;

const START: Millis = 1_700_000_000_000;
const HOUR: Millis = 3_600_000;

fn open(folder: &testbed::Folder) -> Messages {
    let (messages, found) = Messages::open(Options::new(folder.path().join("messages"))).unwrap();
    assert_eq!(found, Found::default());
    messages
}

/// A message of a small fleet. It is the same each time.
fn message(number: u64, time: Millis) -> Kept {
    let device = number * 7 % 50;
    let (topic, payload) = match number % 5 {
        0 => (format!("fleet/{device}/status"), "Online".to_owned()),
        1 => (
            format!("fleet/{device}/Position"),
            format!("{{\"lat\":{number}.5}}"),
        ),
        2 => (format!("häuser/{device}/tür"), "Geöffnet".to_owned()),
        _ => (
            format!("fleet/{device}/temperature"),
            format!("{}.{}", number % 30, number % 7),
        ),
    };
    Kept {
        number,
        time,
        topic,
        bytes: payload.len() as u64,
        payload: payload.into_bytes(),
        qos: u8::try_from(number % 3).unwrap(),
        retain: number.is_multiple_of(5),
        client: (!number.is_multiple_of(4)).then(|| format!("client-{device}")),
    }
}

fn append(messages: &mut Messages, kept: &Kept) {
    messages.append(&Message {
        qos: kept.qos,
        retain: kept.retain,
        client: kept.client.as_deref(),
        ..Message::new(kept.time, &kept.topic, &kept.payload)
    });
}

/// What a question should find.
fn expected(all: &[Kept], query: &Query) -> Vec<Kept> {
    let text = query.text.as_ref().map(|it| it.to_lowercase());
    let fits = |it: &&Kept| {
        let filters = &query.filters;
        let payload = String::from_utf8_lossy(&it.payload).to_lowercase();
        (query.from..query.to).contains(&it.time)
            && (filters.is_empty() || filters.iter().any(|f| topic_matches(f, &it.topic)))
            && text
                .as_ref()
                .is_none_or(|text| it.topic.to_lowercase().contains(text) || payload.contains(text))
    };
    let found = all.iter().filter(fits).cloned();
    match query.order {
        Order::Newest => found.rev().collect(),
        Order::Oldest => found.collect(),
    }
}

/// Reads all pages.
fn all_pages(reader: &Reader, query: &Query) -> Vec<Kept> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = reader.read(&query).unwrap();
        assert_eq!(page.damaged, []);
        assert!(page.messages.len() <= query.limit);
        assert_eq!(page.next.is_some(), page.looked_to.is_some());
        found.extend(page.messages);
        let Some(next) = page.next else {
            return found;
        };
        assert_ne!(query.start, Some(next), "no progress");
        query.start = Some(next);
    }
}

fn assert_finds(reader: &Reader, all: &[Kept], query: &Query) {
    let (found, expected) = (all_pages(reader, query), expected(all, query));
    assert!(
        found == expected,
        "{query:?}: {} found, {} expected, of {}",
        found.len(),
        expected.len(),
        all.len()
    );
}

fn questions(end: Millis) -> Vec<Query> {
    let mut questions = Vec::new();
    for order in [Order::Newest, Order::Oldest] {
        let base = Query {
            order,
            limit: 5_000,
            ..Query::default()
        };
        for (from, to) in [
            (Millis::MIN, Millis::MAX),
            (START + HOUR, START + 2 * HOUR),
            (end - HOUR / 2, end - HOUR / 4),
            (end, end + 1),
        ] {
            for (filters, text) in [
                (&[][..], None),
                (&["fleet/7/#"][..], None),
                (&["fleet/+/status", "häuser/21/+"], None),
                (&["nobody/#"], None),
                (&[], Some("online")),
                (&[], Some("POSITION")),
                (&["häuser/#"], Some("TÜR")),
                (&[], Some("\"lat\":9")),
            ] {
                questions.push(Query {
                    from,
                    to,
                    filters: filters.iter().map(|&it| it.to_owned()).collect(),
                    text: text.map(str::to_owned),
                    ..base.clone()
                });
            }
        }
    }
    questions
}

#[test]
fn a_hundred_thousand_messages_are_found_before_and_after_a_restart() {
    const COUNT: u64 = 100_000;
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    let mut all = Vec::new();
    // Ten hours. Some seconds are busy, and many are idle.
    let mut time = START;
    for number in 0..COUNT {
        time += if number % 100 == 0 { 36_000 } else { 0 };
        let kept = message(number, time);
        append(&mut messages, &kept);
        all.push(kept);
        if number % 700 == 0 {
            messages.commit().unwrap();
        }
    }
    let counted = messages.counted();
    assert_eq!(counted.appended, COUNT);
    assert!(counted.waiting_bytes > 0);
    assert!(counted.bytes < 1_500_000, "{counted:?}");
    // Some are committed, and the last ones are not.
    for query in questions(time) {
        assert_finds(&messages.reader(), &all, &query);
    }
    messages.commit().unwrap();
    drop(messages);
    let messages = open(&folder);
    let counted = messages.counted();
    assert_eq!(
        (counted.messages, counted.since),
        (COUNT, Some(START + 36_000))
    );
    assert!(messages.reader().read(&Query::default()).is_ok());
    for query in questions(time) {
        assert_finds(&messages.reader(), &all, &query);
    }
}

#[test]
fn a_page_says_where_the_next_one_begins_whatever_happens_meanwhile() {
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    let mut all = Vec::new();
    let mut more = |messages: &mut Messages, count: u64| {
        for _ in 0..count {
            let number = all.len() as u64;
            let kept = message(number, START + number.cast_signed());
            append(messages, &kept);
            all.push(kept);
        }
        all.clone()
    };
    let before = more(&mut messages, 100);
    let mut query = Query {
        limit: 7,
        ..Query::default()
    };
    let mut found = Vec::new();
    for page in 0.. {
        let answer = messages.reader().read(&query).unwrap();
        found.extend(answer.messages);
        // What was not committed becomes committed, and more comes.
        if page % 2 == 0 {
            more(&mut messages, 3);
        } else {
            messages.commit().unwrap();
        }
        let Some(next) = answer.next else {
            break;
        };
        query.start = Some(next);
    }
    assert_eq!(found, expected(&before, &Query::default()));
}

#[test]
fn a_page_ends_when_it_has_looked_at_enough() {
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    let mut all = Vec::new();
    for number in 0..40_000_u64 {
        let kept = message(number, START + number.cast_signed());
        append(&mut messages, &kept);
        all.push(kept);
    }
    messages.commit().unwrap();
    let reader = messages.reader();
    for order in [Order::Newest, Order::Oldest] {
        let query = Query {
            text: Some("nowhere".to_owned()),
            work: 1,
            order,
            ..Query::default()
        };
        let page = reader.read(&query).unwrap();
        assert_eq!(page.messages, []);
        let looked_to = page.looked_to.unwrap();
        assert!(
            (START..START + 40_000).contains(&looked_to),
            "{order:?} {}",
            looked_to - START
        );
        assert_finds(&reader, &all, &query);
        let query = Query {
            text: None,
            bytes: 50_000,
            ..query
        };
        let page = reader.read(&query).unwrap();
        assert!(
            (100..1_000).contains(&page.messages.len()),
            "{}",
            page.messages.len()
        );
        let query = Query {
            limit: 100_000,
            ..query
        };
        assert_finds(&reader, &all, &query);
    }
}

/// What is read for an hour is not what is read for a day.
#[test]
fn a_look_at_an_hour_does_not_read_the_day() {
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    for minute in 0..24 * 60 {
        for number in 0..1_500_u64 {
            append(&mut messages, &message(number, START + minute * 60_000));
        }
        messages.commit().unwrap();
    }
    let all = messages.counted().messages;
    assert_eq!(all, 24 * 60 * 1_500);
    let hour = Query {
        from: START + 5 * HOUR,
        to: START + 6 * HOUR,
        text: Some("nowhere".to_owned()),
        ..Query::default()
    };
    let day = Query {
        from: START,
        to: START + 24 * HOUR,
        ..hour.clone()
    };
    let reader = messages.reader();
    let pages = |query: &Query| {
        let mut query = Query {
            work: 100_000,
            ..query.clone()
        };
        let mut pages = 1;
        while let Some(next) = reader.read(&query).unwrap().next {
            query.start = Some(next);
            pages += 1;
        }
        pages
    };
    let (hour, day) = (pages(&hour), pages(&day));
    assert!(hour * 20 < day, "{hour} of {day}");
}

#[test]
fn what_is_too_old_goes_and_is_counted() {
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    for minute in 0..30 * 60 {
        let time = START + minute * 60_000;
        append(&mut messages, &message(minute.cast_unsigned(), time));
        messages.commit().unwrap();
        messages.expire(time).unwrap();
        let since = messages.counted().since.unwrap();
        // Files go as a whole.
        assert!(since >= time - 25 * HOUR - 60_000, "{minute}");
        assert!(minute < 24 * 60 || since <= time - 24 * HOUR, "{minute}");
    }
    let counted = messages.counted();
    assert_eq!(counted.messages + counted.dropped_by_age, 30 * 60);
    assert!(
        (24 * 60..=25 * 60 + 1).contains(&counted.messages),
        "{counted:?}"
    );
    assert_eq!(counted.dropped_by_size, 0);
    drop(messages);
    let mut messages = open(&folder);
    assert_eq!(messages.counted().messages, counted.messages);
    // A day later nothing has come.
    messages.expire(START + 60 * HOUR).unwrap();
    assert_eq!(messages.counted().messages, 0);
    assert_eq!(messages.counted().dropped_by_age, counted.messages);
    assert_eq!(
        messages.reader().read(&Query::default()).unwrap(),
        Page::default()
    );
    append(&mut messages, &message(1, START));
    messages.commit().unwrap();
    assert_eq!(
        messages
            .reader()
            .read(&Query::default())
            .unwrap()
            .messages
            .len(),
        1
    );
}

#[test]
fn what_is_too_much_goes_and_is_counted() {
    let folder = testbed::Folder::new();
    let options = Options {
        max_bytes: 150_000,
        ..Options::new(folder.path().join("messages"))
    };
    let (mut messages, _) = Messages::open(options.clone()).unwrap();
    let mut all = Vec::new();
    for number in 0..100_000 {
        let kept = message(number, START + number.cast_signed());
        append(&mut messages, &kept);
        all.push(kept);
        if number % 1_000 == 999 {
            messages.commit().unwrap();
            messages.expire(START + number.cast_signed()).unwrap();
            assert!(messages.counted().bytes <= 150_000);
        }
    }
    let counted = messages.counted();
    assert!(counted.bytes > 100_000, "{counted:?}");
    assert!(counted.dropped_by_size > 10_000, "{counted:?}");
    assert_eq!(counted.messages + counted.dropped_by_size, 100_000);
    let left = &all[usize::try_from(counted.dropped_by_size).unwrap()..];
    assert_finds(&messages.reader(), left, &questions(START)[0]);
    drop(messages);
    let (messages, found) = Messages::open(options).unwrap();
    assert_eq!(found, Found::default());
    assert_finds(&messages.reader(), left, &questions(START)[0]);
}

#[test]
fn what_may_not_be_seen_is_not_found() {
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    for topic in ["a", "secret/a", "b"] {
        messages.append(&Message::new(START, topic, b"x"));
    }
    let query = Query {
        visible: Visible::new(|topic| !topic.starts_with("secret/")),
        ..Query::default()
    };
    let page = messages.reader().read(&query).unwrap();
    let topics: Vec<_> = page.messages.iter().map(|it| &*it.topic).collect();
    assert_eq!(topics, ["b", "a"]);
}

#[test]
fn a_payload_is_cut_and_its_length_is_kept() {
    let folder = testbed::Folder::new();
    let options = Options {
        payload_limit: 10,
        ..Options::new(folder.path().join("messages"))
    };
    let (mut messages, _) = Messages::open(options).unwrap();
    for payload in [&b"0123456789"[..], b"0123456789a", &vec![b'x'; 3_000_000]] {
        messages.append(&Message::new(START, "a", payload));
    }
    messages.commit().unwrap();
    assert_eq!(messages.counted().cut, 2);
    let page = messages.reader().read(&Query::default()).unwrap();
    let kept: Vec<_> = page
        .messages
        .iter()
        .map(|it| (&it.payload[..], it.bytes))
        .collect();
    let xs = [b'x'; 10];
    assert_eq!(
        kept,
        [
            (&xs[..], 3_000_000),
            (b"0123456789", 11),
            (b"0123456789", 10)
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_question_is_answered_as_the_list_of_all_messages_would(
        steps in prop::collection::vec((0..400_u64, -50_000..200_000_i64, 0..4_u8), 1..25),
        from in 0..1_500_000_i64,
        len in 0..1_000_000_i64,
        filter in prop::option::of(prop_oneof!["fleet/[1-9]/#", "fleet/\\+/status", "#", "\\+/7/tür"]),
        text in prop::option::of(prop_oneof!["[oO]n", "TÜR", "[0-9]\\.", "flee"]),
        limit in 1..300_usize,
        work in prop_oneof![Just(1_usize), Just(20_000), Just(1 << 20)],
        is_oldest in any::<bool>(),
    ) {
        let folder = testbed::Folder::new();
        // Short, so that files are small.
        let options = Options {
            keep: Duration::from_mins(40),
            max_bytes: 40_000,
            ..Options::new(folder.path().join("messages"))
        };
        let (mut messages, _) = Messages::open(options.clone()).unwrap();
        let (mut all, mut time) = (Vec::new(), START);
        for (count, later, what) in steps {
            for _ in 0..count {
                let kept = message(all.len() as u64, time);
                append(&mut messages, &kept);
                all.push(kept);
            }
            // Clocks may go back.
            time += later;
            match what {
                0 => {}
                1 | 2 => messages.commit().unwrap(),
                _ => {
                    messages.commit().unwrap();
                    drop(messages);
                    let found;
                    (messages, found) = Messages::open(options.clone()).unwrap();
                    prop_assert_eq!(found, Found::default());
                }
            }
        }
        let query = Query {
            from: START + from,
            to: START + from + len,
            filters: filter.into_iter().collect(),
            text,
            limit,
            work,
            order: if is_oldest { Order::Oldest } else { Order::Newest },
            ..Query::default()
        };
        assert_finds(&messages.reader(), &all, &query);
        let everything = Query { limit: 1_000, ..Query::default() };
        assert_finds(&messages.reader(), &all, &everything);
    }
}
