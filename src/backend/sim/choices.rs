//! The choices of a simulation: drawn by a seed, or repeated from a list.
//!
//! Invariant: 0 is the plain choice of each kind, and an answer depends on the seed, the kind and the number of earlier
//! answers of that kind alone.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The kinds of choices that a simulation makes.
        ///
        /// Each kind has its own sequence of choices, so a change to a choice of one kind doesn't shift the others.
        // The hash draws by the number of a kind: a new kind goes to the end, or every seed becomes another run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum ChoiceKind {
            $($(#[$doc])* $name,)*
        }

        impl ChoiceKind {
            /// All kinds, each at the place of its number.
            pub const ALL: &'static [ChoiceKind] = &[$(ChoiceKind::$name,)*];
        }
    };
}

kinds! {
    /// Which task runs next; 0 is the first in the queue.
    Turn,
    /// How much longer than its least a link takes.
    Latency,
    /// A link loses a message.
    Loss,
    /// How many microseconds an event is late.
    Late,
    /// An event comes without a reason.
    Spurious,
    /// Readable and writable are reported in two events.
    Split,
    /// How many microseconds an event is left for a later call of `poll`.
    Postponed,
    /// How many bytes less than possible a read or write moves.
    Short,
    /// An operation returns `WouldBlock` though it could do something.
    WouldBlock,
    /// A call fails with `Interrupted`.
    Interrupted,
    /// A connection is reset.
    Reset,
    /// A connection's writing half is shut down.
    HalfClose,
    /// A datagram is lost.
    Lost,
    /// How much smaller than the largest a buffer is.
    Capacity,
    /// How many microseconds a wait takes longer than its timeout.
    Slack,
    /// Which of the events that are due comes next; 0 is the first in the queue.
    Order,
    /// A direction that is ready comes with the event of the other one, before its own event.
    Merge,
    /// An event comes again though the last one wasn't used up.
    Repeat,
    /// An event comes though its reason has gone meanwhile.
    Stale,
    /// An event omits the hint that its source is closed or has failed.
    Hint,
    /// How many microseconds a program's own work takes between two waits.
    Work,
    /// Which source a fault hits; 0 is the oldest.
    Which,
    /// What the test chooses.
    Test,
}

/// One choice of a simulation that wasn't the plain one.
///
/// [`Debug`](fmt::Debug) prints it as `Short#17=3`: the 17th choice of its kind, counted from 0, has the value 3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice {
    /// The kind of the choice.
    pub kind: ChoiceKind,
    /// How many choices of the kind came before.
    pub index: u64,
    /// What was chosen; 0 would be the plain choice.
    pub value: u64,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#{}={}", self.kind, self.index, self.value)
    }
}

const KINDS: usize = ChoiceKind::ALL.len();

pub(crate) struct Choices {
    seed: u64,
    /// How many choices of each kind were made.
    made: [u64; KINDS],
    replay: Option<Replay>,
    /// The choices that weren't plain, if they are recorded.
    record: Option<Vec<Choice>>,
}

impl Choices {
    /// Draws all choices by `seed`. Allocates nothing.
    pub(crate) fn of_seed(seed: u64) -> Choices {
        Choices { seed, made: [0; KINDS], replay: None, record: None }
    }

    /// Repeats the choices in `list`. All others are plain.
    pub(crate) fn replay(seed: u64, list: Vec<Choice>) -> Choices {
        Choices { replay: Some(Replay::new(list)), ..Choices::of_seed(seed) }
    }

    /// Records, from now on, the choices that aren't plain: of a replay, those that had an effect.
    pub(crate) fn recorded(mut self) -> Choices {
        self.record = Some(Vec::new());
        self
    }

    /// Returns the recorded choices in the order in which they were made.
    pub(crate) fn record(&self) -> &[Choice] {
        self.record.as_deref().unwrap_or_default()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns one of `0..limit`; 0 if there is none.
    pub(crate) fn below(&mut self, kind: ChoiceKind, limit: usize) -> usize {
        match limit {
            0 => 0,
            limit => self.choose(kind, limit as u64 - 1, |number| scaled(number, limit as u64)) as usize,
        }
    }

    /// Returns true once in `one_in` times; never if that is 0.
    pub(crate) fn chance(&mut self, kind: ChoiceKind, one_in: u32) -> bool {
        self.some(kind, one_in, 1) == 1
    }

    /// Returns one of `1..=most` once in `one_in` times, and else 0: whether a fault occurs, and its extent.
    pub(crate) fn some(&mut self, kind: ChoiceKind, one_in: u32, most: usize) -> usize {
        if one_in == 0 || most == 0 {
            return 0;
        }
        let draw = |number: u64| match scaled(number, one_in.into()) {
            0 => 1 + scaled(mixed(number), most as u64),
            _ => 0,
        };
        self.choose(kind, most as u64, draw) as usize
    }

    fn choose(&mut self, kind: ChoiceKind, most: u64, draw: impl FnOnce(u64) -> u64) -> u64 {
        let made = &mut self.made[kind as usize];
        let index = *made;
        *made += 1;
        let value = match &mut self.replay {
            Some(replay) => replay.value(kind, index).min(most),
            None => draw(hash(self.seed, kind, index)),
        };
        if let Some(record) = self.record.as_mut().filter(|_| value != 0) {
            record.push(Choice { kind, index, value });
        }
        value
    }
}

/// The choices that are repeated, sorted, and for each kind how far the run has come in them.
struct Replay {
    list: Vec<Choice>,
    next: [usize; KINDS],
}

impl Replay {
    fn new(mut list: Vec<Choice>) -> Replay {
        list.sort_unstable();
        let mut next = [0; KINDS];
        for (next, kind) in next.iter_mut().zip(ChoiceKind::ALL) {
            *next = list.partition_point(|choice| choice.kind < *kind);
        }
        Replay { list, next }
    }

    fn value(&mut self, kind: ChoiceKind, index: u64) -> u64 {
        let next = &mut self.next[kind as usize];
        match self.list.get(*next) {
            Some(choice) if (choice.kind, choice.index) == (kind, index) => {
                *next += 1;
                choice.value
            }
            _ => 0,
        }
    }
}

/// Returns the number of a choice, by which it is drawn: the same on every platform.
fn hash(seed: u64, kind: ChoiceKind, index: u64) -> u64 {
    // Neighbours in each of the three must not give neighbouring numbers.
    mixed(mixed(mixed(seed) ^ kind as u64) ^ index)
}

/// A step of splitmix64.
pub(super) fn mixed(number: u64) -> u64 {
    let mut number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// Returns one of `0..limit`, evenly.
fn scaled(number: u64, limit: u64) -> u64 {
    ((u128::from(number) * u128::from(limit)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_run(choices: &mut Choices) -> Vec<usize> {
        let mut run = Vec::new();
        for limit in 0..200 {
            run.push(choices.below(ChoiceKind::Turn, limit));
            run.push(choices.chance(ChoiceKind::Lost, 3).into());
            run.push(choices.some(ChoiceKind::Short, 4, limit));
            run.push(choices.chance(ChoiceKind::Reset, 0).into());
        }
        run
    }

    #[test]
    fn a_replay_of_all_choices_is_the_run() {
        for seed in 0..100 {
            let mut first = Choices::of_seed(seed).recorded();
            let run = some_run(&mut first);
            assert!(first.record().iter().all(|choice| choice.value != 0));
            assert!(first.record().len() > 100, "{:?}", first.record());
            // The order of the list doesn't matter.
            let list = first.record().iter().rev().copied().collect();
            let mut again = Choices::replay(seed, list).recorded();
            assert_eq!(some_run(&mut again), run);
            assert_eq!(again.record(), first.record());
            assert_eq!(some_run(&mut Choices::of_seed(seed)), run, "recording changes nothing");
        }
    }

    #[test]
    fn a_replay_of_nothing_is_plain() {
        let mut plain = Choices::replay(7, Vec::new()).recorded();
        assert!(some_run(&mut plain).iter().all(|&value| value == 0));
        assert_eq!(plain.record(), []);
    }

    #[test]
    fn a_missing_choice_changes_no_other() {
        let mut first = Choices::of_seed(3).recorded();
        let run = some_run(&mut first);
        let list = first.record().to_vec();
        let mut list_without = list.clone();
        let removed = list_without.remove(list.len() / 2);
        let other = some_run(&mut Choices::replay(3, list_without));
        let differing: Vec<_> = run.iter().zip(&other).filter(|(one, other)| one != other).collect();
        assert_eq!(differing, [(&(removed.value as usize), &0)]);
    }

    #[test]
    fn a_value_beyond_the_limit_is_the_last_one() {
        let choice = |kind, index| Choice { kind, index, value: 9 };
        let list =
            vec![choice(ChoiceKind::Turn, 1), choice(ChoiceKind::Short, 0), choice(ChoiceKind::Lost, 0)];
        let mut choices = Choices::replay(0, list);
        assert_eq!(choices.below(ChoiceKind::Turn, 4), 0);
        assert_eq!(choices.below(ChoiceKind::Turn, 4), 3);
        assert_eq!(choices.some(ChoiceKind::Short, 1, 5), 5);
        assert!(choices.chance(ChoiceKind::Lost, 1_000));
    }

    #[test]
    fn each_answer_comes_as_often_as_asked() {
        let mut choices = Choices::of_seed(1);
        let mut counts = [0; 10];
        (0..100_000).for_each(|_| counts[choices.below(ChoiceKind::Order, 10)] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");

        let lost = (0..100_000).filter(|_| choices.chance(ChoiceKind::Lost, 20)).count();
        assert!((4_700..5_300).contains(&lost), "{lost}");

        let mut extents = [0; 5];
        (0..100_000).for_each(|_| extents[choices.some(ChoiceKind::Short, 2, 4)] += 1);
        assert!((49_000..51_000).contains(&extents[0]), "{extents:?}");
        assert!(extents[1..].iter().all(|count| (12_000..13_000).contains(count)), "{extents:?}");

        // Neighbouring seeds, and neighbouring kinds, agree no more often than by chance.
        let first = |seed, kind| Choices::of_seed(seed).below(kind, 100);
        let same_seed = (0..10_000).filter(|&seed| {
            first(seed, ChoiceKind::Order) == first(seed + 1, ChoiceKind::Order)
                || first(seed, ChoiceKind::Order) == first(seed, ChoiceKind::Merge)
        });
        let same = same_seed.count();
        assert!((120..280).contains(&same), "{same}");
    }

    #[test]
    fn numbers_are_the_same_everywhere() {
        let mut choices = Choices::of_seed(4711);
        let drawn: Vec<_> = (0..6).map(|_| choices.below(ChoiceKind::Turn, 1_000)).collect();
        assert_eq!(drawn, [381, 975, 561, 995, 483, 704]);
        assert_eq!(mixed(0), 0xE220_A839_7B1D_CDAF, "splitmix64's first number");
        assert_eq!(ChoiceKind::ALL[ChoiceKind::Test as usize], ChoiceKind::Test);
    }
}
