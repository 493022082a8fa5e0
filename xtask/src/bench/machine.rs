//! What the numbers were measured on: without it they mean little.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::command::{capture, cargo};
use crate::workspace;

pub struct Machine {
    facts: Vec<(&'static str, String)>,
}

impl Machine {
    pub fn look() -> Result<Machine> {
        let mut facts = vec![
            ("processor", processor()),
            ("kernel", answer("uname", &["-srm"])),
            ("libc", answer("getconf", &["GNU_LIBC_VERSION"])),
            ("compiler", answer("rustc", &["-V"])),
            ("wakeful", answer("git", &["describe", "--always", "--dirty"])),
            ("libuv", answer("pkg-config", &["--modversion", "libuv"])),
            ("libevent", answer("pkg-config", &["--modversion", "libevent"])),
        ];
        for peer in ["mio", "polling"] {
            let mut id = cargo(["pkgid", "--manifest-path"])?;
            id.arg(workspace::root()?.join("bench/Cargo.toml")).arg(peer);
            let id = capture(id)?;
            facts.push((peer, id.trim().rsplit(['@', '#']).next().unwrap_or("unknown").to_owned()));
        }
        facts.push(("load before", load()));
        Ok(Machine { facts })
    }

    pub fn look_again(&mut self) -> Result<()> {
        self.facts.push(("load after", load()));
        Ok(())
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.iter().try_for_each(|(name, fact)| writeln!(f, "{name:12} {fact}"))
    }
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown");
    let count = std::thread::available_parallelism().map_or(0, |count| count.get());
    format!("{count} x {name}")
}

fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// What a program says, if it is there.
fn answer(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args);
    if let Ok(root) = workspace::root() {
        command.current_dir(root);
    }
    capture(command).map_or("unknown".to_owned(), |answer| answer.trim().to_owned())
}
