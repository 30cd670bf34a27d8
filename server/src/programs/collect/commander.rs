//! Who gets a command, and when: every device that has signed in, again and again, until it signs out.
//!
//! Pure: the time is an argument, in the time since the program began.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// The devices that are signed in.
#[derive(Debug)]
pub(crate) struct Commander {
    /// From one command to the next.
    every: Duration,
    /// The most devices.
    most: usize,
    /// The number of each device's stay. A device that signs out and in again begins anew.
    signed_in: HashMap<Box<str>, u64>,
    /// All waits are equally long, so the first is due first. Those who have signed out are left out when
    /// their turn comes.
    queue: VecDeque<Turn>,
    stays: u64,
    /// How many could not be noted, because there are too many.
    ignored: u64,
}

#[derive(Debug)]
struct Turn {
    at: Duration,
    stay: u64,
    id: Box<str>,
}

impl Commander {
    pub(crate) fn new(every: Duration, most: usize) -> Self {
        Self {
            every,
            most,
            signed_in: HashMap::new(),
            queue: VecDeque::new(),
            stays: 0,
            ignored: 0,
        }
    }

    /// A device has signed in. It says so again and again; that changes nothing.
    pub(crate) fn sign_in(&mut self, now: Duration, id: &str) {
        if self.signed_in.contains_key(id) {
            return;
        }
        if self.signed_in.len() >= self.most {
            self.ignored += 1;
            return;
        }
        self.stays += 1;
        self.signed_in.insert(id.into(), self.stays);
        self.queue.push_back(Turn {
            at: now + self.every,
            stay: self.stays,
            id: id.into(),
        });
        self.shrink();
    }

    /// A device has signed out. It gets no more commands.
    pub(crate) fn sign_out(&mut self, id: &str) {
        self.signed_in.remove(id);
    }

    /// When [`Self::due`] gives a device next, or finds one that has left.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.queue.front().map(|turn| turn.at)
    }

    /// A device that is to get a command now.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Box<str>> {
        while self.queue.front().is_some_and(|turn| turn.at <= now) {
            let mut turn = self.queue.pop_front()?;
            if self.signed_in.get(&turn.id) != Some(&turn.stay) {
                continue;
            }
            let id = turn.id.clone();
            turn.at = now + self.every;
            self.queue.push_back(turn);
            return Some(id);
        }
        None
    }

    /// How many devices are signed in.
    pub(crate) fn len(&self) -> usize {
        self.signed_in.len()
    }

    /// How many signed in when there were too many.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Turns of those who have left go early if they are many, as when devices come and go in a loop.
    fn shrink(&mut self) {
        if self.queue.len() > 2 * self.signed_in.len() + 64 {
            let signed_in = &self.signed_in;
            self.queue
                .retain(|turn| signed_in.get(&turn.id) == Some(&turn.stay));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn due(commander: &mut Commander, seconds: u64) -> Vec<String> {
        std::iter::from_fn(|| commander.due(at(seconds)).map(String::from)).collect()
    }

    #[test]
    fn each_device_gets_a_command_again_and_again_until_it_leaves() {
        let mut commander = Commander::new(at(10), 100);
        commander.sign_in(at(0), "a");
        commander.sign_in(at(3), "b");
        commander.sign_in(at(5), "a");
        assert_eq!(commander.next(), Some(at(10)));
        assert_eq!(due(&mut commander, 9), [""; 0]);
        assert_eq!(due(&mut commander, 10), ["a"]);
        assert_eq!(due(&mut commander, 13), ["b"]);
        commander.sign_out("a");
        assert_eq!(due(&mut commander, 25), ["b"]);
        // A new stay begins anew, and does not get the old one's turn.
        commander.sign_out("b");
        commander.sign_in(at(34), "b");
        assert_eq!(due(&mut commander, 40), [""; 0]);
        assert_eq!(due(&mut commander, 44), ["b"]);
    }

    #[test]
    fn memory_is_bounded_whatever_devices_do() {
        let mut commander = Commander::new(at(10), 100);
        for n in 0..10_000 {
            let id = format!("device-{n}");
            commander.sign_in(at(0), &id);
            commander.sign_out(&id);
        }
        assert!(commander.queue.len() <= 64);
        for n in 0..150 {
            commander.sign_in(at(0), &format!("device-{n}"));
        }
        assert_eq!((commander.len(), commander.ignored()), (100, 50));
        assert_eq!(due(&mut commander, 10).len(), 100);
    }
}
