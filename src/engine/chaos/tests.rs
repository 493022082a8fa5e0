//! The decisions of chaos: events are held back, split and merged, and none is lost or reported for the wrong source.
//!
//! Invariant: every random choice comes from a seed, so a failure repeats.

use super::*;
use crate::backend::Backend;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const KEY: LayerKey = LayerKey::Source(1);
const TOKEN: Token = Token(7);

fn event() -> Event {
    Event::new(TOKEN, readiness(BOTH), NO_KERNEL, 0)
}

/// Passes an event of the `wait` with this number, for many seeds. Returns the events that are reported at once.
fn passed(prepare: impl Fn(&mut State), wait: u64) -> Vec<Vec<Event>> {
    let passed = |seed| {
        let chaos = Chaos::new(seed);
        let mut state = chaos.state();
        prepare(&mut state);
        let mut events = Events::with_capacity(8);
        state.pass(&event(), wait, true, &mut events);
        events.iter().cloned().collect()
    };
    (0..100).map(passed).collect()
}

fn all_came(events: &[Vec<Event>]) -> bool {
    events.iter().all(|events| events.len() == 1 && events[0].readiness() == readiness(BOTH))
}

#[test]
fn events_are_held_and_split() {
    let passed = passed(|state| state.set(KEY, TOKEN, BOTH), 1);
    assert!(passed.iter().any(Vec::is_empty));
    assert!(passed.iter().flatten().any(|event| !event.is_writable()));
    assert!(passed.iter().flatten().any(|event| !event.is_readable()));
}

#[test]
fn an_event_from_before_a_registration_is_not_held() {
    assert!(all_came(&passed(|_| (), 1)));
    // The token may belong to a new registration.
    let renewed = |state: &mut State| {
        state.waits = 5;
        state.set(KEY, TOKEN, BOTH);
    };
    assert!(all_came(&passed(renewed, 5)));
    assert!(!all_came(&passed(renewed, 6)));
}

#[test]
fn an_event_during_a_reregistration_is_not_lost_with_the_old_one() {
    let changing = |state: &mut State| {
        state.set(KEY, TOKEN, BOTH);
        state.set_changing(KEY, true);
    };
    assert!(all_came(&passed(changing, 1)));
    let chaos = Chaos::new(1);
    changing(&mut chaos.state());
    assert!(!chaos.state().follow_up(KEY, BOTH), "an injected `WouldBlock` needs an event that stays");
}

#[test]
fn a_reregistration_that_fails_keeps_what_is_held() {
    let chaos = Chaos::new(1);
    chaos.state().set(KEY, TOKEN, BOTH);
    assert!(chaos.state().follow_up(KEY, Interest::READABLE));
    let result = chaos.replace(KEY, TOKEN, BOTH, || Err(io::ErrorKind::Other.into()));
    assert!(result.is_err() && !chaos.state().held.is_empty());
    chaos.replace(KEY, TOKEN, BOTH, || Ok(())).unwrap();
    assert!(chaos.state().held.is_empty());
}

#[test]
fn one_of_two_with_the_same_token_goes_with_its_events() {
    let chaos = Chaos::new(1);
    let mut state = chaos.state();
    let other = LayerKey::Raw(3 as RawIo);
    state.set(KEY, TOKEN, Interest::READABLE);
    state.set(other, TOKEN, Interest::WRITABLE);
    assert!(state.follow_up(KEY, BOTH) && state.follow_up(other, BOTH));
    state.remove(KEY);
    let mut events = Events::with_capacity(8);
    state.deliver(true, &mut events);
    let left: Vec<&Event> = events.iter().collect();
    assert!(left.len() == 1 && !left[0].is_readable(), "{left:?}");
    drop(state);
    let shared = |state: &mut State| {
        state.set(KEY, TOKEN, BOTH);
        state.set(other, TOKEN, BOTH);
    };
    assert!(all_came(&passed(shared, 1)), "the event may belong to either");
}

#[test]
fn without_polls_no_memory_fills() {
    let chaos = Chaos::new(1);
    let mut state = chaos.state();
    state.set(KEY, TOKEN, BOTH);
    for _ in 0..1000 {
        assert!(state.follow_up(KEY, BOTH));
    }
    assert_eq!(state.held.len(), 1);
}

/// A poll that doesn't sleep reports a held event that is due, and not only spurious ones.
#[test]
fn a_due_event_is_reported_without_a_sleep() {
    let selector = Selector::new(Backend::default()).unwrap();
    let chaos = Chaos::new(1);
    chaos.state().set(KEY, TOKEN, BOTH);
    assert!(chaos.state().follow_up(KEY, BOTH));
    std::thread::sleep(LATEST);
    let mut events = Events::with_capacity(8);
    chaos.wait(&selector, &Wakes::new(), &mut events, Some(Duration::ZERO)).unwrap();
    assert!(chaos.state().held.is_empty() && !events.is_empty(), "{events:?}");
}
