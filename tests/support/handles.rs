//! The open handles of this process.
#![allow(dead_code)] // not every test uses everything

use std::mem;
use std::sync::{Mutex, MutexGuard};

use windows_sys::Wdk::System::SystemInformation::{NtQuerySystemInformation, SYSTEM_INFORMATION_CLASS};
use windows_sys::Win32::Foundation::STATUS_INFO_LENGTH_MISMATCH;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetCurrentProcessId, GetProcessHandleCount};

/// Handles are counted: tests that open some take turns with those that count.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURNS: Mutex<()> = Mutex::new(());
    TURNS.lock().unwrap_or_else(|e| e.into_inner())
}

/// Fails if these rounds change the number of open handles. The first round may allocate.
#[track_caller]
pub fn leaks_no_handle(rounds: usize, round: impl Fn()) {
    round();
    let before = handle_count();
    for _ in 0..rounds {
        round();
    }
    assert_eq!(handle_count(), before);
}

pub fn handle_count() -> usize {
    let mut count = 0;
    // SAFETY: `count` outlives the call.
    assert_ne!(unsafe { GetProcessHandleCount(GetCurrentProcess(), &mut count) }, 0);
    match count {
        // Wine 8 always reports 0, but it can list the handles.
        0 => handles().len(),
        count => count as usize,
    }
}

/// The entries of this process in the list of all handles.
pub fn handles() -> Vec<usize> {
    const EXTENDED_HANDLES: SYSTEM_INFORMATION_CLASS = 64;
    /// In words: how many there are, and one that is reserved.
    const HEADER: usize = 2;
    /// In words: an object, its process, a handle, and 16 bytes of attributes.
    const ENTRY: usize = 3 + 16 / mem::size_of::<usize>();

    let mut words = vec![0_usize; 1 << 16];
    loop {
        let size = (words.len() * mem::size_of::<usize>()) as u32;
        // SAFETY: `words` is as long as stated, and outlives the call.
        let status = unsafe {
            NtQuerySystemInformation(EXTENDED_HANDLES, words.as_mut_ptr().cast(), size, std::ptr::null_mut())
        };
        if status == STATUS_INFO_LENGTH_MISMATCH {
            words.resize(words.len() * 2, 0);
            continue;
        }
        assert_eq!(status, 0, "{status:#x}");
        break;
    }
    // SAFETY: no memory is passed.
    let process = unsafe { GetCurrentProcessId() } as usize;
    let all = words[0];
    let entries = words[HEADER..].chunks_exact(ENTRY).take(all);
    let ours: Vec<usize> = entries.filter(|entry| entry[1] == process).map(|entry| entry[2]).collect();
    assert!(!ours.is_empty(), "of {all} handles none is ours");
    ours
}
