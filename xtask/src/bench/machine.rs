//! What the numbers were measured on: without it they mean little.

use crate::prelude::*;

/// The name of the fact that makes the figures doubtful.
pub const WARNING: &str = "warning";

pub struct Machine {
    facts: Vec<(&'static str, String)>,
    before: String,
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
        // compat/polling is a polling too.
        for (peer, package) in [("mio", "mio"), ("polling", "polling@3.11")] {
            let id = capture(
                cargo(["pkgid", "--manifest-path"])?
                    .arg(workspace::root()?.join("bench/Cargo.toml"))
                    .arg(package),
            )?;
            facts.push((peer, id.trim().rsplit(['@', '#']).next().unwrap_or("unknown").to_owned()));
        }
        let before = load();
        facts.push(("load before", before.clone()));
        Ok(Machine { facts, before })
    }

    pub fn look_again(&mut self) {
        let after = load();
        let warning = doubt(&self.before, &after, processors());
        self.facts.push(("load after", after));
        self.facts.extend(warning.map(|warning| (WARNING, warning)));
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.iter().try_for_each(|(name, fact)| writeln!(f, "{name:12} {fact}"))
    }
}

/// How much of the load after a run is the benchmark's own: one engine at a time works, and one peer of it.
const OWN_LOAD: f64 = 1.0;

/// What speaks against figures that were taken between these loads. A load begins with the last minute's.
fn doubt(before: &str, after: &str, processors: usize) -> Option<String> {
    let half = processors as f64 / 2.0;
    let minute = |load: &str| load.split(' ').next().and_then(|minute| minute.parse::<f64>().ok());
    let is_busy = minute(before)? > half || minute(after)? > half + OWN_LOAD;
    is_busy.then(|| {
        format!("the load was above half of the {processors} processors: don't trust what was timed")
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown");
    format!("{} x {name}", processors())
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
    capture(&mut command).map_or("unknown".to_owned(), |answer| answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_above_half_the_processors_is_warned_of() {
        assert_eq!(doubt("0.80 0.9 1.0", "1.20 1.1 1.0", 2), None, "the benchmark's own");
        assert!(doubt("1.10 0.9 1.0", "1.20 1.1 1.0", 2).is_some());
        assert!(doubt("0.80 0.9 1.0", "2.10 1.1 1.0", 2).is_some());
        assert_eq!(doubt("1.10 0.9 1.0", "2.10 1.1 1.0", 4), None);
        assert_eq!(doubt("", "", 2), None, "no such file");
    }
}
