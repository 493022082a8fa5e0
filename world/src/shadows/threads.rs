//! Threads: one that a task starts is a task of the same host.
//!
//! Invariant: a thread that is a task runs nothing outside of its turns, not even the destructors of its thread-local
//! values: it leaves the world in the destructor of a key, and those run last.

use std::collections::{BTreeMap, VecDeque};
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use libc::{c_int, c_void, pthread_attr_t, pthread_key_t, pthread_t};
use wakeful::sim::Task;

use super::{real, shadows, task};
use crate::foreign;

shadows!(pthread_create, pthread_join, pthread_detach);

/// What a new thread begins with.
struct Start {
    task: Task,
    /// The thread's own world, if a thread outside of any has started it.
    run: Option<foreign::Run>,
    function: extern "C" fn(*mut c_void) -> *mut c_void,
    arg: *mut c_void,
}

/// The threads that may be joined, by their number.
static JOINS: Mutex<BTreeMap<u64, Join>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Join {
    has_ended: bool,
    is_detached: bool,
    waiter: Option<Task>,
}

fn joins() -> MutexGuard<'static, BTreeMap<u64, Join>> {
    JOINS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key whose destructor leaves the world.
fn key() -> pthread_key_t {
    static KEY: OnceLock<pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = MaybeUninit::uninit();
        // SAFETY: the key is written if the call succeeds.
        unsafe {
            if libc::pthread_key_create(key.as_mut_ptr(), Some(leave)) != 0 {
                std::process::abort();
            }
            key.assume_init()
        }
    })
}

unsafe extern "C" fn leave(_: *mut c_void) {
    let Some(task) = task() else { return };
    // SAFETY: no argument.
    let me = unsafe { libc::pthread_self() } as u64;
    let waiter = task.outside(|| {
        let mut joins = joins();
        let join = joins.entry(me).or_default();
        join.has_ended = true;
        let waiter = join.waiter.take();
        if join.is_detached {
            joins.remove(&me);
        }
        waiter
    });
    if let Some(waiter) = waiter {
        waiter.unpark();
    }
    task.leave();
}

/// Makes the calling thread the task. It leaves the world when the thread ends, after the destructors of its
/// thread-local values.
pub fn enter(task: Task) {
    key();
    task.enter();
    // SAFETY: the key exists. The value isn't null, so its destructor runs.
    unsafe { libc::pthread_setspecific(key(), std::ptr::NonNull::<u8>::dangling().as_ptr().cast()) };
}

extern "C" fn begin(start: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` has boxed it for this thread.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    let Start { task, run, function, arg } = *start;
    enter(task);
    if let Some(run) = run {
        run.keep();
    }
    function(arg)
}

#[no_mangle]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attr: *const pthread_attr_t,
    function: extern "C" fn(*mut c_void) -> *mut c_void,
    arg: *mut c_void,
) -> c_int {
    let of_host = task().map(|task| (task.spawn(), None));
    let of_its_own = || foreign::of_new_thread().map(|(task, run)| (task, Some(run)));
    let Some((new, run)) = of_host.or_else(of_its_own) else {
        // SAFETY: the caller's promise.
        return unsafe { real::pthread_create(thread, attr, function, arg) };
    };
    let start = Box::into_raw(Box::new(Start { task: new, run, function, arg }));
    // The first use of the key, by one task at a time.
    key();
    // SAFETY: the caller's promise, but for the function, which takes the box.
    let result = unsafe { real::pthread_create(thread, attr, begin, start.cast()) };
    if result == 0 {
        // SAFETY: pthread_create(3) has written it.
        let number = unsafe { *thread } as u64;
        new.outside(|| joins().insert(number, Join::default()));
    } else {
        // SAFETY: no thread has taken it.
        let start = unsafe { Box::from_raw(start) };
        start.task.abandon();
    }
    result
}

#[no_mangle]
unsafe extern "C" fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> c_int {
    if let Some(task) = task() {
        loop {
            let is_known = task.outside(|| match joins().get_mut(&(thread as u64)) {
                Some(join) if !join.has_ended => {
                    join.waiter = Some(task);
                    true
                }
                _ => false,
            });
            if !is_known {
                break;
            }
            task.park(None);
        }
        task.outside(|| joins().remove(&(thread as u64)));
    }
    // SAFETY: the caller's promise. The thread has left its world, so it ends without another turn.
    unsafe { real::pthread_join(thread, result) }
}

#[no_mangle]
unsafe extern "C" fn pthread_detach(thread: pthread_t) -> c_int {
    if let Some(task) = task() {
        task.outside(|| {
            let mut joins = joins();
            match joins.get_mut(&(thread as u64)) {
                Some(join) if join.has_ended => drop(joins.remove(&(thread as u64))),
                Some(join) => join.is_detached = true,
                None => {}
            }
        });
    }
    // SAFETY: the caller's promise.
    unsafe { real::pthread_detach(thread) }
}

/// The tasks that wait on a word of memory: futex(2).
static WAITERS: Mutex<BTreeMap<usize, VecDeque<Task>>> = Mutex::new(BTreeMap::new());

fn waiters() -> MutexGuard<'static, BTreeMap<usize, VecDeque<Task>>> {
    WAITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on a word of memory that has been seen to have the expected value. Returns false if `deadline` came first.
pub(super) fn wait(task: Task, word: usize, deadline: Option<Duration>) -> bool {
    task.outside(|| waiters().entry(word).or_default().push_back(task));
    if task.park(deadline) {
        return true;
    }
    task.outside(|| {
        let mut waiters = waiters();
        if let Some(queue) = waiters.get_mut(&word) {
            queue.retain(|waiter| !waiter.is_of_world(&task) || waiter.number() != task.number());
            if queue.is_empty() {
                waiters.remove(&word);
            }
        }
    });
    false
}

/// Takes up to `count` of the tasks that wait on a word, those of the caller's world alone: a world that has ended may
/// have left waiters at the address.
fn take(waiters: &mut BTreeMap<usize, VecDeque<Task>>, word: usize, task: Task, count: usize) -> Vec<Task> {
    let Some(queue) = waiters.get_mut(&word) else { return Vec::new() };
    let mut taken = Vec::new();
    queue.retain(|waiter| {
        let is_taken = taken.len() < count && waiter.is_of_world(&task);
        if is_taken {
            taken.push(*waiter);
        }
        !is_taken
    });
    if queue.is_empty() {
        waiters.remove(&word);
    }
    taken
}

/// Ends the waits of up to `count` tasks on a word. Returns how many waited.
pub(super) fn wake(task: Task, word: usize, count: usize) -> usize {
    let woken = task.outside(|| {
        let mut waiters = waiters();
        take(&mut waiters, word, task, count)
    });
    for waiter in &woken {
        waiter.unpark();
    }
    woken.len()
}

/// Lets up to `count` tasks wait on another word instead.
pub(super) fn requeue(task: Task, word: usize, other: usize, count: usize) -> usize {
    task.outside(|| {
        let mut waiters = waiters();
        let moved = take(&mut waiters, word, task, count);
        let count = moved.len();
        waiters.entry(other).or_default().extend(moved);
        count
    })
}
