//! The README's lines for users of mio do what they say, in a project whose lock file has the newest mio. So does the
//! guide's manifest that turns chaos on in a program on tokio.

use super::consumer::{quoted, Consumer};
use super::runner::Runner;
use crate::command;
use crate::prelude::*;

const DEPENDENCIES: &str =
    "[dependencies]\nmio = { version = \"1\", features = [\"net\", \"os-poll\", \"os-ext\"] }\n";

/// Waits for an event, and says which library it did that with.
const MAIN: &str = r#"use std::time::Duration;

fn main() {
    let mut poll = mio::Poll::new().unwrap();
    let waker = mio::Waker::new(poll.registry(), mio::Token(1)).unwrap();
    waker.wake().unwrap();
    let mut events = mio::Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert_eq!(events.iter().count(), 1);
    println!("{}", std::any::type_name::<mio::Poll>());
}
"#;

/// The path that the README has, which stands for the reader's own.
const PATH: &str = "\"wakeful/compat/mio\"";

pub fn check(runner: &mut Runner) -> Result<String> {
    let readme = command::read_lossy(&workspace::root()?.join("README.md"))?;
    let patch = block(&readme, "toml", "[patch.crates-io]").context("the README has no patch")?;
    if !patch.contains(PATH) {
        bail!("the README's patch has another path than {PATH}:\n{patch}");
    }
    let ours = workspace::root()?.join("compat/mio");
    let patch = patch.replace(PATH, &quoted(&ours));
    let commands =
        block(&readme, "sh", "cargo update -p mio").context("the README says no `cargo update`")?;

    let user = Consumer::new("patch", DEPENDENCIES, MAIN)?;
    runner.run(user.cargo(&["generate-lockfile"])?)?;
    let before = runner.read(user.cargo(&["run"])?)?;
    if !before.starts_with("mio::") {
        bail!("the program tells nothing: without the patch it runs on {before}");
    }

    user.append(&patch)?;
    // That is what the README warns of. If cargo ever takes the patch by itself, the warning has no reason.
    let unchanged = runner.read(user.cargo(&["run"])?)?;
    if unchanged != before {
        bail!("the README says that a lock file keeps its mio, but without `cargo update` it is {unchanged}");
    }
    let mut shown = String::new();
    for line in commands.lines() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let ["cargo", args @ ..] = &words[..] else {
            bail!("the README has a command that isn't cargo's: {line}")
        };
        shown = runner.read(user.cargo(args)?)?;
    }
    if !shown.lines().next().is_some_and(|line| line.starts_with("mio v") && line.contains("compat")) {
        bail!("the last of the README's commands doesn't show that the patch took:\n{shown}");
    }
    let after = runner.read(user.cargo(&["run"])?)?;
    if !after.starts_with("wakeful::") {
        bail!("{shown}\nwith the patch the program runs on {after}");
    }
    shaken(runner)?;
    Ok(format!("   before: {before}   after:  {after}"))
}

/// The feature that the guide's manifest asks for reaches the library.
fn shaken(runner: &mut Runner) -> Result<()> {
    let guide = command::read_lossy(&workspace::root()?.join("src/guide.rs"))?;
    let guide: String = guide.lines().map(|line| prose(line).to_owned() + "\n").collect();
    let manifest = block(&guide, "toml", "tokio = ").context("the guide has no manifest with tokio")?;
    if !manifest.contains(PATH) {
        bail!("the guide's manifest has another path than {PATH}:\n{manifest}");
    }
    let manifest = manifest.replace(PATH, &quoted(&workspace::root()?.join("compat/mio")));
    let user = Consumer::new("shaken", &manifest, "fn main() {}\n")?;
    let tree = runner.read(user.cargo(&["tree", "--edges", "features", "--invert", "wakeful-io"])?)?;
    if !tree.contains("wakeful-io feature \"chaos\"") {
        bail!("the guide's manifest turns no chaos on:\n{tree}");
    }
    Ok(())
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
