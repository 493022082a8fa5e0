//! The smallest list of choices with which a run still fails.
//!
//! Invariant: a result that claims to be minimal fails, and fails no more without any single one of its choices.

use wakeful::sim::Choice;

/// The result of [`shrink`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The choices that are left, in the order in which they were given.
    pub choices: Vec<Choice>,
    /// How many runs were made.
    pub runs: usize,
    /// Whether each choice was proved to be needed. Otherwise the runs were used up before.
    pub is_minimal: bool,
}

/// Removes choices from a failing run's list for as long as it fails, with at most `budget` runs.
///
/// `fails` makes a run that replays the given choices, and returns whether it fails in the same way.
///
/// The search removes everything, then whole kinds of choices, then ever smaller pieces of the list. Of a thousand
/// choices, three of which are needed, it takes about 50 runs.
///
/// Returns `None` if the whole list doesn't fail: then something beside the choices decides the run. That check is a
/// run too, so a budget of 0 returns the whole list.
pub fn shrink(choices: &[Choice], budget: usize, fails: impl FnMut(&[Choice]) -> bool) -> Option<Shrunk> {
    let mut search = Search { choices: choices.to_vec(), budget, runs: 0, fails };
    if budget > 0 && !search.run(choices) {
        return None;
    }
    let is_minimal = search.minimize().is_some();
    Some(Shrunk { choices: search.choices, runs: search.runs, is_minimal })
}

struct Search<F> {
    /// The shortest failing list so far.
    choices: Vec<Choice>,
    budget: usize,
    runs: usize,
    fails: F,
}

impl<F: FnMut(&[Choice]) -> bool> Search<F> {
    fn run(&mut self, choices: &[Choice]) -> bool {
        self.runs += 1;
        (self.fails)(choices)
    }

    /// Keeps the choices for which `is_kept` is true, given their places, if a run with them alone fails. Returns
    /// whether it does; `None` if no run is left.
    fn keep(&mut self, is_kept: impl Fn(usize, &Choice) -> bool) -> Option<bool> {
        if self.runs >= self.budget {
            return None;
        }
        let all = self.choices.iter().enumerate();
        let fewer: Vec<Choice> =
            all.filter(|(at, choice)| is_kept(*at, choice)).map(|(_, choice)| *choice).collect();
        let fails = self.run(&fewer);
        if fails {
            self.choices = fewer;
        }
        Some(fails)
    }

    /// Returns `None` if the budget ends first.
    fn minimize(&mut self) -> Option<()> {
        if self.choices.is_empty() || self.keep(|_, _| false)? {
            return Some(());
        }
        let mut kinds: Vec<_> = self.choices.iter().map(|choice| choice.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        // With one kind alone this was the first run.
        for kind in kinds.iter().filter(|_| kinds.len() > 1) {
            self.keep(|_, choice| choice.kind != *kind)?;
        }
        let mut size = self.choices.len() / 2;
        while size > 1 {
            self.remove_pieces(size)?;
            size = (size / 2).min(self.choices.len() / 2);
        }
        self.remove_each()
    }

    /// Tries to remove each piece of `size` choices once.
    fn remove_pieces(&mut self, size: usize) -> Option<()> {
        let mut start = 0;
        while start < self.choices.len() {
            let piece = start..start + size;
            if !self.keep(|at, _| !piece.contains(&at))? {
                start += size;
            }
        }
        Some(())
    }

    /// Tries to remove each choice alone, around the list, until each was needed since the last removal.
    fn remove_each(&mut self) -> Option<()> {
        let (mut at, mut needed) = (0, 0);
        while needed < self.choices.len() {
            at %= self.choices.len();
            match self.keep(|other, _| other != at)? {
                true => needed = 0,
                false => (at, needed) = (at + 1, needed + 1),
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wakeful::sim::ChoiceKind;

    fn choices(count: u64) -> Vec<Choice> {
        let kind = |index: u64| ChoiceKind::ALL[index as usize % 5];
        (0..count).map(|index| Choice { kind: kind(index), index, value: 1 }).collect()
    }

    fn indices(choices: &[Choice]) -> Vec<u64> {
        choices.iter().map(|choice| choice.index).collect()
    }

    /// Whether all of `needed` are there.
    fn has(needed: &[u64]) -> impl Fn(&[Choice]) -> bool + '_ {
        move |choices| needed.iter().all(|index| choices.iter().any(|choice| choice.index == *index))
    }

    #[test]
    fn only_the_needed_choices_are_left() {
        for needed in [&[][..], &[0], &[999], &[17, 18], &[3, 500, 998], &[1, 2, 3, 4, 5, 6, 7]] {
            let shrunk = shrink(&choices(1_000), usize::MAX, has(needed)).unwrap();
            assert_eq!(indices(&shrunk.choices), needed);
            assert!(shrunk.is_minimal);
            assert!(shrunk.runs <= 100, "{needed:?}: {} runs", shrunk.runs);
        }
    }

    #[test]
    fn a_run_that_does_not_fail_has_no_result() {
        assert_eq!(shrink(&choices(10), 100, |_| false), None);
        assert_eq!(shrink(&[], 100, |_| false), None);
        // It fails once, and never again.
        let mut runs = 0;
        let once = |_: &[Choice]| {
            runs += 1;
            runs == 1
        };
        let shrunk = shrink(&choices(4), 100, once).unwrap();
        assert_eq!((shrunk.choices.len(), shrunk.is_minimal), (4, true));
    }

    #[test]
    fn a_failure_without_choices_takes_two_runs() {
        let shrunk = shrink(&choices(1_000), usize::MAX, |_| true).unwrap();
        assert_eq!(shrunk, Shrunk { choices: Vec::new(), runs: 2, is_minimal: true });
        let shrunk = shrink(&[], usize::MAX, |_| true).unwrap();
        assert_eq!(shrunk, Shrunk { choices: Vec::new(), runs: 1, is_minimal: true });
    }

    /// Of each kind of failure there are two, one of which no single removal reaches.
    #[test]
    fn alternatives_and_exclusions_are_minimal_too() {
        // Either both of a pair, or a third.
        let either = |choices: &[Choice]| has(&[1, 2])(choices) || has(&[3])(choices);
        check(&choices(20), either);
        // One choice hides the failure unless another is there.
        check(&choices(20), |choices| has(&[5])(choices) && (has(&[7])(choices) || !has(&[6])(choices)));
        // An odd number of choices.
        check(&choices(21), |choices| choices.len() % 2 == 1);
        check(&choices(64), |choices| choices.len() >= 13);
    }

    /// Shrinks, and checks the result, that it is minimal, and that it is the same again.
    fn check(list: &[Choice], fails: impl Fn(&[Choice]) -> bool) {
        let mut seen = Vec::new();
        let shrunk = shrink(list, usize::MAX, |choices| {
            seen.push(choices.to_vec());
            fails(choices)
        });
        let shrunk = shrunk.expect("the whole list fails");
        assert!(shrunk.is_minimal && shrunk.runs == seen.len());
        assert!(fails(&shrunk.choices), "{:?}", shrunk.choices);
        for at in 0..shrunk.choices.len() {
            let mut fewer = shrunk.choices.clone();
            fewer.remove(at);
            assert!(!fails(&fewer), "{:?} is not minimal", shrunk.choices);
        }
        // A part of the list, in its order.
        let mut rest = list.iter();
        assert!(shrunk.choices.iter().all(|choice| rest.any(|other| other == choice)));

        let mut again = seen.iter();
        let second = shrink(list, usize::MAX, |choices| {
            assert_eq!(again.next().map(Vec::as_slice), Some(choices));
            fails(choices)
        });
        assert_eq!(second.as_ref(), Some(&shrunk));

        // A budget is kept, its result fails, and the result is proved to be minimal by the last run alone.
        for budget in [0, 1, 2, shrunk.runs / 2, shrunk.runs - 1, shrunk.runs] {
            let early = shrink(list, budget, &fails).unwrap();
            assert!(early.runs <= budget);
            assert!(fails(&early.choices));
            let proves_all = budget == shrunk.runs || list.is_empty();
            assert_eq!(early.is_minimal, proves_all, "{budget} of {} runs", shrunk.runs);
        }
    }

    /// Any failure at all: a coin by its content decides whether a list fails; the whole list does.
    #[test]
    fn any_failure_is_minimal() {
        let mut lengths = 0;
        for seed in 0..2_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut list = choices(random.u64(0..40));
            random.shuffle(&mut list);
            let (one_in, whole) = (random.u64(2..20), list.clone());
            let coin = |choices: &[Choice]| {
                let content = choices.iter().fold(seed, |content, choice| {
                    fastrand::Rng::with_seed(content.rotate_left(7) ^ choice.index).u64(..)
                });
                choices == whole || fastrand::Rng::with_seed(content).u64(..one_in) == 0
            };
            check(&list, coin);
            lengths += shrink(&list, usize::MAX, coin).unwrap().choices.len();
        }
        assert!(lengths > 4_000, "the results are hardly longer than nothing: {lengths}");
    }

    /// A failure that needs up to five choices.
    #[test]
    fn needed_choices_are_found_in_any_list() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let list = choices(random.u64(10..300));
            let needed: Vec<u64> = (0..random.u64(1..6)).map(|_| random.u64(0..list.len() as u64)).collect();
            check(&list, has(&needed));
            let mut sorted = needed.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(indices(&shrink(&list, usize::MAX, has(&needed)).unwrap().choices), sorted);
        }
    }
}
