//! Running other programs: cargo, and anything that may hang or whose output must be kept.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fmt};

use anyhow::{bail, Context, Result};

use crate::workspace;

/// The cargo that runs this, in the repository's root.
pub fn cargo<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(workspace::root()?);
    // `cargo run` describes xtask to xtask. What cargo builds or tests for us must not take that for its own.
    for (name, _) in env::vars_os() {
        let described = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if described {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Adds to the compiler's flags, keeping those that the caller's environment asks for.
pub fn rustflags(command: &mut Command, flags: &str) {
    let asked = env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{asked} {flags}").trim());
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
}

/// The standard output of a program that succeeds; its standard error is the error of one that fails.
pub fn capture(mut command: Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| start_failed(&command))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` ended with {}\n{}",
            Shown(&command),
            output.status,
            errors.trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program whose output goes to a file, and which is killed with its children if it takes too long.
pub struct Job {
    command: Command,
    log: PathBuf,
    error_log: Option<PathBuf>,
    echo: bool,
    limit: Duration,
}

impl Job {
    pub fn new(command: Command, log: impl Into<PathBuf>) -> Job {
        let limit = Duration::from_secs(60 * 60);
        Job {
            command,
            log: log.into(),
            error_log: None,
            echo: false,
            limit,
        }
    }

    /// Keeps standard error out of the log, for a log that will be parsed.
    pub fn errors_to(mut self, error_log: impl Into<PathBuf>) -> Job {
        self.error_log = Some(error_log.into());
        self
    }

    /// Shows the log while it grows.
    pub fn echo(mut self) -> Job {
        self.echo = true;
        self
    }

    pub fn limit(mut self, limit: Duration) -> Job {
        self.limit = limit;
        self
    }

    pub fn run(mut self) -> Result<Ended> {
        // A file and not a pipe: what a hung grandchild holds open can't make us wait for its end.
        let log = create(&self.log)?;
        let error_log = match &self.error_log {
            Some(path) => create(path)?,
            None => log.try_clone().context("can't share the log")?,
        };
        self.command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error_log);
        let in_group = start_group(&mut self.command);

        let mut echo = if self.echo {
            Some(open(&self.log)?)
        } else {
            None
        };
        let start = Instant::now();
        let mut child = self
            .command
            .spawn()
            .with_context(|| start_failed(&self.command))?;
        let status = loop {
            let status = child.try_wait().context("can't wait for a child process")?;
            if let Some(log) = &mut echo {
                show_new(log)?;
            }
            if status.is_some() || start.elapsed() >= self.limit {
                break status;
            }
            thread::sleep(Duration::from_millis(10));
        };
        kill(&mut child, status.is_some(), in_group)?;
        Ok(Ended {
            status,
            limit: self.limit,
            log: self.log,
        })
    }
}

/// How a job ended.
pub struct Ended {
    status: Option<ExitStatus>,
    limit: Duration,
    log: PathBuf,
}

impl Ended {
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    pub fn hung(&self) -> bool {
        self.status.is_none()
    }

    pub fn output(&self) -> Result<String> {
        read_lossy(&self.log)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}"),
            None => write!(f, "killed after its limit of {} s", self.limit.as_secs()),
        }
    }
}

/// A command as a person would type it.
pub struct Shown<'a>(pub &'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Path::new(self.0.get_program());
        write!(
            f,
            "{}",
            program
                .file_stem()
                .unwrap_or(program.as_os_str())
                .to_string_lossy()
        )?;
        for arg in self.0.get_args() {
            write!(f, " {}", arg.to_string_lossy())?;
        }
        Ok(())
    }
}

/// A file that may hold anything that a program printed.
pub fn read_lossy(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Puts the program into a process group, so that it can be killed with all that it started. Not with a person at the
/// terminal, whose Ctrl-C must reach it.
#[cfg(unix)]
fn start_group(command: &mut Command) -> bool {
    use std::os::unix::process::CommandExt;
    let in_group = !io::stdin().is_terminal();
    if in_group {
        command.process_group(0);
    }
    in_group
}

#[cfg(not(unix))]
fn start_group(_: &mut Command) -> bool {
    false
}

/// Ends what still runs: the program itself, or children that it has left behind.
fn kill(child: &mut Child, exited: bool, in_group: bool) -> Result<()> {
    if in_group {
        // The shell's own `kill`: the program of that name isn't on every machine. It fails if nothing is left.
        let kill = format!("kill -KILL -{}", child.id());
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &kill])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        shell.status().context("can't start sh")?;
    }
    if !exited {
        // Harmless if the group is dead; an error means that it ended by itself meanwhile.
        let _ = child.kill();
        child.wait().context("can't wait for a child process")?;
    }
    Ok(())
}

fn show_new(log: &mut File) -> Result<()> {
    let mut new = Vec::new();
    log.read_to_end(&mut new).context("can't read the log")?;
    // Nobody may be reading us any more, which is no reason to stop the work.
    let _ = io::stdout()
        .write_all(&new)
        .and_then(|()| io::stdout().flush());
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    // Emptied first, then opened to append: standard output and error of one log must not overwrite each other.
    File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    let append = File::options().append(true).open(path);
    append.with_context(|| format!("can't write {}", path.display()))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("can't read {}", path.display()))
}

fn start_failed(command: &Command) -> String {
    format!("can't start `{}`", Shown(command))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let name = format!(
            "xtask-command-{}-{:?}.log",
            std::process::id(),
            thread::current().id()
        );
        Job::new(command, env::temp_dir().join(name))
            .limit(limit)
            .run()
            .unwrap()
    }

    #[test]
    fn a_job_tells_how_it_ended_and_keeps_what_it_printed() {
        let ended = shell("echo out; echo err >&2; exit 3", Duration::from_secs(60));
        assert!(!ended.success() && !ended.hung());
        assert_eq!(ended.output().unwrap(), "out\nerr\n");
    }

    #[test]
    fn a_job_is_killed_at_its_limit() {
        let ended = shell("echo before; sleep 600", Duration::from_millis(200));
        assert!(ended.hung());
        assert_eq!(ended.output().unwrap(), "before\n");
    }

    #[test]
    fn a_child_left_behind_does_not_keep_a_job_waiting() {
        let ended = shell("sleep 600 & echo done", Duration::from_secs(300));
        assert!(ended.success());
    }
}
