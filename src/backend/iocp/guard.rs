//! Detects that a raw socket was closed.
//!
//! Invariant: a guard's request is with the kernel, or here, or given up.

use std::mem;
use std::sync::Arc;

use super::sys::{self, Afd, BaseSocket, Outcome, PollBody, Purpose};
use crate::backend::logic::afd_flags;
use crate::backend::logic::watch::WatchKey;
use crate::os::{Port, Request, Ticket};

/// A second poll of a raw socket, for the socket's close alone. It lasts as long as the registration, so that a close
/// without deregistration is noticed, whatever else was reported or is polled. It uses another handle than the first
/// poll, since two polls of one socket on one handle take away each other's results.
pub(super) struct Guard {
    afd: Arc<Afd>,
    pub(super) group: u32,
    state: GuardState,
}

enum GuardState {
    InFlight(Ticket),
    /// Cancelled, to see whether its socket is open. If it is, the guard is started again.
    Checking,
    /// With this process: its socket was open.
    Idle(Request<PollBody>),
    /// The kernel refuses it.
    Refused,
}

impl Guard {
    pub(super) fn new(port: &Port, key: WatchKey, socket: BaseSocket, group: u32, afd: Arc<Afd>) -> Guard {
        let request = PollBody::new(&afd, key, Purpose::Close);
        let mut guard = Guard { afd, group, state: GuardState::Idle(request) };
        guard.start(port, socket);
        guard
    }

    /// Starts it, unless it is with the kernel or was given up.
    pub(super) fn start(&mut self, port: &Port, socket: BaseSocket) {
        self.state = match mem::replace(&mut self.state, GuardState::Refused) {
            GuardState::Idle(request) => match sys::start(request, port, socket, afd_flags::LOCAL_CLOSE) {
                Ok(ticket) => GuardState::InFlight(ticket),
                Err(_refused) => GuardState::Refused,
            },
            other => other,
        };
    }

    /// Cancels it, since how it ends shows whether its socket is open.
    pub(super) fn start_check(&mut self) {
        self.cancel();
        if matches!(self.state, GuardState::InFlight(_)) {
            self.state = GuardState::Checking;
        }
    }

    pub(super) fn is_checking(&self) -> bool {
        matches!(self.state, GuardState::Checking)
    }

    pub(super) fn cancel(&self) {
        if let GuardState::InFlight(ticket) = &self.state {
            sys::cancel(ticket, &self.afd);
        }
    }

    /// Takes back the request of a socket that is open.
    pub(super) fn take_back(&mut self, poll: Request<PollBody>, outcome: Outcome) {
        self.state = match outcome {
            Outcome::Cancelled => GuardState::Idle(poll),
            // Started again, it might fail the same way for ever.
            _ => GuardState::Refused,
        };
    }
}
