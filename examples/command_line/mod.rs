//! The command line of the small examples: `--help`, exit code 2 and a message for an argument that the example doesn't
//! know, exit code 1 for an error. Nothing that a user does makes an example panic.
#![allow(dead_code)] // each example uses a part

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why an example ends before its time.
pub enum Failure {
    /// The argument means nothing to it.
    UnknownArgument,
    Error(String),
}

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Error(error.to_string())
    }
}

/// Runs the example `name` with its one argument, if there is one.
pub fn run(name: &str, help: &str, example: impl FnOnce(Option<&str>) -> Result<(), Failure>) -> ExitCode {
    // An argument that isn't UTF-8 is unknown like any other.
    let args: Vec<String> = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        say(help);
        return ExitCode::SUCCESS;
    }
    let result = match args.len() {
        0 | 1 => example(args.first().map(String::as_str)),
        _ => Err(Failure::UnknownArgument),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::UnknownArgument) => {
            let unknown = args.last().map_or("", String::as_str);
            complain(format_args!("{name}: unknown argument `{unknown}`\nTry `--help`."));
            ExitCode::from(2)
        }
        Err(Failure::Error(error)) => {
            complain(format_args!("{name}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// For an example without arguments.
pub fn no_argument(argument: Option<&str>) -> Result<(), Failure> {
    match argument {
        None => Ok(()),
        Some(_) => Err(Failure::UnknownArgument),
    }
}

/// Prints a line. `println!` panics if the reader has gone, as in `signals | head -1`.
pub fn say(line: impl Display) {
    print(io::stdout(), line);
}

fn complain(line: impl Display) {
    print(io::stderr(), line);
}

/// In one write, so that the lines of two threads, on two streams to one file, don't mix.
fn print(mut stream: impl Write, line: impl Display) {
    let _ = stream.write_all(format!("{line}\n").as_bytes());
}
