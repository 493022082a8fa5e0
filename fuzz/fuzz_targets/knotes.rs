//! The list of what a kqueue has registered, against any doings of a program and refusals of a kernel.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wakeful::fuzzing::knotes(bytes));
