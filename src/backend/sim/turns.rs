//! Whose turn it is: of all tasks of a world, which are threads, one runs at a time.
//!
//! Invariant: a task that isn't running is in one place: in the queue of those that are ready, or parked with or
//! without a deadline, or at its end.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::choices::{ChoiceKind, Choices};
use super::seats::{self, Seat};

/// Names a host of a world.
pub(crate) type HostNumber = u32;

/// Names a task of a world.
pub(crate) type TaskNumber = u32;

/// How the run of a world has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The main task of each host has returned.
    Done,
    /// Every task waits, none has a deadline, and nothing is on its way.
    Deadlock,
    /// The run was ended by [`Sim::end`](crate::sim::Sim::end), with this reason.
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ready,
    Running,
    Parked,
    Ended,
}

struct Task {
    host: HostNumber,
    /// Whether the world's end waits for it.
    is_main: bool,
    status: Status,
    deadline: Option<Duration>,
    /// Whether the last park was ended by `unpark`.
    was_unparked: bool,
    seat: Arc<dyn Seat>,
}

/// What comes next in a world.
pub(super) enum Next {
    /// This task goes on: the thread in this seat is to be called.
    Call(TaskNumber, Arc<dyn Seat>),
    /// A task runs already, or none runs any more.
    Stay,
    /// Every task waits: the clock moves, at the latest to the time given.
    Advance(Option<Duration>),
}

pub(super) struct Turns {
    new_seat: fn() -> Arc<dyn Seat>,
    tasks: Vec<Task>,
    ready: VecDeque<TaskNumber>,
    deadlines: BTreeSet<(Duration, TaskNumber)>,
    /// The hosts whose tasks get no turn.
    paused: BTreeSet<HostNumber>,
    has_started: bool,
    pub(super) running: Option<TaskNumber>,
    /// The main tasks that have not returned.
    mains: usize,
    /// How many turns were given.
    pub(super) count: u64,
    pub(super) end: Option<End>,
}

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            new_seat: seats::maker(),
            tasks: Vec::new(),
            ready: VecDeque::new(),
            deadlines: BTreeSet::new(),
            paused: BTreeSet::new(),
            has_started: false,
            running: None,
            mains: 0,
            count: 0,
            end: None,
        }
    }

    /// Adds a task, which is ready.
    pub(super) fn add(&mut self, host: HostNumber, is_main: bool) -> TaskNumber {
        let number = self.tasks.len() as TaskNumber;
        let (deadline, seat) = (None, (self.new_seat)());
        let status = Status::Ready;
        self.tasks.push(Task { host, is_main, status, deadline, was_unparked: false, seat });
        self.ready.push_back(number);
        self.mains += usize::from(is_main);
        number
    }

    pub(super) fn start(&mut self) {
        self.has_started = true;
    }

    pub(super) fn seat(&self, task: TaskNumber) -> Arc<dyn Seat> {
        Arc::clone(&self.tasks[task as usize].seat)
    }

    pub(super) fn host(&self, task: TaskNumber) -> HostNumber {
        self.tasks[task as usize].host
    }

    /// Parks the running task. A deadline that has come makes it the last of those that are ready.
    pub(super) fn park(&mut self, number: TaskNumber, deadline: Option<Duration>, now: Duration) {
        self.running = None;
        let task = &mut self.tasks[number as usize];
        if task.status == Status::Ended {
            return;
        }
        task.was_unparked = false;
        if deadline.is_some_and(|deadline| deadline <= now) {
            task.status = Status::Ready;
            self.ready.push_back(number);
            return;
        }
        (task.status, task.deadline) = (Status::Parked, deadline);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, number));
        }
    }

    /// Ends the wait of a parked task. Returns whether it was parked.
    pub(super) fn unpark(&mut self, number: TaskNumber) -> bool {
        let task = &mut self.tasks[number as usize];
        if task.status != Status::Parked {
            return false;
        }
        (task.status, task.was_unparked) = (Status::Ready, true);
        if let Some(deadline) = task.deadline.take() {
            self.deadlines.remove(&(deadline, number));
        }
        self.ready.push_back(number);
        true
    }

    /// Moves the deadline of a parked task to `due`, if that is earlier.
    pub(super) fn hasten(&mut self, number: TaskNumber, due: Duration, now: Duration) {
        if due <= now {
            self.unpark(number);
            return;
        }
        let task = &mut self.tasks[number as usize];
        if task.status == Status::Parked && task.deadline.map_or(true, |deadline| due < deadline) {
            if let Some(old) = task.deadline.replace(due) {
                self.deadlines.remove(&(old, number));
            }
            self.deadlines.insert((due, number));
        }
    }

    pub(super) fn was_unparked(&self, number: TaskNumber) -> bool {
        self.tasks[number as usize].was_unparked
    }

    /// Ends a task, which gets no further turn.
    pub(super) fn finish(&mut self, number: TaskNumber) {
        let task = &mut self.tasks[number as usize];
        if task.status == Status::Ended {
            return;
        }
        if let Some(deadline) = task.deadline.take() {
            self.deadlines.remove(&(deadline, number));
        }
        task.status = Status::Ended;
        self.ready.retain(|&ready| ready != number);
        if self.running == Some(number) {
            self.running = None;
        }
        if self.tasks[number as usize].is_main {
            self.mains -= 1;
            if self.mains == 0 && self.has_started {
                self.end.get_or_insert(End::Done);
            }
        }
    }

    /// Returns the tasks of a host that have not ended.
    pub(super) fn of_host(&self, host: HostNumber) -> Vec<TaskNumber> {
        let lives = |task: &Task| task.host == host && task.status != Status::Ended;
        let all = self.tasks.iter().enumerate().filter(|(_, task)| lives(task));
        all.map(|(number, _)| number as TaskNumber).collect()
    }

    /// Pauses a host, or ends its pause. A running task runs on until it parks.
    pub(super) fn pause(&mut self, host: HostNumber, is_paused: bool) {
        match is_paused {
            true => self.paused.insert(host),
            false => self.paused.remove(&host),
        };
    }

    /// Makes ready the tasks whose deadline has come.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(&(deadline, number)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_first();
            let task = &mut self.tasks[number as usize];
            (task.status, task.deadline) = (Status::Ready, None);
            self.ready.push_back(number);
        }
    }

    /// Chooses the task that runs next, if none runs.
    pub(super) fn next(&mut self, choices: &mut Choices) -> Next {
        if !self.has_started || self.running.is_some() || self.end.is_some() {
            return Next::Stay;
        }
        let may_run = |&&number: &&TaskNumber| !self.paused.contains(&self.tasks[number as usize].host);
        let count = self.ready.iter().filter(may_run).count();
        if count == 0 {
            return Next::Advance(self.deadlines.first().map(|&(deadline, _)| deadline));
        }
        let chosen = match count {
            1 => 0,
            count => choices.below(ChoiceKind::Turn, count),
        };
        let Some(number) = self.ready.iter().filter(may_run).nth(chosen).copied() else { return Next::Stay };
        self.ready.retain(|&ready| ready != number);
        self.count += 1;
        self.running = Some(number);
        let task = &mut self.tasks[number as usize];
        task.status = Status::Running;
        Next::Call(number, Arc::clone(&task.seat))
    }
}

#[cfg(test)]
mod tests;
