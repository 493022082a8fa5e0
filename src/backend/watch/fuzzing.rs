//! The state machine against any sequence of what a kernel may answer and a program may do. Bytes choose; the fuzzer
//! and an ordinary test give them.

use super::*;

/// Panics if a rule is broken.
pub(crate) fn any_sequence(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let Some(first) = bytes.next() else { return };
    let interest = interest(first).unwrap_or(Interest::READABLE);
    let tracking = if first & 0x80 == 0 { Tracking::Operations } else { Tracking::Levels };
    let mut watch = Watch::new(Token(1), interest, tracking);
    let mut now = Instant::now();
    while let Some(step) = bytes.next() {
        let argument = bytes.next().unwrap_or(0);
        match step % 6 {
            0 => {
                let found = found(argument);
                let armed = watch.armed();
                let reported = watch.ready(found);
                check(&watch, reported);
                for direction in [Interest::READABLE, Interest::WRITABLE] {
                    let is_armed = armed.and_then(|armed| armed.intersection(direction)).is_some();
                    if is_armed && tells(found, direction) {
                        let told = reported.is_some_and(|reported| tells(reported, direction));
                        assert!(told, "{direction:?} was armed and is lost: {watch:?}");
                        let is_armed =
                            watch.armed().and_then(|armed| armed.intersection(direction)).is_some();
                        assert!(!is_armed, "the kernel would go on telling: {watch:?}");
                    }
                }
            }
            1 | 2 => {
                let Some(direction) = self::interest(argument) else { continue };
                watch.rearm(Blocked::Direction(direction));
                if let Some(wanted) = direction.intersection(watch.interest) {
                    let armed = watch.armed().and_then(|armed| armed.intersection(wanted));
                    assert_eq!(armed, Some(wanted), "a used-up direction isn't armed: {watch:?}");
                }
            }
            3 => watch.rearm(match self::interest(argument) {
                Some(direction) => Blocked::Short(direction),
                None => Blocked::Unknown,
            }),
            4 => {
                // Long after each pause: what is due is due.
                now += Duration::from_millis(200);
                let found = found(argument);
                let (suspect, was_hung_up) = (watch.suspect(), watch.hung_up);
                match watch.look(found, now) {
                    Look::Report(reported) => check(&watch, Some(reported)),
                    Look::Later(due) => assert!(due <= now + Watch::LONGEST_PAUSE_AT_END, "{watch:?}"),
                    Look::Clear => assert_eq!(watch.suspect(), None, "{watch:?}"),
                }
                // Who is still ready and has not hung up is told at the second look at the latest.
                let ready = suspect.and_then(|suspect| directions(found)?.intersection(suspect));
                if ready.is_some() && was_hung_up.is_none() && watch.hung_up.is_none() {
                    now += Duration::from_millis(200);
                    let second = watch.look(found, now);
                    assert!(matches!(second, Look::Report(_)), "{second:?}: {watch:?}");
                }
            }
            _ => {
                let interest = self::interest(argument).unwrap_or(Interest::WRITABLE);
                watch.replace(Token(2), interest);
                assert_eq!((watch.armed(), watch.suspect()), (Some(interest), None));
            }
        }
    }
}

/// A report says something, and nothing that nobody asked for.
fn check(watch: &Watch, reported: Option<Readiness>) {
    let Some(reported) = reported else { return };
    assert!(tells_direction(reported), "it says nothing: {reported:?}, {watch:?}");
    assert_eq!(only(watch.interest, reported), reported, "nobody asked: {watch:?}");
}

fn tells(readiness: Readiness, direction: Interest) -> bool {
    readiness.intersects(readiness_of(direction))
}

fn interest(byte: u8) -> Option<Interest> {
    let bits = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY_DATA];
    let chosen = bits.into_iter().enumerate().filter(|(bit, _)| byte & 1 << bit != 0);
    chosen.fold(None, |all, (_, one)| join(all, Some(one)))
}

fn found(byte: u8) -> Readiness {
    const WORDS: crate::readiness::PollWords = crate::readiness::PollWords {
        input: 1,
        output: 2,
        priority: 4,
        read_hangup: 8,
        error: 16,
        hangup: 32,
        socket_output: 64,
    };
    WORDS.readiness(byte.into())
}

#[cfg(test)]
#[test]
fn no_sequence_breaks_a_rule() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..20_000 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
        })
        .take(40)
        .collect();
        let result = std::panic::catch_unwind(|| any_sequence(&bytes));
        assert!(result.is_ok(), "{bytes:?}");
    }
}
