//! The operations on timers.

use std::time::Duration;

use wakeful::{Timer, Token};

use super::{interest, World};
use crate::ops::{Want, When};

/// Further away than any run's clock comes.
const FAR: Duration = Duration::from_secs(1_000_000_000);

impl World<'_> {
    pub(super) fn new_timer(&mut self, want: Want) -> Result<(), String> {
        if self.timers.len() > 12 {
            return Ok(());
        }
        let token = self.new_token();
        let mut timer = Timer::new();
        self.poll
            .registry()
            .register(&mut timer, Token(token), interest(want))
            .map_err(|e| format!("can't register a timer: {e}"))?;
        self.timers.push((token, timer));
        self.contract.timers.add(token, want);
        Ok(())
    }

    pub(super) fn drop_timer(&mut self, number: usize) -> Result<(), String> {
        if !self.timers.is_empty() {
            let (token, _) = self.timers.swap_remove(number % self.timers.len());
            self.contract.timers.remove(token);
        }
        Ok(())
    }

    pub(super) fn set_timer(&mut self, number: usize, when: When) -> Result<(), String> {
        if self.timers.is_empty() {
            return Ok(());
        }
        let (token, timer) = &self.timers[number % self.timers.len()];
        let now = self.ground.now();
        let deadline = match when {
            When::Passed => Some(now),
            When::FarAway => Some(now + FAR),
            When::Never => None,
        };
        timer.set(deadline).map_err(|e| format!("can't set a timer: {e}"))?;
        self.contract.timers.set(*token, when == When::Passed);
        Ok(())
    }

    pub(super) fn reregister_timer(&mut self, number: usize, want: Want) -> Result<(), String> {
        if self.timers.is_empty() {
            return Ok(());
        }
        let new = self.new_token();
        let place = number % self.timers.len();
        let (token, timer) = &mut self.timers[place];
        self.poll
            .registry()
            .reregister(timer, Token(new), interest(want))
            .map_err(|e| format!("can't reregister a timer: {e}"))?;
        self.contract.timers.reregister(*token, new, want);
        *token = new;
        Ok(())
    }
}
