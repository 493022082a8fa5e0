//! A default build has no variables and one backend. With the features the variables do as the guide says, unless the
//! program runs with more rights than its user.

use super::consumer::{ours, Consumer};
use super::runner::Runner;
use crate::prelude::*;

/// Prints what a `Poll` is, or why there is none.
const MAIN: &str = r#"fn main() {
    let others = if wakeful::Backend::available().len() > 1 { "among others" } else { "alone" };
    match wakeful::Poll::new() {
        Ok(poll) => println!("{} {others}", poll.backend()),
        Err(e) => println!("error: {}", e.to_string().split(';').next().unwrap()),
    }
}
"#;

const BACKEND: (&str, &str) = ("WAKEFUL_BACKEND", "posix_poll");
const NO_BACKEND: (&str, &str) = ("WAKEFUL_BACKEND", "bogus");
const CHAOS: (&str, &str) = ("WAKEFUL_CHAOS", "7");
const NO_CHAOS: (&str, &str) = ("WAKEFUL_CHAOS", "x");

pub fn check(runner: &mut Runner) -> Result<String> {
    let plain = Program::new(runner, "default", &[])?;
    ensure!(!plain.contains("WAKEFUL_")?, "a default build knows a variable");
    for variable in [BACKEND, NO_BACKEND, CHAOS, NO_CHAOS] {
        plain.prints(&[variable], "epoll alone\n", "")?;
    }

    let names: Vec<String> = ["chaos", "backends"].map(str::to_owned).to_vec();
    let full = Program::new(runner, "opt-in", &names)?;
    ensure!(full.contains("WAKEFUL_")?, "the search in a program finds nothing");
    full.prints(&[], "epoll among others\n", "")?;
    full.prints(&[BACKEND], "posix_poll among others\n", "")?;
    full.prints(&[CHAOS], "epoll among others\n", "wakeful: WAKEFUL_CHAOS=7\n")?;
    full.prints(&[NO_CHAOS], "error: WAKEFUL_CHAOS=x is not a number\n", "")?;
    full.prints(&[NO_BACKEND], "error: WAKEFUL_BACKEND=bogus is not the name of a backend\n", "")?;
    full.ignores_them_with_rights(runner)?;
    Ok("   variables: none by default, two with the features, none in a set-user-id program\n".into())
}

struct Program {
    path: PathBuf,
}

impl Program {
    fn new(runner: &mut Runner, name: &str, features: &[String]) -> Result<Program> {
        let wakeful = ours("wakeful-io", ".", features)?;
        let user = Consumer::new(name, &format!("[dependencies]\nwakeful = {wakeful}\n"), MAIN)?;
        runner.run(user.cargo(&["build"])?)?;
        Ok(Program { path: user.built() })
    }

    fn contains(&self, text: &str) -> Result<bool> {
        let program = fs::read(&self.path)?;
        Ok(program.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    fn prints(&self, variables: &[(&str, &str)], output: &str, error: &str) -> Result<()> {
        let mut command = Command::new(&self.path);
        command.env_remove(BACKEND.0).env_remove(CHAOS.0).envs(variables.iter().copied());
        let ended = command.output().context("can't run the program")?;
        let (found, errors) =
            (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        if (&*found, &*errors) != (output, error) {
            bail!("{}, {variables:?}: it prints {found:?} and {errors:?}", self.path.display());
        }
        Ok(())
    }

    /// A copy that runs as its owner, for another user.
    fn ignores_them_with_rights(&self, runner: &mut Runner) -> Result<()> {
        let folder = env::temp_dir().join(format!("wakeful-opt-in-{}", std::process::id()));
        let result = self.run_as_another(runner, &folder);
        let _ = runner.read(script(&folder, r#"$root rm -rf "$1""#));
        ensure!(result? == "epoll among others\n", "a set-user-id program heeds a variable");
        Ok(())
    }

    fn run_as_another(&self, runner: &mut Runner, folder: &Path) -> Result<String> {
        fs::create_dir(folder)?;
        let mut command = script(
            folder,
            r#"cp "$2" "$1/program" && $root chown 0:0 "$1" "$1/program" && $root chmod 755 "$1" &&
            $root chmod 4755 "$1/program" &&
            $root setpriv --reuid=65534 --regid=65534 --clear-groups env "$3" "$4" "$1/program""#,
        );
        command.arg(&self.path).args([BACKEND, NO_CHAOS].map(|(name, value)| format!("{name}={value}")));
        runner.read(command)
    }
}

/// A script that may do what root may: who isn't root asks to be, but not for a password.
fn script(folder: &Path, text: &str) -> Command {
    let mut command = Command::new("sh");
    let root = r#"root=; [ "$(id -u)" -eq 0 ] || root="sudo --non-interactive"; "#;
    command.args(["-c", &format!("{root}{text}"), "sh"]).arg(folder);
    command
}
