//! Looks for messages, in any thread, while others are appended.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::StoreError;
use store::log;

use crate::Millis;
use crate::block::{Builder, Head, Rows};
use crate::index::{Entry, Index};
use crate::query::{Kept, Matcher, Order, Page, Query};

/// Looks for messages. Clones look in the same log.
#[derive(Clone, Debug)]
pub struct Reader {
    log: log::Reader,
    shared: Arc<Shared>,
}

/// What the writer and its readers know.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    index: Mutex<Index>,
    hot: Mutex<Hot>,
}

/// Messages that are not committed.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    /// Blocks that are in the log's buffer.
    pub(crate) sealed: Vec<Arc<Vec<u8>>>,
    pub(crate) open: Builder,
    /// The number of the first message in `open`.
    pub(crate) first: u64,
}

impl Shared {
    pub(crate) fn new(index: Index) -> Arc<Self> {
        let first = index.end();
        Arc::new(Self {
            index: Mutex::new(index),
            hot: Mutex::new(Hot {
                first,
                ..Hot::default()
            }),
        })
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page that is being filled.
struct Search<'q> {
    query: &'q Query,
    matcher: Matcher<'q>,
    page: Page,
    /// Newest first: all messages from this number on were looked at. Oldest first: all below it.
    edge: u64,
    /// Bytes that were looked at.
    work: usize,
    /// Bytes of the page.
    bytes: usize,
}

impl Reader {
    pub(crate) fn new(log: log::Reader, shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Self { log, shared }
    }

    /// The earliest time of a message that is committed.
    pub fn since(&self) -> Option<Millis> {
        self.shared.index().since()
    }

    /// Looks for messages, also for those that are not committed yet. Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// A file cannot be opened. Damage is no error.
    pub fn read(&self, query: &Query) -> Result<Page, StoreError> {
        // What is hot now may be committed before the index is asked. So this comes first.
        let hot = self.hot();
        let mut search = Search::new(query);
        let is_over = match query.order {
            Order::Newest => {
                search.look_at_all(hot.into_iter().rev()).is_break()
                    || self.look_at_committed(&mut search)?.is_break()
            }
            Order::Oldest => {
                self.look_at_committed(&mut search)?.is_break()
                    || search.look_at_all(hot.into_iter()).is_break()
            }
        };
        if !is_over {
            search.page.next = None;
            search.page.looked_to = None;
        }
        Ok(search.page)
    }

    /// The blocks that are not committed, oldest first.
    fn hot(&self) -> Vec<Rows> {
        let hot = self.shared.hot();
        let is_open = hot.open.count() > 0;
        let open = is_open.then(|| hot.open.rows(hot.first)).flatten();
        let sealed = hot.sealed.clone();
        drop(hot);
        let sealed = sealed.iter().filter_map(|it| Rows::read(it));
        sealed.chain(open).collect()
    }

    fn look_at_committed(&self, search: &mut Search<'_>) -> Result<ControlFlow<()>, StoreError> {
        while let Some(entry) = search.next_entry(&self.shared.index()) {
            let blocks = self.blocks(entry, search)?;
            let flow = match search.query.order {
                Order::Newest => {
                    search.look_at_all(blocks.iter().rev().filter_map(|it| Rows::read(it)))
                }
                Order::Oldest => search.look_at_all(blocks.iter().filter_map(|it| Rows::read(it))),
            };
            if flow.is_break() {
                return Ok(flow);
            }
            search.edge = match search.query.order {
                Order::Newest => search.edge.min(entry.first),
                Order::Oldest => search.edge.max(entry.end),
            };
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The blocks of a stretch that may hold what is looked for.
    fn blocks(&self, entry: Entry, search: &mut Search<'_>) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut blocks = Vec::new();
        let read = self.log.read(entry.at, |at, record| {
            let Some(head) = Head::read(record) else {
                return ControlFlow::Continue(());
            };
            if at.segment != entry.at.segment || head.first >= entry.end {
                return ControlFlow::Break(());
            }
            if search.may_be_in(head) {
                blocks.push(record.to_vec());
            }
            if head.end() >= entry.end {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        search.page.damaged.extend(read.damaged);
        Ok(blocks)
    }
}

impl<'q> Search<'q> {
    fn new(query: &'q Query) -> Self {
        Self {
            matcher: Matcher::new(query),
            page: Page::default(),
            edge: query.start.unwrap_or(match query.order {
                Order::Newest => u64::MAX,
                Order::Oldest => 0,
            }),
            query,
            work: 0,
            bytes: 0,
        }
    }

    fn next_entry(&self, index: &Index) -> Option<Entry> {
        let Query { from, to, .. } = *self.query;
        match self.query.order {
            Order::Newest => index.last_below(self.edge, from, to),
            Order::Oldest => index.first_from(self.edge, from, to),
        }
    }

    fn may_be_in(&self, head: Head) -> bool {
        let is_new = match self.query.order {
            Order::Newest => head.first < self.edge,
            Order::Oldest => head.end() > self.edge,
        };
        is_new && head.max >= self.query.from && head.min < self.query.to
    }

    fn look_at_all(&mut self, mut blocks: impl Iterator<Item = Rows>) -> ControlFlow<()> {
        blocks.try_for_each(|rows| {
            if self.may_be_in(rows.head) {
                self.look_at(&rows)
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// Looks at the messages of a block. Breaks when the page is full.
    fn look_at(&mut self, rows: &Rows) -> ControlFlow<()> {
        let (head, all) = (rows.head, rows.rows());
        if let Some(topics) = self.matcher.topics(rows) {
            for at in 0..all.len() {
                let at = match self.query.order {
                    Order::Newest => all.len() - 1 - at,
                    Order::Oldest => at,
                };
                let number = head.first.wrapping_add(at as u64);
                let is_seen = match self.query.order {
                    Order::Newest => number >= self.edge,
                    Order::Oldest => number < self.edge,
                };
                if is_seen || !self.matcher.fits(&topics, rows, &all[at]) {
                    continue;
                }
                if self.page.messages.len() >= self.query.limit || self.bytes >= self.query.bytes {
                    return self.end_before(number, self.page.messages.last().map(|it| it.time));
                }
                let message = kept(rows, at);
                self.bytes += message.size();
                self.page.messages.push(message);
            }
        }
        self.work += rows.bytes();
        self.edge = match self.query.order {
            Order::Newest => self.edge.min(head.first),
            Order::Oldest => self.edge.max(head.end()),
        };
        if self.work >= self.query.work {
            let looked_to = match self.query.order {
                Order::Newest => head.min,
                Order::Oldest => head.max,
            };
            self.page.next = Some(self.edge);
            self.page.looked_to = Some(looked_to);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// The page is full, and this message is the first of the next one.
    fn end_before(&mut self, number: u64, looked_to: Option<Millis>) -> ControlFlow<()> {
        self.page.next = Some(match self.query.order {
            Order::Newest => number.saturating_add(1),
            Order::Oldest => number,
        });
        self.page.looked_to = looked_to;
        ControlFlow::Break(())
    }
}

fn kept(rows: &Rows, at: usize) -> Kept {
    let row = &rows.rows()[at];
    Kept {
        number: rows.head.first.wrapping_add(at as u64),
        time: row.time,
        topic: rows.topic(row).to_owned(),
        payload: rows.payload(row).to_vec(),
        bytes: row.bytes,
        qos: row.qos,
        retain: row.retain,
        client: rows.client(row).map(str::to_owned),
    }
}
