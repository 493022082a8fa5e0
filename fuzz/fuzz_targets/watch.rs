//! The one-shot state machine, against any answers of a kernel and any doings of a program.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wakeful::fuzzing::watch(bytes));
