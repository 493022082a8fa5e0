//! Building the test executables of a copy.

use super::checkout::Checkout;
use crate::prelude::*;
use serde_json::Value;

/// One of the crate's test targets, built.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Executable {
    /// The target's name: `tcp_accept`, or `lib` for the unit tests, or `doc` for the examples in the documentation.
    pub name: String,
    /// None for the examples, which cargo builds one by one when it runs them.
    pub path: Option<PathBuf>,
}

#[derive(Debug, Default)]
pub struct Built {
    pub executables: BTreeSet<Executable>,
    /// Targets that don't compile, and the compiler's first message for each.
    pub broken: Vec<(String, String)>,
}

/// Builds all test targets, or only those named.
pub fn build(checkout: &Checkout, only: Option<&[String]>) -> Result<Built> {
    let mut command = checkout.cargo_for_tests(&["build", "--keep-going", "--message-format=json"])?;
    match only {
        None => command.arg("--tests"),
        Some(names) => command.args(names.iter().flat_map(|name| ["--test", name])),
    };

    let messages = checkout.logs.join(format!("build-{}.json", checkout.subject()));
    let log = messages.with_extension("log");
    let ended = Job::new(command, &messages).errors_to(&log).run()?;
    let mut built = read(&ended.output()?);
    let explained = ended.success() || !built.broken.is_empty();
    if !explained || built.executables.is_empty() {
        let why = match built.broken.first() {
            Some((_, message)) => message.clone(),
            None => read_lossy(&log)?,
        };
        bail!("no tests were built with {}: {ended}\n{}", checkout.subject(), why.trim_end());
    }
    if checkout.published.examples && only.is_none() {
        built.executables.insert(Executable { name: "doc".to_owned(), path: None });
    }
    Ok(built)
}

/// Reads cargo's messages, one JSON value a line.
fn read(printed: &str) -> Built {
    let mut built = Built::default();
    for message in messages(printed) {
        match message["reason"].as_str() {
            Some("compiler-artifact") => {
                let path = message["executable"].as_str();
                if let (Some(path), Some(true)) = (path, message["profile"]["test"].as_bool()) {
                    let name = target_name(&message["target"]);
                    built.executables.insert(Executable { name, path: Some(path.into()) });
                }
            }
            Some("compiler-message") if message["message"]["level"] == "error" => {
                let name = target_name(&message["target"]);
                let text = message["message"]["rendered"].as_str().unwrap_or_default();
                if !built.broken.iter().any(|(broken, _)| *broken == name) {
                    built.broken.push((name, text.to_owned()));
                }
            }
            _ => {}
        }
    }
    built
}

fn target_name(target: &Value) -> String {
    let kinds = target["kind"].as_array().map_or(&[][..], Vec::as_slice);
    if kinds.iter().any(|kind| kind == "test") {
        target["name"].as_str().unwrap_or("unnamed").to_owned()
    } else {
        kinds.first().and_then(Value::as_str).unwrap_or("unnamed").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn test_executables_and_broken_targets_are_read() {
        let artifact = |kind: &str, name: &str, test: bool, path: &str| {
            json!({
                "reason": "compiler-artifact",
                "target": { "kind": [kind], "name": name },
                "profile": { "test": test },
                "executable": path,
            })
        };
        let message = |name: &str, level: &str, rendered: &str| {
            json!({
                "reason": "compiler-message",
                "target": { "kind": ["test"], "name": name },
                "message": { "level": level, "rendered": rendered },
            })
        };
        let messages = [
            artifact("lib", "a", true, "/t/a-1"),
            artifact("test", "tcp", true, "/t/tcp-2"),
            artifact("bin", "tool", false, "/t/tool"),
            message("udp", "warning", "w"),
            message("uds", "error", "first"),
            message("uds", "error", "second"),
            json!({ "reason": "build-finished", "success": false }),
        ];
        let messages: Vec<String> = messages.iter().map(Value::to_string).collect();
        let built = read(&messages.join("\n"));
        let found = built
            .executables
            .iter()
            .map(|found| (&*found.name, found.path.as_ref().unwrap().to_str().unwrap()));
        assert_eq!(found.collect::<Vec<_>>(), [("lib", "/t/a-1"), ("tcp", "/t/tcp-2")]);
        assert_eq!(built.broken, [("uds".to_owned(), "first".to_owned())]);
    }
}
