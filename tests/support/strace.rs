//! Helpers of the tests that need strace. Where it is missing, or may not trace, the test is skipped by name.
//!
//! A skip is printed past the harness' capture, and counted. With `CI` set the test fails instead.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Ends the calling test as a skip where strace doesn't work.
macro_rules! needs_strace {
    () => {
        fn here() {}
        if strace::leaves_out(here) {
            return;
        }
    };
}
pub(crate) use needs_strace;

/// Whether the function around `here` is a skip.
pub fn leaves_out<F: Fn()>(_here: F) -> bool {
    static SKIPS: AtomicUsize = AtomicUsize::new(0);

    let Some(reason) = what_is_wrong() else { return false };
    let path = std::any::type_name::<F>().trim_end_matches("::here");
    let (program, name) = path.rsplit_once("::").unwrap_or(("", path));
    if std::env::var_os("CI").is_some_and(|value| !value.is_empty()) {
        panic!("{name} needs strace, and CI is set: {reason}");
    }
    let count = SKIPS.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("skip: {program}: {name}: {reason} (skips: {count})\n");
    // In one piece: other tests print as well.
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

/// Returns why nothing can be traced here.
fn what_is_wrong() -> Option<&'static str> {
    static WRONG: OnceLock<Option<String>> = OnceLock::new();

    let try_it = || {
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null());
        match strace.output() {
            Err(e) => Some(format!("no strace: {e}")),
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                Some(format!("strace may not trace: {}", errors.lines().next().unwrap_or_default()))
            }
        }
    };
    WRONG.get_or_init(try_it).as_deref()
}

/// Runs this program's tests again where strace is missing, and where ptrace is forbidden: all but `others` and the
/// caller must be skips, and failures with `CI` set.
pub fn each_test_is_skipped_by_name(caller: &str, others: &[&str]) {
    let again = |args: &[&str]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--skip", caller]).args(args).env_remove("CI").stdin(Stdio::null());
        command
    };
    let list = again(&["--list"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let all: BTreeSet<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let expected: BTreeSet<&str> =
        all.iter().copied().filter(|name| !others.iter().any(|other| name.contains(other))).collect();
    assert!(!expected.is_empty(), "{list}");

    let forbids: [fn(&mut Command); 2] = [without_strace, without_ptrace];
    for forbid in forbids {
        let mut command = again(&[]);
        forbid(&mut command);
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}{errors}", String::from_utf8_lossy(&output.stdout));
        let skips = errors.lines().filter_map(|line| line.strip_prefix("skip: ")?.split(": ").nth(1));
        let skipped: Vec<&str> = skips.collect();
        assert_eq!(skipped.iter().copied().collect::<BTreeSet<_>>(), expected, "{errors}");
        assert!(errors.contains(&format!("(skips: {})", expected.len())), "{errors}");
        assert_eq!(skipped.len(), expected.len(), "{errors}");

        let mut command = again(&[]);
        forbid(&mut command);
        let output = command.env("CI", "true").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        let failed = shown.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        assert_eq!(failed.collect::<BTreeSet<_>>(), expected, "{shown}");
    }
}

fn without_strace(command: &mut Command) {
    command.env("PATH", "/nonexistent");
}

/// Like the seccomp filter of a container.
fn without_ptrace(command: &mut Command) {
    let filter = || {
        let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        let forbidden = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let mut filter = [
            // The call's number is the first of what a filter is given.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_ptrace as u32),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, forbidden),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the second call reads `program` and its filter, which outlive it; the first passes no memory.
        let is_set = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
        };
        if is_set {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    };
    // SAFETY: between fork and exec it makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(filter) };
}
