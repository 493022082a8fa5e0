//! The process of which each run is a fork: a copy of the test's process with one thread.
//!
//! A child has the locks of its parent as they are at that moment. In the test's process other threads work, and a lock
//! that one of them holds stays locked in the child for ever. A template is such a child, and a trial run shows that it
//! holds no lock that a run needs; all others are then forked from it.
//!
//! Invariant: a template has one thread, and changes nothing between two runs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wakeful::sim::Faults;

use crate::child::{Detail, Plan, Run};
use crate::outcome::{choices, number, push, push_choices, Outcome};
use crate::panics;
use crate::sys::{fork, out_of_the_way, Child, Exit, Shared};
use crate::world::World;

/// How many templates are tried.
const TRIALS: u32 = 12;

pub(crate) struct Template {
    plan: Plan,
    shared: Arc<Shared>,
    stream: UnixStream,
    /// `None` after its end.
    child: Option<Child>,
}

impl Template {
    /// Starts a template, with room for outcomes of so many bytes.
    pub(crate) fn new(plan: &Plan, room: usize) -> io::Result<Template> {
        panics::install();
        let shared = Arc::new(Shared::new(room)?);
        for trial in 0..TRIALS {
            let (near, far) = UnixStream::pair()?;
            let (near, far) = (out_of_the_way(near), out_of_the_way(far));
            // A busy machine may need more time.
            let limit = Duration::from_secs(1 << trial.min(4));
            // All of it lies on this thread's stack, or on the heap.
            let (in_child, memory) = (plan.clone(), Arc::clone(&shared));
            let child = fork(|| serve(&in_child, &memory, &far, limit))?;
            drop(far);
            let mut template = Template {
                plan: plan.clone(),
                shared: Arc::clone(&shared),
                stream: near,
                child: Some(child),
            };
            let mut is_sound = [0];
            if template.stream.read_exact(&mut is_sound).is_ok() && is_sound == [1] {
                return Ok(template);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::Other,
            "other threads of the test's process hold their locks all the time",
        ))
    }

    /// Makes a run.
    pub(crate) fn make(&mut self, run: &Run) -> Outcome {
        let exit = self.ask(run);
        Run::outcome_of(exit, &self.plan, &self.shared)
    }

    fn ask(&mut self, run: &Run) -> io::Result<Exit> {
        let request = encode(run);
        self.stream.write_all(&(request.len() as u64).to_le_bytes())?;
        self.stream.write_all(&request)?;
        let (mut kind, mut value) = ([0], [0; 4]);
        self.stream.read_exact(&mut kind)?;
        self.stream.read_exact(&mut value)?;
        let value = i32::from_le_bytes(value);
        match kind[0] {
            0 => Ok(Exit::Code(value)),
            1 => Ok(Exit::Signal(value)),
            _ => Err(io::Error::from_raw_os_error(value)),
        }
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // A request of no bytes ends it. It may have ended already.
        let _ = self.stream.write_all(&0_u64.to_le_bytes());
        if let Some(child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// The life of a template.
fn serve(plan: &Plan, shared: &Arc<Shared>, mut stream: &UnixStream, limit: Duration) {
    let is_sound = is_sound(shared, limit);
    if stream.write_all(&[is_sound.into()]).is_err() || !is_sound {
        return;
    }
    loop {
        let mut len = [0; 8];
        if stream.read_exact(&mut len).is_err() {
            return;
        }
        let mut request = vec![0; u64::from_le_bytes(len) as usize];
        if request.is_empty() || stream.read_exact(&mut request).is_err() {
            return;
        }
        let Some(run) = decode(&request) else { return };
        let (kind, value) = match run.make(plan, shared) {
            Ok(Exit::Code(code)) => (0, code),
            Ok(Exit::Signal(signal)) => (1, signal),
            Err(e) => (2, e.raw_os_error().unwrap_or(libc::EIO)),
        };
        let value = value.to_le_bytes();
        if stream.write_all(&[kind, value[0], value[1], value[2], value[3]]).is_err() {
            return;
        }
    }
}

/// Returns whether a run works that takes the locks which programs usually take.
fn is_sound(shared: &Arc<Shared>, limit: Duration) -> bool {
    let build = |world: &World| {
        world.host("10.0.0.1", || {
            let other = thread::spawn(|| drop(panics::catch(|| panic!("a trial"))));
            let _ = other.join();
            let _ = (std::env::var_os("PATH"), std::net::UdpSocket::bind("10.0.0.1:0"));
            thread::sleep(Duration::from_secs(1));
        });
    };
    let plan = Plan { build: Arc::new(build), faults: Faults::NONE, limit };
    let run = Run { seed: 0, replay: None, detail: Detail::Nothing, is_shifted: false };
    Run::outcome_of(run.make(&plan, shared), &plan, shared).reason.is_none()
}

fn encode(run: &Run) -> Vec<u8> {
    let Run { seed, replay, detail, is_shifted } = run;
    let mut bytes = Vec::with_capacity(32);
    for number in [*seed, *detail as u64, (*is_shifted).into(), replay.is_some().into()] {
        push(&mut bytes, number);
    }
    push_choices(&mut bytes, replay.as_deref().unwrap_or_default());
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Run> {
    let from = &mut bytes;
    let seed = number(from)?;
    let detail = [Detail::Nothing, Detail::Story, Detail::Log].get(number(from)? as usize).copied()?;
    let (is_shifted, is_replay) = (number(from)? != 0, number(from)? != 0);
    let choices = choices(from)?;
    Some(Run { seed, replay: is_replay.then_some(choices), detail, is_shifted })
}
