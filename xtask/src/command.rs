//! Making command lines, and running what ends soon.

use crate::prelude::*;
use serde_json::Value;
use std::ffi::OsStr;

/// The cargo that runs this, in the repository's root.
pub fn cargo<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Result<Command> {
    tidy(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())), args)
}

/// Another toolchain's cargo, by rustup, in the repository's root.
pub fn cargo_of<I: AsRef<OsStr>>(toolchain: &str, args: impl IntoIterator<Item = I>) -> Result<Command> {
    let mut command = tidy(Command::new("cargo"), args)?;
    // What our own cargo tells of itself isn't for that one.
    command.env("RUSTUP_TOOLCHAIN", toolchain).env_remove("CARGO").env_remove("RUSTC");
    Ok(command)
}

fn tidy<I: AsRef<OsStr>>(mut command: Command, args: impl IntoIterator<Item = I>) -> Result<Command> {
    command.args(args).current_dir(workspace::root()?);
    // `cargo run` describes xtask to xtask. What cargo builds or tests for us must not take that for its own.
    for (name, _) in env::vars_os() {
        let described = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
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

/// Fails without a program of that name, which is also that of its package.
pub fn need(program: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("{program} is missing. On Debian: `apt-get install {program}`"),
    }
}

/// The standard output of a program that succeeds; its standard error is the error of one that fails.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| start_failed(command))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}\n{}", Shown(command), output.status, errors.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What cargo says of its build, with `--message-format=json`: one JSON value a line.
pub fn messages(printed: &str) -> impl Iterator<Item = Value> + '_ {
    printed.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The programs that cargo says it has built: kind and name of each target, and where it is.
pub fn executables(printed: &str) -> impl Iterator<Item = (String, String, PathBuf)> + '_ {
    messages(printed).filter_map(|message| {
        let (kind, name) = (&message["target"]["kind"][0], &message["target"]["name"]);
        Some((kind.as_str()?.to_owned(), name.as_str()?.to_owned(), message["executable"].as_str()?.into()))
    })
}

/// The packages that a `cargo metadata` names.
pub fn packages_of(mut metadata: Command) -> Result<Vec<Value>> {
    metadata.args(["--format-version", "1"]);
    let mut metadata: Value = serde_json::from_str(&capture(&mut metadata)?)?;
    Ok(serde_json::from_value(metadata["packages"].take())?)
}

/// A command as a person would type it.
pub struct Shown<'a>(pub &'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Path::new(self.0.get_program());
        write!(f, "{}", program.file_stem().unwrap_or(program.as_os_str()).to_string_lossy())?;
        for arg in self.0.get_args() {
            write!(f, " {}", arg.to_string_lossy())?;
        }
        Ok(())
    }
}

/// Rows as wide as their widest cell; all columns but the first `left` are numbers, and stand to the right.
pub fn table(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column < left {
            true => format!("{cell:width$}"),
            false => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A file that may hold anything that a program printed.
pub fn read_lossy(path: &Path) -> Result<String> {
    let bytes = fs::read(path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The message for a program that isn't there.
pub fn start_failed(command: &Command) -> String {
    format!("can't start `{}`", Shown(command))
}
