//! The README's lines for users of mio, and for those of polling, do what they say, in a project whose lock file has
//! the newest of it. So do the guide's manifests that turn chaos on in a program on tokio and in one on calloop, and
//! the manifests of the examples that have one.

use super::consumer::{quoted, Consumer};
use super::runner::Runner;
use crate::command;
use crate::prelude::*;

/// A package that ours stands in for.
struct Replaced {
    name: &'static str,
    dependencies: &'static str,
    /// Waits for an event, and says which library it did that with.
    main: &'static str,
    /// The dependency by whose line the guide's manifest is found.
    user: &'static str,
}

const REPLACED: [Replaced; 2] = [
    Replaced {
        name: "mio",
        dependencies: "mio = { version = \"1\", features = [\"net\", \"os-poll\", \"os-ext\"] }",
        main: r#"fn main() {
    let mut poll = mio::Poll::new().unwrap();
    let waker = mio::Waker::new(poll.registry(), mio::Token(1)).unwrap();
    waker.wake().unwrap();
    let mut events = mio::Events::with_capacity(8);
    poll.poll(&mut events, Some(std::time::Duration::from_secs(20))).unwrap();
    assert_eq!(events.iter().count(), 1);
    println!("{}", std::any::type_name::<mio::Poll>());
}
"#,
        user: "tokio = ",
    },
    Replaced {
        name: "polling",
        dependencies: "polling = \"3\"",
        main: r#"fn main() {
    let poller = polling::Poller::new().unwrap();
    poller.notify().unwrap();
    assert_eq!(poller.wait(&mut polling::Events::new(), None).unwrap(), 0);
    // The real one shows its kernel's parts, ours the library's.
    let ours = format!("{poller:?}").contains("registry: ");
    println!("{}", if ours { "wakeful" } else { "polling" });
}
"#,
        user: "calloop = ",
    },
];

/// A program in `examples` with a manifest of its own, which replaces a package that ours stands in for.
struct Example {
    name: &'static str,
    replaced: &'static str,
    /// Runs the program, which is `$1`.
    script: &'static str,
    prints: &'static [&'static str],
}

const EXAMPLES: [Example; 2] = [
    Example { name: "calloop", replaced: "polling", script: "\"$1\"", prints: &["pings and"] },
    Example {
        name: "five_sources",
        replaced: "mio",
        // A line on its standard input, a datagram, and at last a signal, which ends it.
        script: "(sleep 0.5; echo typed; echo hello | nc -u -w1 127.0.0.1 7007; sleep 3) |
            timeout --preserve-status --signal TERM 4 \"$1\"",
        prints: &["tick", "keys: typed", "UDP: hello", "output: done", "the child has ended: exit status: 0"],
    },
];

pub fn check(runner: &mut Runner) -> Result<String> {
    let mut shown: String = REPLACED.iter().map(|replaced| replaced.check(runner)).collect::<Result<_>>()?;
    for example in EXAMPLES {
        shown += &example.check(runner)?;
    }
    Ok(shown)
}

impl Example {
    /// The example runs, and on this library.
    fn check(&self, runner: &mut Runner) -> Result<String> {
        let Example { name, replaced, .. } = self;
        let folder = workspace::root()?.join("examples").join(name);
        let cargo_there = |args: &[&str]| -> Result<Command> {
            let mut command = cargo(args)?;
            command
                .current_dir(&folder)
                .env("CARGO_TARGET_DIR", workspace::target("consumers")?.join("target"));
            Ok(command)
        };
        let tree = runner.read(cargo_there(&["tree", "--invert", replaced])?)?;
        if !tree.lines().next().is_some_and(|line| line.contains(&format!("compat/{replaced}"))) {
            bail!("examples/{name} stands on another {replaced}:\n{tree}");
        }
        let built = runner.read(cargo_there(&["build", "--message-format=json-render-diagnostics"])?)?;
        let (_, _, program) =
            executables(&built).find(|(kind, ..)| kind == "bin").context("cargo has built no program")?;
        let mut run = Command::new("sh");
        run.args(["-c", self.script, "sh"]).arg(program);
        let shown = runner.read(run)?;
        if let Some(missing) = self.prints.iter().find(|line| !shown.contains(**line)) {
            bail!("examples/{name} doesn't print {missing:?}:\n{shown}");
        }
        Ok(shown.lines().map(|line| format!("   {name}: {line}\n")).collect())
    }
}

impl Replaced {
    fn check(&self, runner: &mut Runner) -> Result<String> {
        let name = self.name;
        let readme = command::read_lossy(&workspace::root()?.join("README.md"))?;
        let patch = self.with_our_path(
            block(&readme, "toml", &format!("{name} = {{ path")).context("the README has no patch")?,
        )?;
        let commands = block(&readme, "sh", &format!("cargo update -p {name}"))
            .context("the README says no `cargo update`")?;

        let dependencies = format!("[dependencies]\n{}\n", self.dependencies);
        let user = Consumer::new(&format!("patch-{name}"), &dependencies, self.main)?;
        runner.run(user.cargo(&["generate-lockfile"])?)?;
        let before = runner.read(user.cargo(&["run"])?)?;
        if !before.starts_with(name) {
            bail!("the program tells nothing: without the patch it runs on {before}");
        }

        user.append(&patch)?;
        // That is what the README warns of. If cargo ever takes the patch by itself, the warning has no reason.
        let unchanged = runner.read(user.cargo(&["run"])?)?;
        if unchanged != before {
            bail!("the README says that a lock file keeps its {name}, but without `cargo update` it is {unchanged}");
        }
        let mut shown = String::new();
        for line in commands.lines() {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let ["cargo", args @ ..] = &words[..] else {
                bail!("the README has a command that isn't cargo's: {line}")
            };
            shown = runner.read(user.cargo(args)?)?;
        }
        let first = shown.lines().next().unwrap_or_default();
        if !(first.starts_with(&format!("{name} v")) && first.contains("compat")) {
            bail!("the last of the README's commands doesn't show that the patch took:\n{shown}");
        }
        let after = runner.read(user.cargo(&["run"])?)?;
        if !after.starts_with("wakeful") {
            bail!("{shown}\nwith the patch the program runs on {after}");
        }
        self.shaken(runner)?;
        Ok(format!("   before: {before}   after:  {after}"))
    }

    /// The feature that the guide's manifest asks for reaches the library.
    fn shaken(&self, runner: &mut Runner) -> Result<()> {
        let guide = command::read_lossy(&workspace::root()?.join("src/guide.rs"))?;
        let guide: String = guide.lines().map(|line| prose(line).to_owned() + "\n").collect();
        let manifest = block(&guide, "toml", self.user)
            .with_context(|| format!("the guide has no manifest with `{}`", self.user))?;
        let manifest = self.with_our_path(manifest)?;
        let user = Consumer::new(&format!("shaken-{}", self.name), &manifest, "fn main() {}\n")?;
        let tree = runner.read(user.cargo(&["tree", "--edges", "features", "--invert", "wakeful-io"])?)?;
        if !tree.contains("wakeful-io feature \"chaos\"") {
            bail!("the guide's manifest turns no chaos on:\n{tree}");
        }
        Ok(())
    }

    /// A manifest's text with the path of this checkout in place of the reader's own.
    fn with_our_path(&self, manifest: &str) -> Result<String> {
        let folder = format!("compat/{}", self.name);
        let path = format!("\"wakeful/{folder}\"");
        if !manifest.contains(&path) {
            bail!("the manifest has another path than {path}:\n{manifest}");
        }
        Ok(manifest.replace(&path, &quoted(&workspace::root()?.join(folder))))
    }
}

/// A line of a module's documentation.
fn prose(line: &str) -> &str {
    let text = line.strip_prefix("//!").unwrap_or_default();
    text.strip_prefix(' ').unwrap_or(text)
}

/// The text of the first block of code in this language that has this line, or begins one with it.
fn block<'a>(text: &'a str, language: &str, line: &str) -> Option<&'a str> {
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1).filter_map(|rest| rest.split_once("```"));
    let mut blocks = blocks.map(|(block, _)| block);
    blocks.find(|block| block.lines().any(|found| found.starts_with(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_by_what_is_in_it() {
        let text =
            "a\n```sh\ncargo run\n```\nb\n```toml\n[patch]\nx = 1\n```\n```sh\ncargo update -p mio\n```\n";
        assert_eq!(block(text, "toml", "[patch]"), Some("[patch]\nx = 1\n"));
        assert_eq!(block(text, "sh", "cargo update"), Some("cargo update -p mio\n"));
        assert_eq!(block(text, "sh", "cargo tree"), None);
    }
}
