//! The outcome of a run, and its way from the child to the parent.
//!
//! Invariant: what is decoded is what was encoded, or nothing.

use std::time::Duration;

use wakeful::sim::{Choice, ChoiceKind};

/// Why a run has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The same for runs that fail in the same way, whatever the numbers in their texts.
    pub(crate) key: String,
    pub(crate) text: String,
}

impl Reason {
    pub(crate) fn new(key: impl Into<String>, text: impl Into<String>) -> Reason {
        Reason { key: key.into(), text: text.into() }
    }
}

/// What a run was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `None` if it has not failed.
    pub(crate) reason: Option<Reason>,
    /// The hash of its log.
    pub(crate) hash: u64,
    pub(crate) turns: u64,
    /// Its length in the world.
    pub(crate) time: Duration,
    /// The choices that weren't plain, if they were recorded.
    pub(crate) choices: Vec<Choice>,
    /// The stack of the last panic, if a run with a story is not a replay, and RUST_BACKTRACE asks for it.
    pub(crate) stack: String,
    /// The story as lines and as a page, on request.
    pub(crate) story: String,
    pub(crate) page: String,
    /// The log, on request: a line for each record.
    pub(crate) log: String,
}

impl Outcome {
    pub(crate) fn failed(reason: Reason) -> Outcome {
        Outcome { reason: Some(reason), ..Outcome::default() }
    }

    /// Returns the result in a line.
    pub(crate) fn brief(&self) -> String {
        let Outcome { time, turns, hash, .. } = self;
        let end = self.reason.as_ref().map_or("done", |reason| &reason.text);
        format!("{time:?}, {turns} turns, hash {hash:016x}, {end}")
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        let reason = self.reason.as_ref();
        let [key, text] = reason.map_or([""; 2], |reason| [&reason.key, &reason.text]);
        let seconds = self.time.as_secs();
        for number in [self.hash, self.turns, seconds, self.time.subsec_nanos().into()] {
            push(&mut bytes, number);
        }
        push(&mut bytes, self.reason.is_some().into());
        for text in [key, text, &self.stack, &self.story, &self.page, &self.log] {
            push(&mut bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
        push_choices(&mut bytes, &self.choices);
        bytes
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Outcome> {
        let from = &mut bytes;
        let (hash, turns) = (number(from)?, number(from)?);
        let time = Duration::new(number(from)?, u32::try_from(number(from)?).ok()?);
        let has_failed = number(from)? != 0;
        let reason = Reason { key: text(from)?, text: text(from)? };
        let (stack, story, page, log) = (text(from)?, text(from)?, text(from)?, text(from)?);
        let choices = choices(from)?;
        Some(Outcome {
            reason: has_failed.then_some(reason),
            hash,
            turns,
            time,
            choices,
            stack,
            story,
            page,
            log,
        })
    }
}

pub(crate) fn push(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn number(from: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(from, 8)?.try_into().ok()?))
}

pub(crate) fn push_choices(bytes: &mut Vec<u8>, choices: &[Choice]) {
    for choice in choices {
        for number in [choice.kind as u64, choice.index, choice.value] {
            push(bytes, number);
        }
    }
}

/// Takes the rest.
pub(crate) fn choices(from: &mut &[u8]) -> Option<Vec<Choice>> {
    let mut choices = Vec::with_capacity(from.len() / 24);
    while !from.is_empty() {
        let kind = *ChoiceKind::ALL.get(number(from)? as usize)?;
        choices.push(Choice { kind, index: number(from)?, value: number(from)? });
    }
    Some(choices)
}

fn text(from: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(number(from)?).ok()?;
    String::from_utf8(take(from, len)?.to_vec()).ok()
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let first = from.get(..len)?;
    *from = &from[len..];
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_comes_back_whole_or_not_at_all() {
        let choice = |kind, value| Choice { kind, index: 7, value };
        let full = Outcome {
            reason: Some(Reason::new("invariant one", "two leaders \u{2026}")),
            hash: u64::MAX,
            turns: 3,
            time: Duration::new(5, 999_999_999),
            choices: vec![choice(ChoiceKind::Turn, 1), choice(ChoiceKind::Test, u64::MAX)],
            stack: "main".into(),
            story: "a\nb".into(),
            page: "<p>".into(),
            log: "x\ty".into(),
        };
        for outcome in [Outcome::default(), Outcome::failed(Reason::default()), full] {
            let bytes = outcome.encode();
            assert_eq!(Outcome::decode(&bytes), Some(outcome.clone()));
            let choices = outcome.choices.len() * 24;
            for len in 0..bytes.len() - choices {
                assert_eq!(Outcome::decode(&bytes[..len]), None);
            }
        }
    }
}
