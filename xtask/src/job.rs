//! Running what may take long, print much, or hang.

use crate::prelude::*;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, ExitStatus};

/// A program whose output goes to a file, and which is killed with its children if it takes too long.
pub struct Job {
    command: Command,
    log: PathBuf,
    error_log: Option<PathBuf>,
    echo: bool,
    limit: Duration,
    watch_epoll: bool,
}

impl Job {
    pub fn new(command: Command, log: impl Into<PathBuf>) -> Job {
        let limit = Duration::from_secs(60 * 60);
        Job { command, log: log.into(), error_log: None, echo: false, limit, watch_epoll: false }
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

    /// Looks now and then whether the program itself, without its children, has an epoll descriptor.
    pub fn watch_epoll(mut self) -> Job {
        self.watch_epoll = true;
        self
    }

    pub fn run(mut self) -> Result<Ended> {
        // A file and not a pipe: what a hung grandchild holds open can't make us wait for its end.
        let log = create(&self.log)?;
        let error_log = match &self.error_log {
            Some(path) => create(path)?,
            None => log.try_clone().context("can't share the log")?,
        };
        self.command.stdin(Stdio::null()).stdout(log).stderr(error_log);
        let in_group = start_group(&mut self.command);

        let mut echo = if self.echo { Some(fs::File::open(&self.log)?) } else { None };
        let mut used_epoll = false;
        let start = Instant::now();
        let mut child = self.command.spawn().with_context(|| start_failed(&self.command))?;
        let status = loop {
            let status = child.try_wait().context("can't wait for a child process")?;
            if let Some(log) = &mut echo {
                show_new(log)?;
            }
            if status.is_some() || start.elapsed() >= self.limit {
                break status;
            }
            if self.watch_epoll && !used_epoll {
                used_epoll = has_epoll(child.id());
            }
            // Most tests are over at once: look often at first.
            let pause = if start.elapsed().as_millis() < 100 { 1 } else { 10 };
            thread::sleep(Duration::from_millis(pause));
        };
        kill(&mut child, status.is_some(), in_group)?;
        Ok(Ended { status, limit: self.limit, log: self.log, used_epoll })
    }
}

impl Job {
    /// What it printed, if it succeeds. If not, that is in the error.
    pub fn succeed(self) -> Result<String> {
        let shown = Shown(&self.command).to_string();
        let ended = self.run()?;
        let output = ended.output()?;
        match ended.success() {
            true => Ok(output),
            false => bail!("{}\n`{shown}`: {ended}", output.trim_end()),
        }
    }
}

/// How a job ended.
pub struct Ended {
    status: Option<ExitStatus>,
    limit: Duration,
    log: PathBuf,
    /// Whether an epoll descriptor was seen. One that lives shorter than a moment may be missed.
    pub used_epoll: bool,
}

impl Ended {
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// None if a signal has ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
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

/// Puts the program into a process group, so that it can be killed with all that it started. Not with a person at the
/// terminal, whose Ctrl-C must reach it.
#[cfg(unix)]
fn start_group(command: &mut Command) -> bool {
    use std::io::IsTerminal;
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
        shell.args(["-c", &kill]).stdout(Stdio::null()).stderr(Stdio::null());
        shell.status().context("can't start sh")?;
    }
    if !exited {
        // Harmless if the group is dead; an error means that it ended by itself meanwhile.
        let _ = child.kill();
        child.wait().context("can't wait for a child process")?;
    }
    Ok(())
}

/// Always false where there is no Linux `/proc`.
fn has_epoll(process: u32) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    // Any of them may be closed before it's looked at.
    let mut targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target == Path::new("anon_inode:[eventpoll]"))
}

fn show_new(log: &mut fs::File) -> Result<()> {
    let mut new = Vec::new();
    log.read_to_end(&mut new)?;
    // A reader that has gone is no reason to stop the work.
    let _ = io::stdout().write_all(&new).and_then(|()| io::stdout().flush());
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Emptied first, then opened to append: standard output and error of one log must not overwrite each other.
    fs::File::create(path)?;
    Ok(fs::File::options().append(true).open(path)?.into_parts().0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (Ended, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let folder = tempfile::tempdir().unwrap();
        let ended = Job::new(command, folder.path().join("log")).limit(limit).run().unwrap();
        let output = ended.output().unwrap();
        (ended, output)
    }

    #[test]
    fn a_job_tells_how_it_ended_and_keeps_what_it_printed() {
        let (ended, output) = shell("echo out; echo err >&2; exit 3", Duration::from_secs(60));
        assert!(!ended.success() && !ended.hung());
        assert_eq!(output, "out\nerr\n");
    }

    #[test]
    fn a_job_is_killed_at_its_limit() {
        let (ended, output) = shell("echo before; sleep 600", Duration::from_millis(200));
        assert!(ended.hung());
        assert_eq!(output, "before\n");
    }

    #[test]
    fn a_child_left_behind_does_not_keep_a_job_waiting() {
        let (ended, _) = shell("sleep 600 & echo done", Duration::from_secs(300));
        assert!(ended.success());
    }
}
