//! The panics of a run: where they were, and their messages.
//!
//! Invariant: outside of a run's process every panic goes to the hook that was there before.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use wakeful::sim::Task;

/// A panic that was caught.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panic {
    pub(crate) message: String,
    /// The file, the line and the column.
    pub(crate) place: String,
}

/// Hears of each panic at once, in case that it aborts the process.
type Listener = Box<dyn Fn(&Panic) + Send>;

static IS_RUN: AtomicBool = AtomicBool::new(false);
static KEEPS_STACK: AtomicBool = AtomicBool::new(false);
static STACK: Mutex<Option<Backtrace>> = Mutex::new(None);
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

std::thread_local! {
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Installs the hook, once in a process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match IS_RUN.load(Ordering::Relaxed) {
            true => note(message(info.payload()), info.location().map(ToString::to_string)),
            false => before(info),
        }));
    });
}

/// Makes this process one of a run: its panics are kept, not printed.
pub(crate) fn keep(keeps_stack: bool, listener: Listener) {
    KEEPS_STACK.store(keeps_stack, Ordering::Relaxed);
    *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    IS_RUN.store(true, Ordering::Relaxed);
}

/// Ends the listening.
pub(crate) fn forget_listener() {
    *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Returns the stack of the last panic, if it was kept and RUST_BACKTRACE asks for it. Looking up the names of a large
/// program takes a second.
pub(crate) fn take_stack() -> String {
    let stack = STACK.lock().unwrap_or_else(PoisonError::into_inner).take();
    let stack = stack.filter(|stack| stack.status() == BacktraceStatus::Captured);
    stack.map_or_else(String::new, |stack| stack.to_string())
}

fn note(message: String, place: Option<String>) {
    if KEEPS_STACK.load(Ordering::Relaxed) {
        *STACK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Backtrace::capture());
    }
    let panic = Panic { message, place: place.unwrap_or_default() };
    // A runtime may catch it, and then only the story shows it.
    if let Some(task) = Task::current() {
        task.note(format!("panic at {}: {}", panic.place, panic.message));
    }
    if let Some(listener) = &*LISTENER.lock().unwrap_or_else(PoisonError::into_inner) {
        listener(&panic);
    }
    let _ = LAST.try_with(|last| *last.borrow_mut() = Some(panic));
}

/// Calls `act`. Returns its panic, if it panics.
pub(crate) fn catch<R>(act: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| {
        let message = message(&*payload);
        // The value of a panic may panic when it is dropped.
        std::mem::forget(payload);
        let last = LAST.try_with(|last| last.borrow_mut().take()).ok().flatten();
        // A panic that was resumed has called no hook.
        last.filter(|last| last.message == message).unwrap_or(Panic { message, ..Panic::default() })
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_owned(),
    }
}
