//! Seats of tasks between which a turn goes without the kernel: a thread goes on as another one.
//!
//! A turn from thread to thread by the kernel costs two system calls and two switches, and was a third of the time of a
//! cluster's run. Here a thread that gives its turn away saves its registers, with the one that addresses its
//! thread-local values, and loads those of the other task: the kernel's thread stays, and now runs the other's stack
//! with the other's thread-local values. So a task keeps its stack and its values, and may be run by any kernel thread
//! of its world.
//!
//! A task begins and ends on the thread that the program has started for it: what the kernel does at the end of a
//! thread (stack, thread-local values, pthread_join(3)) is that thread's. A thread whose task is run by another one
//! waits on a small stack of its own, in code without thread-local values.
//!
//! Invariant: the registers of a task are loaded by one thread, after they were saved; a thread waits on its own small
//! stack before another one may load what it has run.
//!
//! The kernel is the way on other processors, and on an x86 whose kernel is older than Linux 5.9: it must allow a
//! program to write the register.

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::Arc;

use wakeful::sim::Seat;

/// Has worlds made from now on seat their tasks here, if the system allows it.
pub(crate) fn prepare() {
    if machine::may_switch() {
        wakeful::sim::seat_tasks_by(|| Arc::new(FiberSeat(Fiber::new())));
    }
}

/// The registers of a task or of a waiting thread: the stack pointer, with the others on the stack, and the base of the
/// thread-local values.
#[repr(C)]
struct Registers {
    stack: usize,
    locals: usize,
}

/// A task and the thread that was started for it.
struct Fiber {
    /// The task's registers, while it is saved.
    task: UnsafeCell<Registers>,
    /// Whether the task is saved: not running, and not blocked by the kernel.
    is_saved: Cell<bool>,
    /// While the task runs: the fiber whose thread runs it.
    thread: Cell<&'static Fiber>,
    /// 1 if the thread, which the kernel blocks, may go on with its own task.
    called: AtomicU32,

    /// The thread's registers, while it runs a task, other than those of the task: where it waits.
    waiting: UnsafeCell<Registers>,
    /// The memory of the stack on which it waits. Empty before the first time.
    stack: UnsafeCell<Vec<Piece>>,
    /// 1 if the thread, which waits, has a task to go on with.
    has_next: AtomicU32,
    /// That task.
    next: AtomicPtr<Fiber>,
    /// What the thread sets to 1 once it waits: the `called` or `has_next` of another one.
    first: Cell<Option<&'static AtomicU32>>,
}

// SAFETY: `called`, `has_next` and `next` are atomic. The rest is used by the one thread of a world that runs a task,
// or by the thread whose fiber this is, before and after that: each passes the turn on by a release and an acquire of
// one of the three.
unsafe impl Sync for Fiber {}

/// A piece of a stack, with its alignment.
#[derive(Clone)]
#[repr(C, align(16))]
struct Piece([u64; 2]);

/// The size of the stack on which a thread waits: 8 KiB. The functions there need less than one.
const STACK: usize = 512;

impl Fiber {
    /// Returns a new fiber, which is never freed: its thread may wait for ever.
    fn new() -> &'static Fiber {
        let none = || UnsafeCell::new(Registers { stack: 0, locals: 0 });
        let place = Box::leak(Box::new(std::mem::MaybeUninit::<Fiber>::uninit()));
        // SAFETY: the reference is used after the value was written below.
        let own: &'static Fiber = unsafe { &*place.as_ptr() };
        place.write(Fiber {
            task: none(),
            is_saved: Cell::new(false),
            thread: Cell::new(own),
            called: AtomicU32::new(0),
            waiting: none(),
            stack: UnsafeCell::new(Vec::new()),
            has_next: AtomicU32::new(0),
            next: AtomicPtr::new(std::ptr::null_mut()),
            first: Cell::new(None),
        })
    }

    /// Blocks the calling thread, which runs its own task, until the task is called.
    fn block(&'static self) {
        // SAFETY: the thread is here, and so not on the stack on which it waits.
        let stack = unsafe { &mut *self.stack.get() };
        if stack.is_empty() {
            *stack = vec![Piece([0; 2]); STACK];
            let top = stack.as_mut_ptr_range().end.cast();
            // SAFETY: the stack is new, and nothing runs on it.
            let stack = unsafe { machine::begin(top, wait_for_tasks, self) };
            // SAFETY: the thread's own, as above.
            unsafe { *self.waiting.get() = Registers { stack, locals: machine::locals() } };
        }
        wait_for(&self.called);
    }

    /// Saves the running task. Its thread waits for another task, after it has set `first` to 1.
    fn suspend(&'static self, first: &'static AtomicU32) {
        let thread = self.thread.get();
        thread.first.set(Some(first));
        self.is_saved.set(true);
        // SAFETY: the thread runs this task, so its registers of waiting are saved, or new.
        unsafe { machine::switch(self.task.get(), thread.waiting.get()) };
    }

    /// Returns the word to set for the task to go on.
    fn word(&'static self) -> &'static AtomicU32 {
        if !self.is_saved.get() {
            return &self.called;
        }
        // The thread that was started for it waits: the one that has run it last may have ended.
        self.next.store((self as *const Fiber).cast_mut(), Ordering::Relaxed);
        &self.has_next
    }
}

/// What a thread does on its small stack: it runs each task that it is given. Never returns.
///
/// Nothing here may use a thread-local value, `errno` included: the thread's own task may be running elsewhere.
extern "C" fn wait_for_tasks(thread: &'static Fiber) -> ! {
    loop {
        if let Some(first) = thread.first.take() {
            set(first);
        }
        wait_for(&thread.has_next);
        let next = thread.next.load(Ordering::Relaxed);
        // SAFETY: a fiber is never freed, and `next` was set before `has_next`.
        let next = unsafe { &*next };
        next.is_saved.set(false);
        next.thread.set(thread);
        // SAFETY: the task is saved, and its turn was given to this thread alone.
        unsafe { machine::switch(thread.waiting.get(), next.task.get()) };
    }
}

fn set(word: &AtomicU32) {
    word.store(1, Ordering::Release);
    machine::futex(word, libc::FUTEX_WAKE, 1);
}

/// Blocks the thread until the word is 1, and makes it 0.
fn wait_for(word: &AtomicU32) {
    while word.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_err() {
        machine::futex(word, libc::FUTEX_WAIT, 0);
    }
}

struct FiberSeat(&'static Fiber);

// SAFETY: what a fiber lets other threads do is atomic, or theirs by the turn.
unsafe impl Send for FiberSeat {}
// SAFETY: as above.
unsafe impl Sync for FiberSeat {}

impl Seat for FiberSeat {
    fn wait(&self) {
        self.0.block();
    }

    fn call(&self) {
        set(self.0.word());
    }

    fn hand_over(&self, next: &dyn Seat) {
        // SAFETY: all seats of a world are of one type.
        let next = unsafe { &*(next as *const dyn Seat).cast::<FiberSeat>() }.0;
        let own = self.0;
        if !next.is_saved.get() {
            return own.suspend(&next.called);
        }
        own.is_saved.set(true);
        next.is_saved.set(false);
        next.thread.set(own.thread.get());
        // SAFETY: the other task is saved, and has its turn from this one.
        unsafe { machine::switch(own.task.get(), next.task.get()) };
    }

    fn leave(&self) {
        let own = self.0;
        if !std::ptr::eq(own.thread.get(), own) {
            // The own thread waits, and goes on with its task.
            own.is_saved.set(true);
            let word = own.word();
            own.suspend(word);
        }
        // SAFETY: the thread is on its task's stack, and never waits again.
        unsafe { *own.stack.get() = Vec::new() };
    }
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use std::arch::{asm, global_asm};
    use std::sync::atomic::AtomicU32;

    use super::{Fiber, Registers};

    /// Returns whether a program may read and write the base of its thread-local values.
    pub(super) fn may_switch() -> bool {
        /// Of `AT_HWCAP2`: since Linux 5.9, if the processor has the instructions.
        const FSGSBASE: u64 = 1 << 1;
        // SAFETY: no memory is passed.
        unsafe { libc::getauxval(libc::AT_HWCAP2) & FSGSBASE != 0 }
    }

    // What the callee keeps, by the System V ABI: six registers, and the modes of the two floating-point units.
    global_asm!(
        ".hidden wakeful_world_switch",
        ".globl wakeful_world_switch",
        ".type wakeful_world_switch, @function",
        "wakeful_world_switch:",
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "rdfsbase rax",
        "mov [rdi], rsp",
        "mov [rdi + 8], rax",
        "mov rsp, [rsi]",
        "mov rax, [rsi + 8]",
        "wrfsbase rax",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        ".size wakeful_world_switch, . - wakeful_world_switch",
        // The first function of a stack: r12 is its address, r13 its argument.
        ".hidden wakeful_world_begin",
        ".globl wakeful_world_begin",
        ".type wakeful_world_begin, @function",
        "wakeful_world_begin:",
        "mov rdi, r13",
        "call r12",
        "ud2",
        ".size wakeful_world_begin, . - wakeful_world_begin",
    );

    extern "C" {
        fn wakeful_world_switch(save: *mut Registers, load: *const Registers);
        fn wakeful_world_begin();
    }

    /// Saves the registers, and goes on with others.
    ///
    /// # Safety
    ///
    /// Those to load were saved by this function, or made by [`begin`], and nothing has loaded them since.
    pub(super) unsafe fn switch(save: *mut Registers, load: *const Registers) {
        // SAFETY: the caller's promise.
        unsafe { wakeful_world_switch(save, load) }
    }

    /// Writes what [`switch`] needs to begin a function on an empty stack. Returns the stack pointer.
    ///
    /// # Safety
    ///
    /// Below `top`, which is aligned to 16 bytes, there is a stack.
    pub(super) unsafe fn begin(
        top: *mut usize,
        function: extern "C" fn(&'static Fiber) -> !,
        argument: &'static Fiber,
    ) -> usize {
        /// The modes that a thread begins with: of SSE in the lower half, of the x87 in the upper one.
        const MODES: usize = 0x1f80 | 0x037f << 32;
        let argument = argument as *const Fiber as usize;
        // From the modes up: r15, r14, r13, r12, rbx, rbp, and where to return to.
        let words = [
            MODES,
            0,
            0,
            argument,
            function as *const () as usize,
            0,
            0,
            wakeful_world_begin as *const () as usize,
            0,
            0,
        ];
        // SAFETY: the caller's promise.
        unsafe {
            let stack = top.sub(words.len());
            stack.copy_from_nonoverlapping(words.as_ptr(), words.len());
            stack as usize
        }
    }

    /// Returns the base of the calling thread's thread-local values.
    pub(super) fn locals() -> usize {
        let base;
        // SAFETY: `may_switch` was true.
        unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
        base
    }

    /// futex(2), without `errno`.
    pub(super) fn futex(word: &AtomicU32, operation: i32, value: u32) {
        // SAFETY: the word lives, and there is no timeout.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") libc::SYS_futex => _,
                in("rdi") word.as_ptr(),
                in("rsi") operation | libc::FUTEX_PRIVATE_FLAG,
                in("rdx") value,
                in("r10") 0,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use std::arch::{asm, global_asm};
    use std::sync::atomic::AtomicU32;

    use super::{Fiber, Registers};

    /// Returns whether a program may read and write the base of its thread-local values: always on this processor.
    pub(super) fn may_switch() -> bool {
        true
    }

    // What the callee keeps, by AAPCS64: x19 to x30, and the lower halves of v8 to v15.
    global_asm!(
        ".hidden wakeful_world_switch",
        ".globl wakeful_world_switch",
        ".type wakeful_world_switch, %function",
        "wakeful_world_switch:",
        "sub sp, sp, #176",
        "stp x19, x20, [sp]",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mrs x9, fpcr",
        "str x9, [sp, #160]",
        "mrs x9, tpidr_el0",
        "mov x10, sp",
        "stp x10, x9, [x0]",
        "ldp x10, x9, [x1]",
        "mov sp, x10",
        "msr tpidr_el0, x9",
        "ldr x9, [sp, #160]",
        "msr fpcr, x9",
        "ldp d14, d15, [sp, #144]",
        "ldp d12, d13, [sp, #128]",
        "ldp d10, d11, [sp, #112]",
        "ldp d8, d9, [sp, #96]",
        "ldp x29, x30, [sp, #80]",
        "ldp x27, x28, [sp, #64]",
        "ldp x25, x26, [sp, #48]",
        "ldp x23, x24, [sp, #32]",
        "ldp x21, x22, [sp, #16]",
        "ldp x19, x20, [sp]",
        "add sp, sp, #176",
        "ret",
        ".size wakeful_world_switch, . - wakeful_world_switch",
        // The first function of a stack: x19 is its address, x20 its argument.
        ".hidden wakeful_world_begin",
        ".globl wakeful_world_begin",
        ".type wakeful_world_begin, %function",
        "wakeful_world_begin:",
        "mov x0, x20",
        "blr x19",
        "brk #1",
        ".size wakeful_world_begin, . - wakeful_world_begin",
    );

    extern "C" {
        fn wakeful_world_switch(save: *mut Registers, load: *const Registers);
        fn wakeful_world_begin();
    }

    /// Saves the registers, and goes on with others.
    ///
    /// # Safety
    ///
    /// Those to load were saved by this function, or made by [`begin`], and nothing has loaded them since.
    pub(super) unsafe fn switch(save: *mut Registers, load: *const Registers) {
        // SAFETY: the caller's promise.
        unsafe { wakeful_world_switch(save, load) }
    }

    /// Writes what [`switch`] needs to begin a function on an empty stack. Returns the stack pointer.
    ///
    /// # Safety
    ///
    /// Below `top`, which is aligned to 16 bytes, there is a stack.
    pub(super) unsafe fn begin(
        top: *mut usize,
        function: extern "C" fn(&'static Fiber) -> !,
        argument: &'static Fiber,
    ) -> usize {
        let mut words = [0; 22];
        // x19, x20 and x30, the address to return to.
        (words[0], words[1]) = (function as *const () as usize, argument as *const Fiber as usize);
        words[11] = wakeful_world_begin as *const () as usize;
        // SAFETY: the caller's promise.
        unsafe {
            let stack = top.sub(words.len());
            stack.copy_from_nonoverlapping(words.as_ptr(), words.len());
            stack as usize
        }
    }

    /// Returns the base of the calling thread's thread-local values.
    pub(super) fn locals() -> usize {
        let base;
        // SAFETY: the register may be read.
        unsafe { asm!("mrs {}, tpidr_el0", out(reg) base, options(nomem, nostack, preserves_flags)) };
        base
    }

    /// futex(2), without `errno`.
    pub(super) fn futex(word: &AtomicU32, operation: i32, value: u32) {
        // SAFETY: the word lives, and there is no timeout.
        unsafe {
            asm!(
                "svc 0",
                in("x8") libc::SYS_futex,
                inlateout("x0") word.as_ptr() => _,
                in("x1") operation | libc::FUTEX_PRIVATE_FLAG,
                in("x2") value,
                in("x3") 0,
                options(nostack),
            );
        }
    }
}

/// Processors without a way past the kernel.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod machine {
    use std::sync::atomic::AtomicU32;

    use super::{Fiber, Registers};

    const NEVER: &str = "no fiber is made on this processor";

    pub(super) fn may_switch() -> bool {
        false
    }

    pub(super) unsafe fn switch(_: *mut Registers, _: *const Registers) {
        unreachable!("{NEVER}");
    }

    pub(super) unsafe fn begin(
        _: *mut usize,
        _: extern "C" fn(&'static Fiber) -> !,
        _: &'static Fiber,
    ) -> usize {
        unreachable!("{NEVER}");
    }

    pub(super) fn locals() -> usize {
        unreachable!("{NEVER}");
    }

    pub(super) fn futex(_: &AtomicU32, _: i32, _: u32) {
        unreachable!("{NEVER}");
    }
}
