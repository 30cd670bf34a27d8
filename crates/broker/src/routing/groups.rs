//! The groups of shared subscriptions, `$share/{name}/{filter}` (section 4.8.2): one member of
//! each group gets each matching message.
//!
//! The turn goes round among the members that are ready: the broker can send to them at once. A
//! member that turns out not to be is moved to the blocked ones until the broker can send to it
//! again. So a choice costs a few steps, however many members there are and however many of them
//! are blocked. If all are blocked, the message waits for the one with the shortest queue among the
//! next few. The group is full if none of the next [`ASKED`] members has room in its queue, and
//! none of the extra members that earlier choices left unasked.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::QoS;
use slab::Slab;

use crate::types::{GroupId, NodeId, SessionId, ShrinkPolicy, Subscriber, shrink};

/// The place of a session in a group.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    group: GroupId,
    member: usize,
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    by_id: HashMap<GroupId, Group, FixedState>,
    last: GroupId,
    /// The number that the next new group gets, if that group existed in an earlier run of the
    /// broker.
    restored: Option<GroupId>,
}

#[derive(Debug)]
struct Group {
    node: NodeId,
    name: Arc<str>,
    members: Slab<Member>,
    shrink: ShrinkPolicy,
    /// How many members have sessions that survive a crash, and get messages with `QoS` 1 or 2.
    lasting: usize,
    /// The member whose turn is next, for each [`Standing`].
    next: [Option<usize>; 3],
    /// How many members beyond [`ASKED`] a choice may ask.
    spared: usize,
}

#[derive(Debug)]
struct Member {
    subscriber: Subscriber,
    /// Whether the member's session is in the journal.
    is_lasting: bool,
    standing: Standing,
    /// The neighbours of this member in the ring of its standing.
    previous: usize,
    next: usize,
}

/// Whether the broker can send to a member at once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It can, as far as it knows.
    Ready,
    /// The member is connected, but had no room when it was its turn.
    Blocked,
    /// The member has a session but no connection.
    Absent,
}

/// What a member can do with a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    /// The broker can send it the message at once.
    Now,
    /// The message can wait in its queue behind this many others.
    Later(usize),
    /// It cannot take any message now: usually its queue is full.
    None,
    /// It cannot take this message, which is too large or which it may not receive.
    NotThis,
}

/// Which members may be chosen.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    /// Members with a connection, or others if none of those has room.
    All,
    /// Only members with a connection.
    Connected,
}

/// The result of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This member has room for the message.
    Takes(Subscriber),
    /// No member has room. Apply the queue-full behaviour to this member.
    Full(Subscriber),
    /// No member takes the message, and at least one of them only because it cannot take this one.
    /// Apply the queue-full behaviour to this member.
    NotThis(Subscriber),
    /// The group has no member that may be chosen.
    Nobody,
}

/// If the broker can send to no member at once, it compares this many members that have room in
/// their queues.
const COMPARED: usize = 4;

/// How many members of each [`Standing`] one choice asks whether they have room. Members that turn
/// out to be blocked do not count. The choice for the next message begins after the members that
/// were asked.
const ASKED: usize = 256;

/// The most extra members that a choice may ask. Each choice that asks fewer than [`ASKED`] saves
/// the difference for later ones. So a message is lost only after all members have been asked,
/// unless the group is very large or messages are lost all the time. On average a publisher causes
/// no more work than [`ASKED`] allows.
const SPARED: usize = 16 * ASKED;

impl Membership {
    pub(crate) fn group(self) -> GroupId {
        self.group
    }
}

impl Groups {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            by_id: HashMap::with_hasher(FixedState::with_seed(seed)),
            last: GroupId(0),
            restored: None,
        }
    }

    /// Sets the number that the next new group gets. The group had this number in an earlier run
    /// of the broker.
    pub(crate) fn restore_number(&mut self, id: GroupId) {
        if !self.by_id.contains_key(&id) {
            self.restored = Some(id);
        }
    }

    /// The highest number in use so far.
    pub(crate) fn last(&self) -> GroupId {
        self.last
    }

    /// Notes that an earlier run of the broker has used the group number `id`.
    pub(crate) fn note_number(&mut self, id: GroupId) {
        self.last = self.last.max(id);
    }

    /// Creates a group without members for the filter at `node`.
    pub(crate) fn create(&mut self, node: NodeId, name: Arc<str>) -> GroupId {
        let group = Group {
            node,
            name,
            members: Slab::new(),
            shrink: ShrinkPolicy::default(),
            lasting: 0,
            next: [None; 3],
            spared: SPARED,
        };
        let id = self.restored.take();
        let id = id.unwrap_or(GroupId(self.last.0.saturating_add(1)));
        self.last = self.last.max(id);
        self.by_id.insert(id, group);
        id
    }

    pub(crate) fn join(
        &mut self,
        id: GroupId,
        subscriber: Subscriber,
        standing: Standing,
    ) -> Option<Membership> {
        let member = self.by_id.get_mut(&id)?.join(subscriber, standing);
        Some(Membership { group: id, member })
    }

    /// Notes whether the member's session is in the journal. For a new member it is not.
    pub(crate) fn set_lasting(
        &mut self,
        membership: Membership,
        session: SessionId,
        is_lasting: bool,
    ) {
        self.change(membership, session, |it| it.is_lasting = is_lasting);
    }

    /// Whether any member has a session that survives a crash, and gets messages with `QoS` 1 or 2.
    pub(crate) fn lasts(&self, id: GroupId) -> bool {
        self.by_id.get(&id).is_some_and(|group| group.lasting > 0)
    }

    /// Replaces the member's subscription.
    pub(crate) fn replace(&mut self, membership: Membership, subscriber: Subscriber) {
        self.change(membership, subscriber.session, |it| {
            it.subscriber = subscriber;
        });
    }

    /// Removes the member. If it was the last one, also removes the group, and returns its
    /// filter's node and its name.
    pub(crate) fn leave(&mut self, membership: Membership) -> Option<(NodeId, Arc<str>)> {
        let group = self.by_id.get_mut(&membership.group)?;
        if group.members.contains(membership.member) {
            group.unlink(membership.member);
            let member = group.members.remove(membership.member);
            group.lasting -= usize::from(member.lasts());
            group.shrink.shrink_if_due(&mut group.members);
        }
        if !group.members.is_empty() {
            return None;
        }
        let group = self.by_id.remove(&membership.group)?;
        shrink::shrink_map(&mut self.by_id);
        Some((group.node, group.name))
    }

    /// The capacity of the tables.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        let groups = self.by_id.values();
        self.by_id.capacity() + groups.map(|it| it.members.capacity()).sum::<usize>()
    }

    /// The node of a group's filter, and its name.
    pub(crate) fn shared(&self, id: GroupId) -> Option<(NodeId, &str)> {
        let group = self.by_id.get(&id)?;
        Some((group.node, &group.name))
    }

    /// A member's subscription.
    pub(crate) fn subscriber(&self, membership: Membership) -> Option<&Subscriber> {
        let group = self.by_id.get(&membership.group)?;
        Some(&group.members.get(membership.member)?.subscriber)
    }

    /// Changes the session's standing in a group. The session goes to the end of the ring of its
    /// new standing.
    pub(crate) fn set_standing(
        &mut self,
        membership: Membership,
        session: SessionId,
        standing: Standing,
    ) {
        if self.member(membership, session).is_some()
            && let Some(group) = self.by_id.get_mut(&membership.group)
        {
            group.set_standing(membership.member, standing);
        }
    }

    /// Chooses the member that gets the next message of a group. `room` says what a member can
    /// do with it. Members that turn out to be blocked are appended to `blocked`.
    pub(crate) fn choose(
        &mut self,
        id: GroupId,
        among: Among,
        blocked: &mut Vec<(SessionId, Membership)>,
        mut room: impl FnMut(&Subscriber) -> Capability,
    ) -> Choice {
        let Some(group) = self.by_id.get_mut(&id) else {
            return Choice::Nobody;
        };
        let mut skipped = None;
        let mut asked = 0;
        while let Some(key) = group.next[Standing::Ready as usize]
            && skipped != Some(key)
            && group.claim_ask(asked)
        {
            let subscriber = group.members[key].subscriber;
            match room(&subscriber) {
                Capability::Now => {
                    group.next[Standing::Ready as usize] = Some(group.members[key].next);
                    group.spare(asked);
                    return Choice::Takes(subscriber);
                }
                Capability::NotThis => {
                    skipped.get_or_insert(key);
                    asked += 1;
                    group.next[Standing::Ready as usize] = Some(group.members[key].next);
                }
                Capability::Later(_) | Capability::None => {
                    group.set_standing(key, Standing::Blocked);
                    let membership = Membership {
                        group: id,
                        member: key,
                    };
                    blocked.push((subscriber.session, membership));
                }
            }
        }
        let rings = match among {
            Among::All => &[Standing::Ready, Standing::Blocked, Standing::Absent][..],
            Among::Connected => &[Standing::Ready, Standing::Blocked],
        };
        let mut is_not_this = asked > 0;
        for &standing in &rings[1..] {
            let (chosen, more) = group.least_waiting(standing, &mut room, &mut is_not_this);
            asked += more;
            if let Some(subscriber) = chosen {
                group.spare(asked);
                return Choice::Takes(subscriber);
            }
        }
        group.spare(asked);
        let mut heads = rings
            .iter()
            .filter_map(|&standing| group.next[standing as usize]);
        heads.next().map_or(Choice::Nobody, |key| {
            let subscriber = group.members[key].subscriber;
            if is_not_this {
                Choice::NotThis(subscriber)
            } else {
                Choice::Full(subscriber)
            }
        })
    }

    fn change(
        &mut self,
        membership: Membership,
        session: SessionId,
        change: impl FnOnce(&mut Member),
    ) {
        let Some(member) = self.member(membership, session) else {
            return;
        };
        let before = member.lasts();
        change(member);
        let after = member.lasts();
        if let Some(group) = self.by_id.get_mut(&membership.group) {
            group.lasting = group.lasting - usize::from(before) + usize::from(after);
        }
    }

    fn member(&mut self, membership: Membership, session: SessionId) -> Option<&mut Member> {
        let group = self.by_id.get_mut(&membership.group)?;
        let member = group.members.get_mut(membership.member)?;
        (member.subscriber.session == session).then_some(member)
    }
}

impl Member {
    /// Whether its session survives a crash, and it gets messages with `QoS` 1 or 2.
    fn lasts(&self) -> bool {
        self.is_lasting && self.subscriber.qos != QoS::AtMostOnce
    }
}

impl Group {
    fn join(&mut self, subscriber: Subscriber, standing: Standing) -> usize {
        let key = self.members.insert(Member {
            subscriber,
            is_lasting: false,
            standing,
            previous: 0,
            next: 0,
        });
        self.shrink.record_insert(&self.members);
        self.link(key);
        key
    }

    fn set_standing(&mut self, key: usize, standing: Standing) {
        if self.members[key].standing != standing {
            self.unlink(key);
            self.members[key].standing = standing;
            self.link(key);
        }
    }

    /// Whether a choice that has asked `asked` members may ask another one. Beyond [`ASKED`] this
    /// uses up one of the extra members that earlier choices saved. Returns `false` if none is
    /// left.
    fn claim_ask(&mut self, asked: usize) -> bool {
        if asked < ASKED {
            return true;
        }
        let may = self.spared > 0;
        self.spared = self.spared.saturating_sub(1);
        may
    }

    /// Saves for later choices how many members fewer than [`ASKED`] a choice has asked.
    fn spare(&mut self, asked: usize) {
        self.spared = (self.spared + ASKED.saturating_sub(asked)).min(SPARED);
    }

    /// Finds the member with the shortest queue among the next few members in a ring that have
    /// room. Also returns how many members were asked. Sets `is_not_this` if one of them could take
    /// other messages, but not this one.
    fn least_waiting(
        &mut self,
        standing: Standing,
        room: &mut impl FnMut(&Subscriber) -> Capability,
        is_not_this: &mut bool,
    ) -> (Option<Subscriber>, usize) {
        let Some(first) = self.next[standing as usize] else {
            return (None, 0);
        };
        let mut best: Option<(usize, usize)> = None;
        let (mut asked, mut compared) = (0, 0);
        let mut key = first;
        loop {
            let waiting = match room(&self.members[key].subscriber) {
                Capability::Now => Some(0),
                Capability::Later(waiting) => Some(waiting),
                Capability::None => None,
                Capability::NotThis => {
                    *is_not_this = true;
                    None
                }
            };
            asked += 1;
            if let Some(waiting) = waiting {
                compared += 1;
                if best.is_none_or(|(least, _)| waiting < least) {
                    best = Some((waiting, key));
                }
            }
            key = self.members[key].next;
            if compared == COMPARED || key == first || !self.claim_ask(asked) {
                break;
            }
        }
        let Some((_, key)) = best else {
            self.next[standing as usize] = Some(key);
            return (None, asked);
        };
        self.next[standing as usize] = Some(self.members[key].next);
        (Some(self.members[key].subscriber), asked)
    }

    /// Puts a member at the end of the ring of its standing.
    fn link(&mut self, key: usize) {
        let ring = self.members[key].standing as usize;
        let (previous, next) = match self.next[ring] {
            None => {
                self.next[ring] = Some(key);
                (key, key)
            }
            Some(first) => (self.members[first].previous, first),
        };
        self.members[key].previous = previous;
        self.members[key].next = next;
        self.members[previous].next = key;
        self.members[next].previous = key;
    }

    fn unlink(&mut self, key: usize) {
        let member = &self.members[key];
        let (ring, previous, next) = (member.standing as usize, member.previous, member.next);
        if next == key {
            self.next[ring] = None;
            return;
        }
        self.members[previous].next = next;
        self.members[next].previous = previous;
        if self.next[ring] == Some(key) {
            self.next[ring] = Some(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt::{Subscription, TopicFilter};

    use super::*;

    fn group(members: u32) -> (Groups, GroupId, Vec<Membership>) {
        let mut groups = Groups::new(0);
        let id = groups.create(NodeId::ROOT, "g".into());
        let memberships = (0..members)
            .map(|session| {
                let filter = TopicFilter::try_from("$share/g/x").unwrap();
                let subscription = Subscription::new(filter, QoS::AtLeastOnce);
                let session = SessionId::from_number(session);
                let subscriber = Subscriber::new(session, &subscription, None);
                groups.join(id, subscriber, Standing::Ready).unwrap()
            })
            .collect();
        (groups, id, memberships)
    }

    /// The members that `times` messages go to, and how often a member was asked for its room.
    fn chosen(
        groups: &mut Groups,
        id: GroupId,
        times: usize,
        room: impl Fn(u32) -> Capability,
    ) -> (Vec<u32>, usize) {
        let mut asked = 0;
        let chosen = (0..times).map(|_| {
            let choice = groups.choose(id, Among::All, &mut Vec::new(), |it| {
                asked += 1;
                room(it.session.number())
            });
            match choice {
                Choice::Takes(subscriber) => subscriber.session.number(),
                other => panic!("{other:?}"),
            }
        });
        (chosen.collect(), asked)
    }

    #[test]
    fn a_choice_costs_a_few_steps_where_nobody_has_room() {
        let (mut groups, id, _) = group(1_000);
        let mut ask = |room: Capability| {
            let mut asked = 0;
            let choice = groups.choose(id, Among::All, &mut Vec::new(), |_| {
                asked += 1;
                room
            });
            (choice, asked)
        };
        // All members are asked, but not again and again.
        let mut sum = 0;
        for _ in 0..100 {
            let (choice, asked) = ask(Capability::NotThis);
            assert!(matches!(choice, Choice::NotThis(_)));
            sum += asked;
        }
        assert_eq!(sum, 100 * ASKED + SPARED);
        // All members become blocked, each once.
        assert_eq!(ask(Capability::None).1, 1_000 + ASKED);
        for _ in 0..3 {
            let (choice, asked) = ask(Capability::None);
            assert!(matches!(choice, Choice::Full(_)));
            assert_eq!(asked, ASKED);
        }
        // The member with room is found when its turn comes.
        let mut tries = 0;
        loop {
            let choice = groups.choose(id, Among::All, &mut Vec::new(), |it| {
                match it.session.number() {
                    900 => Capability::Later(3),
                    _ => Capability::None,
                }
            });
            tries += 1;
            match choice {
                Choice::Takes(subscriber) => break assert_eq!(subscriber.session.number(), 900),
                Choice::Full(_) => assert!(tries <= 1_000 / ASKED, "{tries}"),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Hundreds of members in a row that can take nothing do not hide one that can. No message
    /// is lost while any member has room.
    #[test]
    fn no_member_starves_behind_hundreds_without_room() {
        type Of = fn(u32) -> Capability;
        let rooms: [(Of, Of); 3] = [
            (|_| Capability::None, |_| Capability::Later(7)),
            (|_| Capability::NotThis, |_| Capability::Now),
            (|_| Capability::NotThis, |_| Capability::Later(7)),
        ];
        for (none, some) in rooms {
            let (mut groups, id, memberships) = group(600);
            let room = |session| match session {
                0..300 => none(session),
                _ => some(session),
            };
            let mut counts = [0_u32; 600];
            for session in chosen(&mut groups, id, 6_000, room).0 {
                counts[session as usize] += 1;
            }
            assert!(counts[..300].iter().all(|&count| count == 0));
            assert!(
                counts[300..].iter().all(|count| (10..=30).contains(count)),
                "{counts:?}"
            );
            // They have room again, and are served too.
            for (session, &membership) in (0..).zip(&memberships) {
                groups.set_standing(membership, SessionId::from_number(session), Standing::Ready);
            }
            let again = chosen(&mut groups, id, 600, |_| Capability::Now).0;
            assert!((0..600).all(|session| again.contains(&session)));
        }
        // Absent members are found too, even after as many connected members without room.
        let (mut groups, id, memberships) = group(600);
        for session in 300..600 {
            let membership = memberships[session as usize];
            groups.set_standing(
                membership,
                SessionId::from_number(session),
                Standing::Absent,
            );
        }
        let room = |session| match session {
            0..450 => Capability::None,
            _ => Capability::Later(1),
        };
        let served = chosen(&mut groups, id, 600, room).0;
        assert!((450..600).all(|session| served.contains(&session)));
    }

    #[test]
    fn the_turn_goes_round() {
        let (mut groups, id, memberships) = group(4);
        let everybody = |_| Capability::Now;
        assert_eq!(chosen(&mut groups, id, 6, everybody).0, [0, 1, 2, 3, 0, 1]);
        groups.leave(memberships[2]);
        assert_eq!(chosen(&mut groups, id, 4, everybody).0, [3, 0, 1, 3]);
        let standing = Standing::Absent;
        groups.set_standing(memberships[0], SessionId::from_number(0), standing);
        assert_eq!(chosen(&mut groups, id, 4, everybody).0, [1, 3, 1, 3]);
        // A member that comes back is last in its ring.
        let standing = Standing::Ready;
        groups.set_standing(memberships[0], SessionId::from_number(0), standing);
        assert_eq!(chosen(&mut groups, id, 4, everybody).0, [1, 3, 0, 1]);
    }

    #[test]
    fn a_thousand_stuck_members_are_asked_only_once() {
        let (mut groups, id, _) = group(1_000);
        let only_last = |session| match session {
            999 => Capability::Now,
            _ => Capability::None,
        };
        let (chosen, asked) = chosen(&mut groups, id, 1_000, only_last);
        assert!(chosen.iter().all(|&session| session == 999));
        assert_eq!(asked, 999 + 1_000);
    }

    #[test]
    fn if_no_member_is_ready_the_next_few_are_compared() {
        let (mut groups, id, _) = group(100);
        let queues = |session| Capability::Later(session as usize % 4);
        chosen(&mut groups, id, 1, queues);
        let (chosen, asked) = chosen(&mut groups, id, 50, queues);
        assert!(chosen.iter().all(|session| session % 4 == 0), "{chosen:?}");
        assert_eq!(asked, 50 * COMPARED);
    }

    #[test]
    fn a_member_with_room_is_found_behind_any_number_without() {
        let (mut groups, id, _) = group(100);
        let room = |session| match session {
            77 => Capability::Later(3),
            _ => Capability::None,
        };
        assert_eq!(chosen(&mut groups, id, 2, room).0, [77, 77]);
        let mut blocked = Vec::new();
        let full = groups.choose(id, Among::All, &mut blocked, |_| Capability::None);
        assert!(matches!(full, Choice::Full(_)));
        assert!(blocked.is_empty());
    }

    #[test]
    fn the_group_ends_with_its_last_member() {
        let (mut groups, id, memberships) = group(2);
        assert_eq!(groups.leave(memberships[0]), None);
        assert!(groups.by_id.contains_key(&id));
        let left = groups.leave(memberships[1]);
        assert_eq!(left, Some((NodeId::ROOT, "g".into())));
        assert!(!groups.by_id.contains_key(&id));
        let nobody = groups.choose(id, Among::All, &mut Vec::new(), |_| Capability::Now);
        assert_eq!(nobody, Choice::Nobody);
        assert_ne!(groups.create(NodeId::ROOT, "g".into()), id);
    }
}
