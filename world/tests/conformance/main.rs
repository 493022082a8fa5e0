//! The contract, behaviour by behaviour, within a world: the tests of `tests/conformance` run on a simulated host, with
//! simulated sockets, threads and sleeps, on their peers' side too.
//!
//! Only the table of `conformance/skips.rs` excuses a test. With `WAKEFUL_CHAOS=SEED` the world of that seed does all
//! that the contract allows; without it every choice is plain.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

/// Makes a module of each behaviour, with its test.
macro_rules! on_every_backend {
    ($($behaviour:ident),* $(,)?) => {$(
        mod $behaviour {
            #[test]
            fn world() {
                if !crate::beyond::leaves_out(module_path!()) {
                    crate::ground::run(module_path!(), super::$behaviour);
                }
            }
        }
    )*};
}

#[path = "../../../tests/support/mod.rs"]
mod support;

mod ground;
#[path = "../support/mod.rs"]
mod host;
mod skips;

macro_rules! of_the_suite {
    ($($name:ident = $path:literal;)*) => {$(
        #[path = $path]
        mod $name;
    )*};
}

of_the_suite! {
    beyond = "../../../tests/conformance/beyond.rs";
    capacity = "../../../tests/conformance/capacity.rs";
    close_states = "../../../tests/conformance/close_states.rs";
    connecting = "../../../tests/conformance/connecting.rs";
    deregistration = "../../../tests/conformance/deregistration.rs";
    dropping = "../../../tests/conformance/dropping.rs";
    edges = "../../../tests/conformance/edges.rs";
    linux_descriptors = "../../../tests/conformance/linux_descriptors.rs";
    linux_lasting_flags = "../../../tests/conformance/linux_lasting_flags.rs";
    linux_terminals = "../../../tests/conformance/linux_terminals.rs";
    linux_timer_slack = "../../../tests/conformance/linux_timer_slack.rs";
    modes = "../../../tests/conformance/modes.rs";
    priority = "../../../tests/conformance/priority.rs";
    registration = "../../../tests/conformance/registration.rs";
    short_reads = "../../../tests/conformance/short_reads.rs";
    spinning = "../../../tests/conformance/spinning.rs";
    threads = "../../../tests/conformance/threads.rs";
    timeouts = "../../../tests/conformance/timeouts.rs";
    tokens = "../../../tests/conformance/tokens.rs";
    udp = "../../../tests/conformance/udp.rs";
    unix_kernel_filters = "../../../tests/conformance/unix_kernel_filters.rs";
    unix_nesting = "../../../tests/conformance/unix_nesting.rs";
    unix_pipes = "../../../tests/conformance/unix_pipes.rs";
    unix_signals = "../../../tests/conformance/unix_signals.rs";
    unix_source_fd = "../../../tests/conformance/unix_source_fd.rs";
    unix_streams = "../../../tests/conformance/unix_streams.rs";
    waker = "../../../tests/conformance/waker.rs";
    wrong_use = "../../../tests/conformance/wrong_use.rs";
}

/// The backends beside which a test runs its own.
fn backends() -> &'static [wakeful::Backend] {
    &[wakeful::Backend::Sim]
}
