//! Bugs that are planted in a copy of the library, one at a time: each must be found within a minute.

use crate::downstream::source::{mirror, write_if_new};
use crate::prelude::*;

/// An edit of the library's source that makes a bug of it.
struct Plant {
    /// The model's test that must find it.
    backend: &'static str,
    bug: &'static str,
    file: &'static str,
    /// Stands once in the file.
    sound: &'static str,
    planted: &'static str,
}

const PLANTS: [Plant; 9] = [
    Plant {
        backend: "epoll",
        bug: "a lost re-arm: the kernel reports once, and is never asked again",
        file: "src/backend/epoll/sys.rs",
        sound: "table[index] = libc::EPOLLET as u32 |",
        planted: "table[index] = (libc::EPOLLET | libc::EPOLLONESHOT) as u32 |",
    },
    Plant {
        backend: "epoll",
        bug: "a stale token: the kernel doesn't hear of a deregistration",
        file: "src/backend/epoll/mod.rs",
        sound: "sys::delete(self.epoll.as_fd(), io)",
        planted: "{ let _ = io; Ok(()) }",
    },
    Plant {
        backend: "epoll",
        bug: "a swallowed wake: the kernel isn't told",
        file: "src/backend/epoll/mod.rs",
        sound: "Some(notifier) => notifier.notify(),",
        planted: "Some(_) => Ok(()),",
    },
    Plant {
        backend: "posix_poll",
        bug: "a lost re-arm: WouldBlock arms nothing",
        file: "src/backend/logic/registrations.rs",
        sound: "|watch| watch.rearm(cause)",
        planted: "|_| ()",
    },
    Plant {
        backend: "posix_poll",
        bug: "a stale token: a reregistration keeps the old one",
        file: "src/backend/logic/watch.rs",
        sound: "*self = Watch::new(Registration { tracking, ..registration })",
        planted: "let token = self.registration.token;
        *self = Watch::new(Registration { token, tracking, ..registration })",
    },
    Plant {
        backend: "posix_poll",
        bug: "a swallowed wake: the sleeper isn't told",
        file: "src/backend/list_backend.rs",
        sound: "fn notify(&self) -> io::Result<()> {\n        self.notifier.notify()",
        planted: "fn notify(&self) -> io::Result<()> {\n        Ok(())",
    },
    Plant {
        backend: "sim",
        bug: "a lost re-arm: readiness that was used up is not reported again",
        file: "src/backend/sim/state.rs",
        sound: "registration.directions[direction].armed = wanted;",
        planted: "registration.directions[direction].armed &= wanted;",
    },
    Plant {
        backend: "sim",
        bug: "a stale token: a reregistration keeps the old one",
        file: "src/backend/sim/state.rs",
        sound: "self.registrations.insert(id, state);",
        planted: "let token = self.registrations.get(&id).map_or(token, |old| old.token);
        self.registrations.insert(id, RegistrationState { token, ..state });",
    },
    Plant {
        backend: "sim",
        bug: "a swallowed wake: one that comes beside events is forgotten",
        file: "src/engine/wait.rs",
        sound: "if pending.is_none() {",
        planted: "if pending.is_none() || !events.is_empty() {",
    },
];

/// What a bug may stay hidden for.
const LIMIT: u64 = 60;

/// Plants each, on one backend or on all, and says how it was found. Whether all were.
pub fn find_all(backend: Option<&str>) -> Result<bool> {
    let folder = workspace::target("planted")?;
    let tree = folder.join("tree");
    let mut is_good = true;
    let wanted = |plant: &&Plant| backend.map_or(true, |backend| backend == plant.backend);
    for (number, plant) in PLANTS.iter().filter(wanted).enumerate() {
        copy(&tree)?;
        let file = tree.join(plant.file);
        write_if_new(&file, plant.applied(&fs::read_to_string(&file)?)?.as_bytes())?;

        let mut test =
            cargo(["test", "--package", "wakeful-io", "--release", "--all-features", "--test", "model"])?;
        test.arg("--target-dir").arg(&folder).args(["--", "--exact", plant.backend]);
        test.current_dir(&tree).env("WAKEFUL_MODEL_SECONDS", LIMIT.to_string());
        let log = folder.join(format!("{number}.log"));
        let ended = Job::new(test, log).limit(Duration::from_secs(20 * 60)).run()?;
        let output = ended.output()?;
        let found = output.lines().find(|line| {
            let is_it = line.contains(" operations in ") || line.contains("not even a wake ends the poll");
            is_it && !line.starts_with("model: ")
        });
        match found {
            Some(found) if !ended.success() => {
                println!("found: {}: {}\n       {found}", plant.backend, plant.bug)
            }
            _ if ended.success() => {
                is_good = false;
                println!("NOT FOUND: {}: {}", plant.backend, plant.bug);
            }
            _ => bail!("{}: {}: {ended}\n{}", plant.backend, plant.bug, output.trim_end()),
        }
    }
    copy(&tree)?;
    Ok(is_good)
}

impl Plant {
    fn applied(&self, source: &str) -> Result<String> {
        match source.matches(self.sound).count() {
            1 => Ok(source.replacen(self.sound, self.planted, 1)),
            count => bail!("{}: `{}` stands there {count} times, not once", self.file, self.sound),
        }
    }
}

/// Makes `tree` the workspace as it is.
fn copy(tree: &Path) -> Result<()> {
    let root = workspace::root()?;
    for folder in ["src", "tests", "examples", "compat", "xtask"] {
        mirror(&root.join(folder), &tree.join(folder))?;
    }
    let manifests = ["Cargo.toml", "Cargo.lock", "xtask/Cargo.toml"];
    // The documentation is part of the library.
    for file in manifests.into_iter().chain(["README.md", "PLATFORMS.md"]) {
        let content = fs::read(root.join(file))?;
        write_if_new(&tree.join(file), &content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_can_be_planted() {
        let root = workspace::root().unwrap();
        for plant in &PLANTS {
            let source = fs::read_to_string(root.join(plant.file)).unwrap();
            assert_ne!(plant.applied(&source).unwrap(), source);
        }
    }
}
