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

const PLANTS: [Plant; 34] = [
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
        file: "src/backend/sim/events.rs",
        sound: "state.armed = state.wanted;",
        planted: "state.armed &= state.wanted;",
    },
    Plant {
        backend: "sim",
        bug: "a stale token: a reregistration keeps the old one",
        file: "src/backend/sim/events.rs",
        sound: "let state = RegistrationState { token, interest, tracking, is_spent, known, directions };",
        planted: "let token = self.registrations.get(&key).map_or(token, |old| old.token);
        let state = RegistrationState { token, interest, tracking, is_spent, known, directions };",
    },
    Plant {
        backend: "sim",
        bug: "a swallowed wake: one that comes beside events is forgotten",
        file: "src/engine/wait.rs",
        sound: "if pending.is_none() {",
        planted: "if pending.is_none() || !events.is_empty() {",
    },
    Plant {
        backend: "epoll",
        bug: "a cancelled timer is reported",
        file: "src/engine/timers.rs",
        sound: "if !timer.wants_event() || !deadline.is_due() {",
        planted: "if !timer.wants_event() {",
    },
    Plant {
        backend: "epoll",
        bug: "a one-shot registration has a second event",
        file: "src/backend/epoll/sys.rs",
        sound: "flags |= libc::EPOLLONESHOT as u32;",
        planted: "flags |= 0;",
    },
    Plant {
        backend: "epoll",
        bug: "a level-triggered registration is edge-triggered",
        file: "src/backend/epoll/sys.rs",
        sound: "if interest.is_edge() || interest.is_edge_one_shot() {",
        planted: "if true {",
    },
    Plant {
        backend: "epoll",
        bug: "an interest in the end is one in data",
        file: "src/backend/epoll/sys.rs",
        sound: "flags |= libc::EPOLLRDHUP as u32;",
        planted: "flags |= (libc::EPOLLRDHUP | libc::EPOLLIN) as u32;",
    },
    Plant {
        backend: "epoll",
        bug: "an exclusive registration is replaced by none",
        file: "src/backend/epoll/sys.rs",
        sound: "delete(epoll, fd)?;\n    control(epoll, libc::EPOLL_CTL_ADD, fd, event)",
        planted: "delete(epoll, fd)",
    },
    Plant {
        backend: "posix_poll",
        bug: "a one-shot registration has a second event",
        file: "src/backend/logic/watch.rs",
        sound: "self.mode = Mode::Spent;\n            self.armed = None;",
        planted: "self.mode = Mode::OneShot;",
    },
    Plant {
        backend: "posix_poll",
        bug: "a one-shot registration stays spent when it is registered again",
        file: "src/backend/logic/watch.rs",
        sound: "*self = Watch::new(Registration { tracking, ..registration })",
        planted: "let (was, new) = (self.mode, Watch::new(Registration { tracking, ..registration }));
        *self = Watch { mode: if was == Mode::Spent { was } else { new.mode }, ..new }",
    },
    Plant {
        backend: "posix_poll",
        bug: "a level-triggered registration is edge-triggered",
        file: "src/backend/logic/watch/mode.rs",
        sound: "(true, _) => Mode::Level,",
        planted: "(true, _) => Mode::Edge,",
    },
    Plant {
        backend: "posix_poll",
        bug: "an interest in the end alone overlooks a half-close",
        file: "src/backend/logic/watch.rs",
        sound: "found.intersects(ends) || self.registration.interest.is_end()",
        planted: "found.intersects(ends)",
    },
    Plant {
        backend: "chaos_on_epoll",
        bug: "the event of a one-shot registration is split in two",
        file: "src/engine/chaos.rs",
        sound: "event.is_writable() && !is_one_shot;",
        planted: "event.is_writable();",
    },
    Plant {
        backend: "chaos_on_epoll",
        bug: "a spurious event of a one-shot registration",
        file: "src/engine/chaos.rs",
        sound: "&& !registration.interest.is_one_shot() {",
        planted: "{",
    },
    Plant {
        backend: "sim",
        bug: "a one-shot registration has a second event",
        file: "src/backend/sim/events.rs",
        sound: "registration.is_spent = is_one_shot;",
        planted: "registration.is_spent = false;",
    },
    Plant {
        backend: "sim",
        bug: "a one-shot registration stays spent when it is registered again",
        file: "src/backend/sim/events.rs",
        sound: "let (is_spent, known) = (false, Readiness::NONE);",
        planted: "let is_spent = self.registrations.get(&key).is_some_and(|old| old.is_spent);
        let known = Readiness::NONE;",
    },
    Plant {
        backend: "sim",
        bug: "a level-triggered registration is edge-triggered",
        file: "src/backend/sim/events.rs",
        sound: "armed || is_arrival || registration.interest.is_level();",
        planted: "armed || is_arrival;",
    },
    Plant {
        backend: "sim",
        bug: "an interest in the end is one in data",
        file: "src/backend/sim/events.rs",
        sound: "registration.interest.is_end() => state.has_ended(),",
        planted: "registration.interest.is_end() => state.is_ready(direction),",
    },
    Plant {
        backend: "world",
        bug: "a short read arms nothing",
        file: "src/backend/sim/streams.rs",
        sound: "self.used_up(id, READ, count < there);",
        planted: "let _ = there;",
    },
    Plant {
        backend: "world",
        bug: "the peer's end never arrives",
        file: "src/backend/sim/network.rs",
        sound: "Piece::End => channel.ended = true,",
        planted: "Piece::End => {}",
    },
    Plant {
        backend: "world",
        bug: "a deregistered descriptor still has events",
        file: "src/backend/sim/world.rs",
        sound: ".map(|()| state.unwatch((poll, id, fd)))",
        planted: "",
    },
    Plant {
        backend: "world",
        bug: "a one-shot registration has a second event",
        file: "src/backend/sim/events.rs",
        sound: "registration.is_spent = is_one_shot;",
        planted: "registration.is_spent = false;",
    },
    Plant {
        backend: "world",
        bug: "what a closed end has not read fills its peer's buffer",
        file: "src/backend/sim/streams.rs",
        sound: "channel.bytes.clear();\n            }\n        }\n        self.shutdown",
        planted: "let _ = channel;\n            }\n        }\n        self.shutdown",
    },
    Plant {
        backend: "world",
        bug: "the space that a read has made is not reported",
        file: "src/backend/sim/streams.rs",
        sound: "_ => self.changed(writer, WRITE),",
        planted: "_ => {}",
    },
    Plant {
        backend: "world",
        bug: "the space in a queue of datagrams is not reported",
        file: "src/backend/sim/datagrams.rs",
        sound: "self.space_in_queue(senders);",
        planted: "drop(senders);",
    },
    Plant {
        backend: "world",
        bug: "closing a duplicate closes the socket",
        file: "src/backend/sim/sockets.rs",
        sound: "if socket.descriptors == 0 {",
        planted: "if true {",
    },
    Plant {
        backend: "faulty_world",
        bug: "no event follows an operation that pretended to block",
        file: "src/backend/sim/streams.rs",
        sound: "self.used_up(id, direction, true);",
        planted: "",
    },
    Plant {
        backend: "faulty_world",
        bug: "no event follows a short transfer that left something",
        file: "src/backend/sim/events.rs",
        sound: "if is_fault || endings.is_none() || registration.known != endings {",
        planted: "if !is_fault && (endings.is_none() || registration.known != endings) {",
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

        let mut test = cargo(["test", "--release", "--all-features", "--test", "model"])?;
        test.args(["--package", plant.package()]);
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
    fn package(&self) -> &'static str {
        match self.backend {
            "world" | "faulty_world" => "wakeful-world",
            _ => "wakeful-io",
        }
    }

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
    for folder in ["src", "tests", "examples", "compat", "world", "xtask"] {
        mirror(&root.join(folder), &tree.join(folder))?;
    }
    let manifests = ["Cargo.toml", "Cargo.lock", "world/Cargo.toml", "xtask/Cargo.toml"];
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
