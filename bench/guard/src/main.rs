//! Does one operation many times, on one backend, so that somebody outside can count what it costs: `wakeful-guard
//! BACKEND OPERATION TIMES`. Twice with different TIMES, and the difference is the operations' alone.

fn main() {}
