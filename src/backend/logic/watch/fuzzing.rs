//! The state machine against any sequence of kernel results and operations. Bytes choose the sequence; the fuzzer and
//! an ordinary test supply them.

use std::time::Duration;

use super::recheck::{pause, DOUBLINGS_AT_END};
use super::*;

/// Returns the directions that the kernel is asked about, and whether it is asked about a half-close; `None` if nothing
/// would be news.
fn asked(watch: &Watch) -> Option<(Option<Interest>, bool)> {
    let is_news = watch.armed().is_some() || watch.awaits_end();
    is_news.then_some((watch.armed(), watch.awaits_read_end()))
}

/// Panics if a rule is broken.
pub(crate) fn any_sequence(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let Some(first) = bytes.next() else { return };
    let interest = moded(first);
    let mut promised = Promised::new(interest);
    let tracking = if first & 0x80 == 0 { Tracking::Tracked } else { Tracking::Untracked };
    let kind = match first >> 3 & 3 {
        0 => FileKind::Socket,
        1 => FileKind::Steady,
        _ => FileKind::Other,
    };
    let mut watch = Watch::new(Registration { token: Token(1), interest, tracking }).of_kind(kind);
    let mut now = Instant::now();
    let mut last = 0;
    while let Some(step) = bytes.next() {
        let argument = bytes.next().unwrap_or(0);
        match step % 8 {
            0 => {
                last = argument;
                let found = found(argument);
                let armed = watch.armed();
                let used = watch.used(watch.of_interest(found));
                let reported = watch.ready(found);
                check(&watch, reported);
                promised.check(&watch, argument, reported);
                if promised.is_sparse() {
                    continue;
                }
                check_end_is_awaited(&watch, found);
                for direction in DIRECTIONS {
                    let holds = |of: Option<Interest>| of.and_then(|of| of.intersection(direction)).is_some();
                    if holds(armed) && holds(used) {
                        let is_reported = reported.is_some_and(|reported| has_flag_of(reported, direction));
                        assert!(
                            is_reported || !has_flag_of(found, direction),
                            "{direction:?} was armed and is lost: {watch:?}"
                        );
                        assert!(!holds(watch.armed()), "the kernel would go on reporting it: {watch:?}");
                    }
                }
            }
            // No operation re-arms it, and it has nothing to recheck. But one may have used up an error, and the next
            // is an end as well.
            1..=6 if promised.is_sparse() => {
                let before = asked(&watch);
                for cause in causes(argument) {
                    watch.rearm(cause);
                }
                assert_eq!(watch.to_recheck(), None, "{watch:?}");
                assert!(promised.interest.is_edge() || asked(&watch) == before, "{watch:?}");
            }
            1 | 2 => {
                let Some(direction) = self::interest(argument) else { continue };
                watch.rearm(RearmCause::Direction(direction));
                if let Some(wanted) = direction.intersection(watch.registration.interest) {
                    let armed = watch.armed().and_then(|armed| armed.intersection(wanted));
                    assert_eq!(armed, Some(wanted), "a used-up direction isn't armed: {watch:?}");
                }
            }
            3 => watch.rearm(match self::interest(argument) {
                Some(direction) => RearmCause::Short(direction),
                None => RearmCause::Unknown,
            }),
            4 => {
                // Longer than each pause: whatever is scheduled is due.
                now += Duration::from_millis(200);
                last = argument;
                let found = found(argument);
                let (pending, was_lasting) = (watch.to_recheck(), watch.lasting);
                let (had_reported, awaited_end) = (watch.reported_ends, watch.awaits_end());
                match watch.recheck(found, now) {
                    Recheck::Report(reported) => check(&watch, Some(reported)),
                    Recheck::At(due) => {
                        assert!(due <= now + pause(DOUBLINGS_AT_END), "{watch:?}")
                    }
                    Recheck::Done => assert_eq!(watch.to_recheck(), None, "{watch:?}"),
                }
                check_end_is_awaited(&watch, found);
                assert!(
                    !awaited_end || watch.awaits_end(),
                    "the other directions won't be reported: {watch:?}"
                );
                // A plain direction that is still ready is reported by the second recheck at the latest.
                let is_plain = was_lasting.is_none() && watch.lasting.is_none() && kind != FileKind::Steady;
                let ready =
                    pending.and_then(|pending| directions(without_derived(found))?.intersection(pending));
                let ready = ready.and_then(|ready| ready.intersection(watch.to_recheck()?));
                let ready = ready.and_then(|ready| ready.remove(Interest::PRIORITY_DATA));
                if ready.is_some() && is_plain && !had_reported.intersects(ENDINGS) && !lasts(found) {
                    now += Duration::from_millis(200);
                    let second = watch.recheck(found, now);
                    assert!(matches!(second, Recheck::Report(_)), "{second:?}: {watch:?}");
                }
            }
            5 if tracking == Tracking::Tracked => {
                let direction = self::interest(argument);
                watch.rearm(RearmCause::Idle(direction));
                if let Some(wanted) =
                    direction.and_then(|direction| direction.intersection(watch.registration.interest))
                {
                    let covered = join(watch.armed(), watch.to_recheck());
                    let covered = covered.and_then(|covered| covered.intersection(wanted));
                    assert_eq!(covered, Some(wanted), "its readiness would go unnoticed: {watch:?}");
                }
            }
            6 if tracking == Tracking::Tracked => {
                watch.rearm(RearmCause::Error);
                if arm_used_up(&mut watch, argument) {
                    check_end_is_awaited(&watch, found(argument));
                }
            }
            _ => {
                let interest = moded(argument);
                watch.replace(Registration { token: Token(2), interest, tracking });
                promised = Promised::new(interest);
                assert_eq!((watch.armed(), watch.to_recheck()), (Some(interest.kinds()), None));
            }
        }
    }
    check_rest(watch, &promised, last, now);
}

/// Promises 18 to 20 and 22, by a simpler model than the state machine.
struct Promised {
    interest: Interest,
    has_reported: bool,
}

impl Promised {
    fn new(interest: Interest) -> Promised {
        Promised { interest, has_reported: false }
    }

    /// Returns whether the registration has nothing to re-arm and nothing to recheck.
    fn is_sparse(&self) -> bool {
        !self.interest.is_edge() || self.interest.is_end()
    }

    /// Returns whether `flags` are readiness that the registration asks for.
    fn is_ready(&self, flags: u8) -> bool {
        let mut wanted = ERROR | HANGUP;
        wanted |= if self.interest.is_readable() { INPUT } else { 0 };
        wanted |= if self.interest.is_readable() || self.interest.is_end() { READ_HANGUP } else { 0 };
        wanted |= if self.interest.is_writable() { OUTPUT } else { 0 };
        wanted |= if self.interest.is_priority() { PRIORITY } else { 0 };
        flags & wanted != 0
    }

    /// Checks what `watch` has `reported` when the kernel found `flags`.
    fn check(&mut self, watch: &Watch, flags: u8, reported: Option<Readiness>) {
        let is_ready = self.is_ready(flags);
        let is_reported = reported.is_some();
        assert!(is_ready || !is_reported, "an event for no readiness of interest: {watch:?}");
        if self.interest.is_level() {
            assert_eq!(is_reported, is_ready, "a poll that finds it ready reports it: {watch:?}");
        } else if self.interest.is_one_shot() {
            assert_eq!(is_reported, is_ready && !self.has_reported, "one event, and no second: {watch:?}");
        } else if self.interest.is_end() {
            assert!(is_reported || !is_ready || self.has_reported, "the end is lost: {watch:?}");
        }
        self.has_reported |= is_reported;
        let is_asked = asked(watch).is_some();
        if self.interest.is_level() {
            assert_eq!(watch.armed(), Some(self.interest.kinds()), "the next poll must find it: {watch:?}");
        } else if self.interest.is_one_shot() {
            assert_eq!(is_asked, !self.has_reported, "a spent registration costs nothing: {watch:?}");
        }
    }
}

/// Returns each kind of a result of an operation, in the directions of `byte`.
fn causes(byte: u8) -> Vec<RearmCause> {
    let mut causes = vec![RearmCause::Idle(interest(byte)), RearmCause::Unknown, RearmCause::Error];
    if let Some(direction) = interest(byte) {
        causes.extend([RearmCause::Direction(direction), RearmCause::Short(direction)]);
    }
    causes
}

/// Returns the interest of a registration.
fn moded(byte: u8) -> Interest {
    let interest = match interest(byte) {
        Some(interest) => interest,
        None if byte & 8 != 0 => Interest::END,
        None => Interest::WRITABLE,
    };
    match byte >> 5 & 3 {
        1 => interest.level(),
        2 => interest.one_shot(),
        3 => interest.edge_one_shot(),
        _ => interest,
    }
}

/// Checks that a future error or hang-up will be reported where none is present now.
fn check_end_is_awaited(watch: &Watch, found: Readiness) {
    let is_quiet = !found.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED));
    assert!(!is_quiet || watch.awaits_end(), "the next error would be lost: {watch:?}");
}

/// A kernel that repeats the same flags, and a program whose operations return `WouldBlock` alone: without time passing
/// there are few reports, but from a level-triggered registration.
fn check_rest(mut watch: Watch, promised: &Promised, flags: u8, now: Instant) {
    let mut reports = 0;
    for _ in 0..20 {
        let pending = watch.to_recheck();
        if pending.is_some() {
            reports +=
                usize::from(matches!(watch.recheck(found_for(flags, pending), now), Recheck::Report(_)));
        }
        if watch.armed().is_some() || watch.awaits_end() {
            let reading = watch.awaits_read_end().then_some(Interest::READABLE);
            let hangup = if reading.is_some() { flags & READ_HANGUP } else { 0 };
            let flags = visible(flags, watch.armed()) | hangup;
            reports += usize::from(watch.ready(found(flags)).is_some());
        }
        if watch.tracking() == Tracking::Tracked {
            for direction in DIRECTIONS {
                watch.rearm(RearmCause::Idle(Some(direction)));
                arm_used_up(&mut watch, flags);
            }
        }
    }
    let allowed = match promised.interest {
        interest if interest.is_level() && promised.is_ready(flags) => 20..=20,
        interest if interest.is_one_shot() => 0..=usize::from(!promised.has_reported),
        _ => 0..=9,
    };
    assert!(allowed.contains(&reports), "{reports} reports: {watch:?}");
}

/// Rechecks right after an operation, if a direction is due.
fn arm_used_up(watch: &mut Watch, flags: u8) -> bool {
    let pending = watch.to_recheck();
    if pending.is_some() {
        watch.arm_used_up(found_for(flags, pending));
    }
    pending.is_some()
}

/// Returns what a kernel with these `flags` reports if it is asked about `interest`.
fn found_for(flags: u8, interest: Option<Interest>) -> Readiness {
    found(visible(flags, interest))
}

fn visible(flags: u8, interest: Option<Interest>) -> u8 {
    let mut visible = ERROR | HANGUP;
    if let Some(interest) = interest {
        visible |= if interest.is_readable() { INPUT | READ_HANGUP } else { 0 };
        visible |= if interest.is_writable() { OUTPUT | SOCKET_OUTPUT } else { 0 };
        visible |= if interest.is_priority() { PRIORITY } else { 0 };
    }
    flags & visible
}

/// A report names a direction, and none outside of the interest.
fn check(watch: &Watch, reported: Option<Readiness>) {
    let Some(reported) = reported else { return };
    assert!(has_direction(reported), "it names no direction: {reported:?}, {watch:?}");
    assert_eq!(only(watch.registration.interest, reported), reported, "it is of no interest: {watch:?}");
}

fn has_flag_of(readiness: Readiness, direction: Interest) -> bool {
    readiness.intersects(readiness_of(direction))
}

fn interest(byte: u8) -> Option<Interest> {
    let bits = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY_DATA];
    let chosen = bits.into_iter().enumerate().filter(|(bit, _)| byte & 1 << bit != 0);
    chosen.fold(None, |all, (_, one)| join(all, Some(one)))
}

const INPUT: u8 = 1;
const OUTPUT: u8 = 2;
const PRIORITY: u8 = 4;
const READ_HANGUP: u8 = 8;
const ERROR: u8 = 16;
const HANGUP: u8 = 32;
const SOCKET_OUTPUT: u8 = 64;

fn found(byte: u8) -> Readiness {
    const FLAGS: crate::readiness::PollFlags = crate::readiness::PollFlags {
        input: INPUT as u32,
        output: OUTPUT as u32,
        priority: PRIORITY as u32,
        read_hangup: READ_HANGUP as u32,
        error: ERROR as u32,
        hangup: HANGUP as u32,
        socket_output: SOCKET_OUTPUT as u32,
    };
    FLAGS.levels(byte.into())
}

#[cfg(test)]
#[test]
fn no_sequence_breaks_a_rule() {
    crate::backend::logic::fuzzing::try_random(40, any_sequence);
}
