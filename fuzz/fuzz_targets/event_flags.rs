//! What a kernel's flags are taken to mean, for each combination of flags: poll(2) and epoll, Windows' AFD, kqueue.
#![no_main]

libfuzzer_sys::fuzz_target!(|flags: (u8, u32, u32)| wakeful::fuzzing::event_flags(flags.0, flags.1, flags.2));
