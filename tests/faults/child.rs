//! One case, in its own process: a thread does the steps, and strace makes its system calls fail.
//!
//! Only that thread is traced. Another thread, whose calls succeed, does the steps that fail [`TRIES`] times: so a
//! permanent fault ends, and the case shows that it lost nothing.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::Backend;

use super::calls::{MARK, PROBE};
use super::scenario::{steps, Step, World};

/// How often a step is tried before another thread does it.
const TRIES: usize = 3;
/// The result of a call that has no other use, by which a thread knows that it is traced.
const TRACED: libc::c_long = 42;

/// Runs the steps, from the step `from` on with `faults` (in the form of strace's `-e inject=`), and returns the
/// errors of the steps. `close` may have failed this often: strace makes a call fail by not making it, which leaves a
/// descriptor open.
///
/// Panics if an event or a byte was lost, or a descriptor is left open.
pub fn run(
    backend: Backend,
    from: usize,
    faults: &[&str],
    log: &Path,
    leaks: usize,
) -> Vec<(&'static str, io::Error)> {
    keep_panics();
    let before = open_descriptors();
    // SAFETY: no memory is passed.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let steps = Arc::new(steps());
    let id = Arc::new(AtomicI32::new(0));
    let traced = thread::spawn({
        let (steps, id) = (Arc::clone(&steps), Arc::clone(&id));
        move || {
            do_steps(backend, &steps, from, || {
                // SAFETY: takes nothing, and always succeeds.
                id.store(unsafe { libc::gettid() }, Ordering::Release);
                until("strace is there", || mark(PROBE) == TRACED);
            })
        }
    });
    until("the step is there", || id.load(Ordering::Acquire) != 0 || traced.is_finished());
    if traced.is_finished() {
        join(traced);
        panic!("there is no step {from}");
    }
    let mut strace = attach(id.load(Ordering::Acquire), faults, log);
    let (mut world, next, seen) = join(traced);
    let status = strace.wait().expect("strace");
    assert!(status.success(), "strace: {status}");

    for step in &steps[next..] {
        step.run(&mut world).unwrap_or_else(|e| panic!("{} fails without a fault: {e}", step.name));
    }
    drop(world);
    let left = open_descriptors() - before;
    assert!(left <= leaks, "{left} descriptors are left open");
    seen
}

/// The sources so far, the first step that was not done, and each step that has failed.
fn do_steps(
    backend: Backend,
    steps: &[Step],
    from: usize,
    let_strace_come: impl Fn(),
) -> (World, usize, Vec<(&'static str, io::Error)>) {
    let mut world = World::new(backend);
    let mut seen = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if index == from {
            let_strace_come();
        }
        let mut tries = 0;
        mark(step.name);
        while let Err(e) = step.run(&mut world) {
            seen.push((step.name, e));
            tries += 1;
            if tries == TRIES {
                return (world, index, seen);
            }
        }
    }
    (world, steps.len(), seen)
}

fn attach(thread: i32, faults: &[&str], log: &Path) -> Child {
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-s", "100", "-o"]).arg(log).args(["-p", &thread.to_string()]);
    strace.args(["-e", &format!("inject=faccessat:retval={TRACED}")]);
    for fault in faults {
        strace.args(["-e", &format!("inject={fault}")]);
    }
    strace.stdin(Stdio::null()).stdout(Stdio::null());
    strace.spawn().expect("strace, as `needs_strace!` has found")
}

/// A system call without an effect, which marks the log.
fn mark(text: &str) -> libc::c_long {
    let path = CString::new(format!("{MARK}{text}")).unwrap();
    // SAFETY: `path` is a C string.
    unsafe { libc::syscall(libc::SYS_faccessat, libc::AT_FDCWD, path.as_ptr(), 0, 0) }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

static PANICS: Mutex<String> = Mutex::new(String::new());

/// The traced thread's writes may fail.
fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        *PANICS.lock().unwrap() += &format!("{info}\n");
    }));
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    let result = thread.join();
    let _ = std::panic::take_hook();
    result.unwrap_or_else(|_| panic!("{}", PANICS.lock().unwrap()))
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
