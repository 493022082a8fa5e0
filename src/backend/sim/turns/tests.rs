//! Whose turn it is, when the clock may move, and how a run ends.
//!
//! Invariant: no test needs a thread, since a turn is only said to be a task's.

use super::*;
use crate::backend::sim::choices::Choice;

const SECOND: Duration = Duration::from_secs(1);

/// The turns of tasks 0, 1 and so on, each the main task of a host, and the plain choices.
fn started(tasks: u32) -> (Turns, Choices) {
    let mut turns = Turns::new();
    (0..tasks).for_each(|host| assert_eq!(turns.add(host, true), host));
    turns.start();
    (turns, Choices::replay(0, Vec::new()))
}

/// Returns the task that runs next, or until when all wait.
fn next(turns: &mut Turns, choices: &mut Choices) -> Result<TaskNumber, Option<Duration>> {
    match turns.next(choices) {
        Next::Call(task, _) => Ok(task),
        Next::Advance(deadline) => Err(deadline),
        Next::Stay => panic!("a task runs already, or the run has ended"),
    }
}

fn stays(turns: &mut Turns, choices: &mut Choices) -> bool {
    matches!(turns.next(choices), Next::Stay)
}

#[test]
fn one_task_runs_at_a_time_in_the_order_of_the_queue() {
    let (mut turns, mut choices) = started(3);
    for task in [0, 1, 2, 0, 1, 2] {
        assert_eq!(next(&mut turns, &mut choices), Ok(task));
        assert!(stays(&mut turns, &mut choices), "another one runs beside {task}");
        // A deadline that has come gives the turn away, and no more.
        turns.park(task, Some(Duration::ZERO), Duration::ZERO);
        assert!(!turns.was_unparked(task));
    }
    assert_eq!(turns.count, 6);
    let mut before = Turns::new();
    before.add(0, true);
    assert!(stays(&mut before, &mut choices), "a task runs before the start");
}

#[test]
fn the_seed_chooses_among_those_that_are_ready() {
    let (mut turns, _) = started(4);
    let third = Choice { kind: ChoiceKind::Turn, index: 0, value: 2 };
    let mut choices = Choices::replay(0, vec![third]);
    // The others keep their order.
    for task in [2, 0, 1, 3] {
        assert_eq!(next(&mut turns, &mut choices), Ok(task));
        turns.park(task, None, Duration::ZERO);
    }
}

#[test]
fn time_moves_to_the_earliest_deadline_when_all_wait() {
    let (mut turns, mut choices) = started(3);
    for (task, deadline) in [(0, Some(SECOND * 7)), (1, Some(SECOND * 5)), (2, None)] {
        assert_eq!(next(&mut turns, &mut choices), Ok(task));
        turns.park(task, deadline, SECOND);
    }
    assert_eq!(next(&mut turns, &mut choices), Err(Some(SECOND * 5)));
    turns.expire(SECOND * 5 - Duration::from_nanos(1));
    assert_eq!(next(&mut turns, &mut choices), Err(Some(SECOND * 5)));
    turns.expire(SECOND * 5);
    assert_eq!(next(&mut turns, &mut choices), Ok(1));
    assert!(!turns.was_unparked(1));
    // An event that comes earlier than the deadline is another deadline, and a later one is none.
    turns.hasten(0, SECOND * 6, SECOND * 5);
    turns.hasten(0, SECOND * 8, SECOND * 5);
    turns.hasten(2, SECOND * 9, SECOND * 5);
    turns.finish(1);
    assert_eq!(next(&mut turns, &mut choices), Err(Some(SECOND * 6)));
    turns.expire(SECOND * 9);
    assert_eq!(next(&mut turns, &mut choices), Ok(0));
    turns.finish(0);
    assert_eq!(next(&mut turns, &mut choices), Ok(2));
    turns.finish(2);
    assert_eq!(turns.end, Some(End::Done));
}

#[test]
fn unpark_ends_a_wait_once() {
    let (mut turns, mut choices) = started(2);
    assert!(!turns.unpark(0), "it has not waited");
    assert_eq!(next(&mut turns, &mut choices), Ok(0));
    assert!(!turns.unpark(0), "it runs");
    turns.park(0, Some(SECOND), Duration::ZERO);
    assert!(turns.unpark(0));
    assert!(!turns.unpark(0), "it is ready");
    assert_eq!(next(&mut turns, &mut choices), Ok(1));
    turns.park(1, None, Duration::ZERO);
    assert_eq!(next(&mut turns, &mut choices), Ok(0));
    assert!(turns.was_unparked(0));
    // Its old deadline is no deadline any more.
    turns.park(0, None, Duration::ZERO);
    turns.expire(SECOND * 2);
    assert_eq!(next(&mut turns, &mut choices), Err(None));
    // An event that is due at once is an end of the wait.
    turns.hasten(1, SECOND, SECOND);
    assert_eq!(next(&mut turns, &mut choices), Ok(1));
}

#[test]
fn a_world_in_which_all_wait_for_ever_has_no_next_time() {
    let (mut turns, mut choices) = started(2);
    for task in [0, 1] {
        assert_eq!(next(&mut turns, &mut choices), Ok(task));
        turns.park(task, None, SECOND);
    }
    assert_eq!(next(&mut turns, &mut choices), Err(None));
    assert_eq!(turns.end, None, "the world ends the run, since something may be on its way");
}

#[test]
fn a_run_is_done_with_the_last_main_task() {
    let (mut turns, mut choices) = started(2);
    let other = turns.add(0, false);
    assert_eq!((turns.host(other), turns.of_host(0)), (0, vec![0, other]));
    assert_eq!(next(&mut turns, &mut choices), Ok(0));
    turns.finish(0);
    turns.finish(0);
    assert_eq!((turns.end.clone(), turns.of_host(0)), (None, vec![other]));
    // A task that has ended gets no turn, whatever it waited for.
    assert!(!turns.unpark(0));
    assert_eq!(next(&mut turns, &mut choices), Ok(1));
    turns.finish(1);
    assert_eq!(turns.end, Some(End::Done));
    assert!(stays(&mut turns, &mut choices), "the other task runs behind the end");
}

#[test]
fn a_paused_host_has_no_turn_and_keeps_its_place() {
    let (mut turns, mut choices) = started(3);
    turns.pause(0, true);
    for task in [1, 2] {
        assert_eq!(next(&mut turns, &mut choices), Ok(task));
        turns.park(task, Some(SECOND), Duration::ZERO);
    }
    assert_eq!(next(&mut turns, &mut choices), Err(Some(SECOND)));
    turns.pause(0, false);
    turns.expire(SECOND);
    for task in [0, 1, 2] {
        assert_eq!(next(&mut turns, &mut choices), Ok(task));
        turns.park(task, None, SECOND);
    }
}
