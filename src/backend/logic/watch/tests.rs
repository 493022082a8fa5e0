//! The state machine's rules, one test for each. Time passes only by the tests' own instants.

use std::time::Duration;

use super::recheck;
use super::*;

fn longest_pause() -> Duration {
    recheck::pause(recheck::DOUBLINGS)
}

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const HANG_UP: Readiness = Readiness::READABLE.union(Readiness::READ_CLOSED).union(Readiness::WRITE_CLOSED);

fn source(interest: Interest) -> Watch {
    Watch::new(Registration::tracked(Token(1), interest))
}

fn raw(interest: Interest) -> Watch {
    Watch::new(Registration::untracked(Token(1), interest))
}

#[test]
fn a_reported_direction_is_quiet_until_its_operation_blocks() {
    let mut watch = source(BOTH);
    assert_eq!(watch.ready(Readiness::READABLE), Some(Readiness::READABLE));
    assert_eq!(watch.armed(), Some(WRITE));
    assert_eq!(watch.to_recheck(), None);
    assert_eq!(watch.ready(Readiness::READABLE), None);

    watch.rearm(RearmCause::Direction(READ));
    assert_eq!(watch.armed(), Some(BOTH));
}

#[test]
fn a_blocked_read_does_not_arm_writing() {
    let mut watch = source(BOTH);
    watch.ready(Readiness::READABLE.union(Readiness::WRITABLE));
    assert_eq!(watch.armed(), None);
    watch.rearm(RearmCause::Direction(READ));
    assert_eq!(watch.armed(), Some(READ));
}

#[test]
fn a_direction_of_no_interest_is_neither_armed_nor_reported() {
    let mut watch = source(READ);
    watch.rearm(RearmCause::Direction(WRITE));
    assert_eq!(watch.armed(), Some(READ));
    assert_eq!(watch.ready(Readiness::WRITABLE), None);
    assert_eq!(watch.ready(Readiness::WRITABLE.union(Readiness::READABLE)), Some(Readiness::READABLE));
}

#[test]
fn replacing_arms_every_direction() {
    let mut watch = source(READ);
    watch.ready(Readiness::READABLE);
    watch.replace(Registration::tracked(Token(2), BOTH));
    assert_eq!(watch.token(), Token(2));
    assert_eq!(watch.armed(), Some(BOTH));
}

#[test]
fn an_error_silences_every_direction() {
    let mut watch = source(BOTH);
    assert!(watch.ready(Readiness::ERROR.union(Readiness::WRITABLE)).is_some());
    assert_eq!(watch.armed(), None, "the kernel would go on reporting it");
}

#[test]
fn the_end_is_reported_once_though_nothing_is_armed() {
    let mut watch = source(BOTH);
    watch.ready(Readiness::READABLE.union(Readiness::WRITABLE));
    assert_eq!(watch.armed(), None);
    assert!(watch.awaits_end() && watch.awaits_read_end());

    let half = Readiness::READABLE.union(Readiness::READ_CLOSED);
    assert_eq!(watch.ready(half), Some(half));
    assert!(watch.awaits_end() && !watch.awaits_read_end());
    assert_eq!(watch.ready(half), None);

    assert_eq!(watch.ready(HANG_UP), Some(HANG_UP.union(Readiness::WRITABLE)));
    assert!(!watch.awaits_end());
}

#[test]
fn a_short_read_arms_unless_the_end_was_reported() {
    let mut watch = source(READ);
    watch.ready(Readiness::READABLE);
    watch.rearm(RearmCause::Short(READ));
    assert_eq!(watch.armed(), Some(READ));

    for end in [Readiness::READABLE.union(Readiness::READ_CLOSED), HANG_UP] {
        let mut watch = source(READ);
        watch.ready(end);
        watch.rearm(RearmCause::Short(READ));
        assert_eq!(watch.armed(), None, "the kernel would report the same end again");
    }
}

#[test]
fn a_blocked_write_does_not_repeat_a_half_close() {
    let mut watch = source(BOTH);
    watch.ready(Readiness::READABLE.union(Readiness::WRITABLE).union(Readiness::READ_CLOSED));
    watch.rearm(RearmCause::Direction(WRITE));
    assert_eq!(watch.armed(), Some(WRITE));
    assert!(!watch.awaits_read_end());
}

#[test]
fn an_error_that_was_taken_makes_the_next_one_news() {
    let mut watch = source(BOTH);
    watch.ready(Readiness::ERROR.union(Readiness::READABLE));
    assert!(!watch.awaits_end());
    watch.rearm(RearmCause::Direction(READ));
    assert!(watch.awaits_end());
}

#[test]
fn no_direction_is_silenced_unreported() {
    let both = Readiness::READABLE.union(Readiness::WRITABLE).union(Readiness::ERROR);
    let mut watch = source(BOTH);
    assert_eq!(watch.ready(Readiness::ERROR.union(Readiness::WRITABLE)), Some(both));
    let mut watch = source(READ);
    assert_eq!(watch.ready(both), Some(Readiness::READABLE.union(Readiness::ERROR)));
}

#[test]
fn priority_alone_is_silenced_by_a_hang_up() {
    let mut watch = source(Interest::PRIORITY_DATA);
    assert!(watch.ready(HANG_UP).is_some());
    assert_eq!(watch.armed(), None);
}

#[test]
fn priority_data_that_was_used_up_is_armed_again() {
    let priority = Readiness::READABLE.union(Readiness::PRIORITY);
    let mut watch = source(READ | Interest::PRIORITY_DATA);
    assert_eq!(watch.ready(priority), Some(priority));
    assert_eq!(watch.armed(), None);
    assert_eq!(watch.recheck(Readiness::NONE, Instant::now()), Recheck::Done);
    assert_eq!(watch.armed(), Some(Interest::PRIORITY_DATA));
}

#[test]
fn a_raw_descriptor_that_was_used_up_is_armed_again() {
    let now = Instant::now();
    let mut watch = raw(READ);
    watch.ready(Readiness::READABLE);
    assert_eq!(watch.armed(), None);
    assert_eq!(watch.to_recheck(), Some(READ));
    assert_eq!(watch.recheck(Readiness::NONE, now), Recheck::Done);
    assert_eq!(watch.armed(), Some(READ));
    assert_eq!(watch.to_recheck(), None);
}

#[test]
fn a_raw_descriptor_that_stays_ready_is_reported_at_growing_pauses() {
    let mut now = Instant::now();
    let mut watch = raw(READ);
    watch.ready(Readiness::READABLE);
    let mut pause = SHORTEST_PAUSE;
    let Recheck::At(mut due) = watch.recheck(Readiness::READABLE, now) else {
        panic!("reported at once");
    };
    for _ in 0..20 {
        assert_eq!(due, now + pause);
        let early = due - Duration::from_nanos(1);
        assert_eq!(watch.recheck(Readiness::READABLE, early), Recheck::At(due));
        now = due;
        assert_eq!(watch.recheck(Readiness::READABLE, now), Recheck::Report(Readiness::READABLE));
        pause = (pause * 2).min(longest_pause());
        let Recheck::At(next) = watch.recheck(Readiness::READABLE, now) else {
            panic!("reported twice");
        };
        due = next;
    }
    assert_eq!(pause, longest_pause());
    watch.recheck(Readiness::NONE, now);
    watch.ready(Readiness::READABLE);
    assert_eq!(
        watch.recheck(Readiness::READABLE, now),
        Recheck::At(now + SHORTEST_PAUSE),
        "a change ends the back-off"
    );
}

#[test]
fn of_two_rechecked_directions_the_one_that_was_used_up_is_armed() {
    let now = Instant::now();
    let mut watch = source(BOTH);
    watch.ready(Readiness::READABLE.union(Readiness::WRITABLE));
    watch.rearm(RearmCause::Unknown);
    assert_eq!(watch.to_recheck(), Some(BOTH));
    assert!(matches!(watch.recheck(Readiness::WRITABLE, now), Recheck::At(_)));
    assert_eq!(watch.armed(), Some(READ), "the read was what blocked");
    assert_eq!(watch.to_recheck(), Some(WRITE));
}

#[test]
fn a_busy_direction_does_not_starve_the_other() {
    let mut now = Instant::now();
    let mut watch = raw(BOTH);
    watch.ready(Readiness::READABLE.union(Readiness::WRITABLE));
    let mut reports = 0;
    let (milliseconds, expected) = if cfg!(miri) { (100, 7..20) } else { (1000, 70..100) };
    for _ in 0..milliseconds {
        // Each time all is read and more comes, and there is no writer.
        if watch.recheck(Readiness::WRITABLE, now) == Recheck::Report(Readiness::WRITABLE) {
            reports += 1;
        }
        assert_eq!(watch.armed(), Some(READ));
        assert_eq!(watch.ready(Readiness::READABLE), Some(Readiness::READABLE));
        now += Duration::from_millis(1);
    }
    // One report in 12.8 ms at the most once the pause has grown.
    assert!(expected.contains(&reports), "{reports}");
}

#[test]
fn a_hang_up_is_reported_once_and_its_end_is_noticed() {
    let mut now = Instant::now();
    let mut watch = source(READ);
    assert!(watch.ready(HANG_UP).is_some());
    for _ in 0..50 {
        match watch.recheck(HANG_UP, now) {
            Recheck::At(due) => now = due,
            recheck => panic!("{recheck:?}"),
        }
    }
    assert_eq!(watch.recheck(Readiness::NONE, now), Recheck::Done);
    assert_eq!(watch.armed(), Some(READ));
}

#[test]
fn an_error_that_was_taken_is_no_news() {
    let now = Instant::now();
    let mut watch = source(READ);
    watch.ready(HANG_UP.union(Readiness::ERROR));
    assert!(matches!(watch.recheck(HANG_UP, now), Recheck::At(_)));
    assert!(matches!(watch.recheck(HANG_UP, now), Recheck::At(_)));
}

#[test]
fn a_fifo_that_is_written_again_is_reported_again() {
    let mut now = Instant::now();
    let leftover = HANG_UP.union(Readiness::LEFTOVER);
    for tracking in [Tracking::Tracked, Tracking::Untracked] {
        let mut watch = Watch::new(Registration { token: Token(1), interest: READ, tracking });
        watch.ready(leftover);
        watch.recheck(leftover, now);
        assert!(matches!(watch.recheck(HANG_UP, now), Recheck::At(_)), "that it was read is no news");
        now += Duration::from_secs(1);
        assert!(matches!(watch.recheck(HANG_UP, now), Recheck::At(_)));
        assert!(matches!(watch.recheck(leftover, now), Recheck::Report(_)), "another writer came and went");
        now += Duration::from_secs(1);
        assert!(matches!(watch.recheck(leftover, now), Recheck::Report(_)), "or yet another");
    }
}

#[test]
fn data_after_a_hang_up_is_reported() {
    let now = Instant::now();
    let mut watch = source(READ);
    watch.ready(HANG_UP);
    watch.recheck(HANG_UP, now);
    assert_eq!(watch.recheck(Readiness::READABLE, now), Recheck::Report(Readiness::READABLE));
}

#[test]
fn a_hang_up_that_has_changed_before_the_first_recheck_is_reported() {
    for mut watch in [source(BOTH), raw(BOTH)] {
        assert_eq!(watch.ready(HANG_UP), Some(HANG_UP));
        let with_room = HANG_UP.union(Readiness::WRITABLE);
        assert_eq!(watch.recheck(with_room, Instant::now()), Recheck::Report(with_room));
    }
}

#[test]
fn the_end_of_a_pipe_is_reported_once_to_a_reader_that_waits_for_writing() {
    // The kernel reports the hang-up and names no direction.
    let hung_up = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED);
    let mut watch = source(WRITE);
    assert_eq!(watch.ready(hung_up), Some(hung_up.union(Readiness::WRITABLE)));
    let now = Instant::now();
    for step in 0..3 {
        assert!(matches!(watch.recheck(hung_up, now + step * Duration::from_secs(1)), Recheck::At(_)));
    }
}

#[test]
fn a_bare_hang_up_is_reported_in_the_direction_that_was_rechecked() {
    let mut watch = raw(BOTH);
    watch.ready(Readiness::WRITABLE);
    let now = Instant::now();
    // poll(2) reports POLLHUP alone, which counts as readable; only writing was reported, and is rechecked.
    assert!(matches!(watch.recheck(HANG_UP, now), Recheck::At(_)));
    assert!(matches!(watch.recheck(HANG_UP, now + Duration::from_secs(1)), Recheck::At(_)));
    // The list of the next poll reports it for the armed directions, and this for the rechecked ones.
    assert_eq!(watch.ready(HANG_UP), Some(HANG_UP.union(Readiness::WRITABLE)));
}

/// What poll(2) reports for an error alone.
const LONE_ERROR: Readiness = Readiness::ERROR
    .union(Readiness::READABLE)
    .union(Readiness::WRITABLE)
    .union(Readiness::WRITE_CLOSED)
    .union(Readiness::DERIVED_READ)
    .union(Readiness::DERIVED_WRITE);

fn socket(interest: Interest) -> Watch {
    source(interest).of_kind(FileKind::Socket)
}

/// An operation, and the immediate recheck that follows.
fn rearm(watch: &mut Watch, cause: RearmCause, found: Readiness) {
    watch.rearm(cause);
    if cause.needs_recheck() && watch.to_recheck().is_some() {
        watch.arm_used_up(found);
    }
}

#[test]
fn an_error_that_lasts_is_reported_once() {
    let mut now = Instant::now();
    let mut watch = socket(READ);
    assert!(watch.ready(LONE_ERROR).is_some());
    for _ in 0..50 {
        rearm(&mut watch, RearmCause::Idle(Some(READ)), LONE_ERROR);
        assert_eq!((watch.armed(), watch.awaits_end()), (None, false), "the kernel would report it at once");
        let Recheck::At(due) = watch.recheck(LONE_ERROR, now) else { panic!("reported again") };
        now = due;
    }
    // The first data is a change, and so is the next after that was read.
    let with_data = Readiness::READABLE.union(Readiness::ERROR);
    assert_eq!(watch.recheck(with_data, now), Recheck::Report(with_data));
    rearm(&mut watch, RearmCause::Idle(Some(READ)), LONE_ERROR);
    assert!(matches!(watch.recheck(LONE_ERROR, now), Recheck::At(_)));
    assert_eq!(watch.recheck(with_data, now), Recheck::Report(with_data));
    // The error is read at last.
    rearm(&mut watch, RearmCause::Idle(Some(READ)), Readiness::NONE);
    assert_eq!((watch.armed(), watch.to_recheck()), (Some(READ), None));
    assert!(watch.awaits_end());
}

#[test]
fn an_error_after_one_that_was_taken_is_reported() {
    for interest in [READ, WRITE, BOTH] {
        let mut watch = socket(interest);
        if interest.is_writable() {
            watch.ready(Readiness::WRITABLE);
        }
        for _ in 0..5 {
            assert!(watch.awaits_end(), "{interest:?}");
            let reported = watch.ready(LONE_ERROR).expect("an error is reported");
            assert!(reported.intersects(Readiness::ERROR) && !reported.intersects(Readiness::WRITE_CLOSED));
            assert!(!watch.awaits_end());
            // The socket is writable all the time.
            rearm(&mut watch, RearmCause::Error, Readiness::WRITABLE);
            assert!(watch.to_recheck().is_none(), "{interest:?}: the error was the reason");
        }
    }
}

#[test]
fn an_error_that_came_before_the_last_was_seen_absent_is_reported_after_a_pause() {
    let mut now = Instant::now();
    let mut watch = socket(WRITE);
    watch.ready(Readiness::WRITABLE);
    watch.ready(LONE_ERROR);
    for _ in 0..3 {
        rearm(&mut watch, RearmCause::Error, LONE_ERROR);
        let Recheck::At(due) = watch.recheck(LONE_ERROR, now) else { panic!("it may be the same") };
        now = due;
        let reported = Readiness::WRITABLE.union(Readiness::ERROR);
        match watch.recheck(LONE_ERROR, now) {
            Recheck::Report(found) => assert_eq!(format!("{found:?}"), format!("{reported:?}")),
            recheck => panic!("{recheck:?}"),
        }
        // Once for each that was taken.
        assert_eq!(watch.recheck(LONE_ERROR, now + Duration::from_secs(1)), Recheck::Done);
    }
}

#[test]
fn an_operation_that_moved_data_makes_an_error_news() {
    let mut watch = socket(READ);
    watch.ready(LONE_ERROR);
    rearm(&mut watch, RearmCause::Direction(READ), LONE_ERROR);
    assert_eq!(watch.armed(), Some(READ));
    assert!(watch.ready(LONE_ERROR).is_some());
    rearm(&mut watch, RearmCause::Idle(Some(READ)), LONE_ERROR);
    assert_eq!(watch.armed(), None);
}

#[test]
fn a_short_read_beside_an_error_arms() {
    let mut watch = socket(READ);
    watch.ready(Readiness::READABLE.union(Readiness::ERROR));
    watch.rearm(RearmCause::Short(READ));
    assert_eq!(watch.armed(), Some(READ), "only an end may come unasked");
}

#[test]
fn a_direction_that_only_blocks_is_armed_once_and_then_rechecked() {
    let mut now = Instant::now();
    let mut watch = socket(WRITE);
    watch.ready(Readiness::WRITABLE);
    rearm(&mut watch, RearmCause::Idle(Some(WRITE)), Readiness::WRITABLE);
    assert_eq!(watch.armed(), Some(WRITE), "another thread was faster");
    watch.ready(Readiness::WRITABLE);
    let mut pause = SHORTEST_PAUSE;
    for _ in 0..20 {
        rearm(&mut watch, RearmCause::Idle(Some(WRITE)), Readiness::WRITABLE);
        assert_eq!((watch.armed(), watch.to_recheck()), (None, Some(WRITE)));
        assert_eq!(watch.recheck(Readiness::WRITABLE, now), Recheck::At(now + pause));
        now += pause;
        assert_eq!(watch.recheck(Readiness::WRITABLE, now), Recheck::Report(Readiness::WRITABLE));
        assert_eq!(
            watch.recheck(Readiness::WRITABLE, now + Duration::from_secs(1)),
            Recheck::Done,
            "it rests"
        );
        pause = (pause * 2).min(longest_pause());
    }
    rearm(&mut watch, RearmCause::Idle(Some(WRITE)), Readiness::NONE);
    assert_eq!(watch.armed(), Some(WRITE));
    watch.ready(Readiness::WRITABLE);
    rearm(&mut watch, RearmCause::Idle(Some(WRITE)), Readiness::WRITABLE);
    assert_eq!(watch.armed(), Some(WRITE), "it was seen not ready, so this is spurious for the first time");
}

#[test]
fn a_hang_up_is_reported_once_though_operations_block() {
    let now = Instant::now();
    for direction in [Some(READ), None] {
        let mut watch = socket(BOTH);
        let hung_up = HANG_UP.union(Readiness::WRITABLE);
        assert!(watch.ready(hung_up).is_some());
        for step in 0..20 {
            rearm(&mut watch, RearmCause::Idle(direction), hung_up);
            let recheck = watch.recheck(hung_up, now + step * Duration::from_secs(1));
            assert!(matches!(recheck, Recheck::At(_)), "{recheck:?}");
        }
    }
}

#[test]
fn only_changes_of_a_steady_source_are_reported() {
    let now = Instant::now();
    for tracking in [Tracking::Tracked, Tracking::Untracked] {
        let mut watch =
            Watch::new(Registration { token: Token(1), interest: READ, tracking }).of_kind(FileKind::Steady);
        assert_eq!(watch.ready(Readiness::READABLE), Some(Readiness::READABLE));
        assert_eq!((watch.armed(), watch.to_recheck()), (None, None), "nothing is left to recheck");
        assert!(watch.awaits_end());
        let hung_up = HANG_UP.union(Readiness::LEFTOVER);
        assert!(watch.ready(hung_up).is_some());
        assert_eq!((watch.to_recheck(), watch.awaits_end()), (None, false));
        assert_eq!(watch.recheck(hung_up, now), Recheck::Done);
    }
}

#[test]
fn an_end_with_something_left_is_given_up_in_the_end() {
    let mut now = Instant::now();
    let mut watch = raw(READ);
    let leftover = HANG_UP.union(Readiness::LEFTOVER);
    watch.ready(leftover);
    let mut reports = 0;
    for _ in 0..100 {
        match watch.recheck(leftover, now) {
            Recheck::At(due) => now = due,
            Recheck::Report(_) => reports += 1,
            Recheck::Done => panic!("it may come back"),
        }
    }
    assert_eq!(reports, 10);
    watch.recheck(HANG_UP, now);
    assert!(matches!(watch.recheck(leftover, now), Recheck::Report(_)));
}

#[test]
fn an_unknown_direction_is_reported_once_for_each_operation() {
    let now = Instant::now();
    let mut watch = source(BOTH);
    watch.ready(BOTH_READY);
    rearm(&mut watch, RearmCause::Unknown, Readiness::WRITABLE);
    assert_eq!((watch.armed(), watch.to_recheck()), (Some(READ), Some(WRITE)));
    assert!(matches!(watch.recheck(Readiness::WRITABLE, now), Recheck::At(_)));
    let later = now + Duration::from_secs(1);
    assert_eq!(watch.recheck(Readiness::WRITABLE, later), Recheck::Report(Readiness::WRITABLE));
    assert_eq!(watch.recheck(Readiness::WRITABLE, later + Duration::from_secs(1)), Recheck::Done);
}

const BOTH_READY: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);

#[test]
fn an_end_that_a_recheck_finds_is_left_to_every_direction() {
    let now = Instant::now();
    let mut watch = raw(BOTH);
    watch.ready(Readiness::WRITABLE);
    watch.recheck(Readiness::WRITABLE, now);
    watch.ready(Readiness::READABLE);
    // Writing is due, reading isn't; all is read meanwhile.
    let ended = HANG_UP.union(Readiness::WRITABLE);
    let later = now + SHORTEST_PAUSE;
    assert!(matches!(watch.recheck(ended, later), Recheck::At(_)));
    assert!(watch.awaits_end());
    assert_eq!(watch.ready(ended), Some(ended));
}
