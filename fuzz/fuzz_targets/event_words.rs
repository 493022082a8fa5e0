//! What a kernel's flags are taken to mean, for each combination of flags.
#![no_main]

libfuzzer_sys::fuzz_target!(|words: u32| wakeful::fuzzing::event_words(words));
