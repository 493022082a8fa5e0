//! `cargo xtask wine`: the tests as a Windows program, run by Wine.

mod downstream;
mod ten;

use crate::prelude::*;

const TARGET: &str = "x86_64-pc-windows-gnu";
const LINKER: &str = "x86_64-w64-mingw32-gcc";
const LIBRARY: &str = "wakeful-io";
/// The tests that don't read the repository.
const READ_NOTHING: &[&str] = &[
    "--lib",
    "--test=children",
    "--test=conformance",
    "--test=iocp",
    "--test=model",
    "--test=named_pipe",
    "--test=poller",
    "--test=waitable",
    "--test=windows",
];
/// Type-checked only: nothing here can link for it.
const CHECKED: &str = "x86_64-pc-windows-msvc";

/// Build for Windows, run the tests under Wine, and check the other Windows target
///
/// Installs what is missing: Wine, a linker, and the standard library of the targets.
#[derive(clap::Args)]
pub struct Wine {
    /// Run the conformance suite and the tests of pipes this often
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: u32,

    /// Run by Wine 10, in a folder that has Debian's trixie: the tests that read nothing of the repository
    ///
    /// The first time it is made by debootstrap, which takes two minutes and needs root.
    #[arg(long)]
    wine10: bool,

    /// Run nothing but other crates' own tests, such as tokio's, beside the packages that they stand on
    #[arg(long, conflicts_with = "example")]
    downstream: bool,

    /// Leave out the release build, and the tests in the documentation: each is a program that is linked for Windows
    #[arg(long)]
    quick: bool,

    /// Run nothing but this example, with the arguments that follow
    #[arg(long, value_name = "NAME", value_parser = crate::workspace::example)]
    example: Option<String>,

    /// The arguments of the example
    #[arg(value_name = "ARGUMENTS", last = true, requires = "example")]
    arguments: Vec<String>,
}

impl Task for Wine {
    fn run(self) -> Result<bool> {
        packages::need(&[("wine", &["wine", "wine64"]), (LINKER, &["gcc-mingw-w64-x86-64-win32"])])?;
        rustup::need(TARGET)?;
        let mut prefix = Prefix::new()?;
        if self.wine10 {
            prefix.runner = ten::runner()?;
        }
        if self.downstream {
            return downstream::run(&prefix);
        }
        if let Some(name) = &self.example {
            return prefix.example(name, &["--release"], &self.arguments);
        }

        let mut is_well = self.wine10 || lint()?;
        let profiles: &[&[&str]] = if self.quick { &[&[]] } else { &[&[], &["--release"]] };
        for profile in profiles {
            // In one build, which has the library once.
            let mut test = prefix.cargo("test", LIBRARY)?;
            test.args(*profile).args(["--package", "polling", "--no-fail-fast"]);
            test.args(if self.wine10 { READ_NOTHING } else { &["--lib", "--tests", "--examples"] });
            is_well &= prefix.run(test, "test.log")?;
            if !self.wine10 && !self.quick {
                let mut test = prefix.cargo("test", LIBRARY)?;
                test.args(*profile).args(["--no-fail-fast", "--doc"]);
                is_well &= prefix.run(test, "doc.log")?;
            }
            for time in 1..self.times {
                println!("== again: {time} of {}", self.times - 1);
                let mut test = prefix.cargo("test", LIBRARY)?;
                test.args(*profile).args([
                    "--test",
                    "conformance",
                    "--test",
                    "named_pipe",
                    "--test",
                    "windows",
                ]);
                is_well &= prefix.run(test, "again.log")?;
            }
        }
        let arguments = ["--seconds", "3", "--connections", "60"].map(String::from);
        is_well &= prefix.example("echo", profiles[profiles.len() - 1], &arguments)?;
        Ok(is_well)
    }
}

/// What the compiler and clippy say of both Windows targets. No test and no example knows one from the other.
fn lint() -> Result<bool> {
    let mut is_well = true;
    for (target, of) in [(TARGET, &["--all-targets"][..]), (CHECKED, &[])] {
        rustup::need(target)?;
        let mut clippy = cargo(["clippy"])?;
        clippy
            .args(["--package=wakeful-io", "--package=mio", "--package=polling", "--all-features"])
            .args(of);
        clippy.args(["--target", target, "--", "-D", "warnings"]);
        let log = workspace::target("wine")?.join(format!("clippy-{target}.log"));
        is_well &= Job::new(clippy, log).echo().run()?.success();
    }
    Ok(is_well)
}

/// A Windows of our own: Wine's folder for its drive and registry.
struct Prefix {
    folder: PathBuf,
    /// What runs the programs.
    runner: PathBuf,
}

impl Prefix {
    fn new() -> Result<Prefix> {
        let folder = workspace::cache("wine")?;
        fs::create_dir_all(&folder)?;
        let prefix = Prefix { folder: folder.join("prefix"), runner: "wine".into() };
        let system = prefix.folder.join("drive_c/windows/system32");
        if !system.join("kernel32.dll").exists() {
            println!("making {}", prefix.folder.display());
            let mut boot = Command::new("wine");
            boot.args(["wineboot", "--init"]);
            prefix.environment(&mut boot);
            capture(&mut boot)?;
            let mut wait = Command::new("wineserver");
            wait.arg("--wait");
            prefix.environment(&mut wait);
            // Debian keeps it where the path doesn't lead; the first program then waits instead.
            let _ = capture(&mut wait);
        }
        stand_in(&folder, &system)?;
        Ok(prefix)
    }

    /// A `cargo` that builds a package for Windows and runs by Wine.
    fn cargo(&self, command: &str, package: &str) -> Result<Command> {
        let mut cargo = cargo([command])?;
        cargo.args(["--package", package, "--target", TARGET, "--all-features"]);
        self.configure(&mut cargo);
        Ok(cargo)
    }

    /// Tells a `cargo` how to link, and what runs the programs.
    fn configure(&self, cargo: &mut Command) {
        cargo.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER);
        cargo.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", &self.runner);
        self.environment(cargo);
    }

    fn example(&self, name: &str, profile: &[&str], arguments: &[String]) -> Result<bool> {
        let mut run = self.cargo("run", LIBRARY)?;
        run.args(profile).args(["--example", name, "--"]).args(arguments);
        self.run(run, "example.log")
    }

    fn environment(&self, command: &mut Command) {
        command.env("WINEPREFIX", &self.folder);
        // Neither its own messages nor offers to install .NET and a browser.
        command.env("WINEDEBUG", "-all");
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=");
    }

    fn run(&self, command: Command, log: &str) -> Result<bool> {
        let log = workspace::target("wine")?.join(log);
        let ended = Job::new(command, log).echo().limit(Duration::from_secs(30 * 60)).run()?;
        if ended.hung() {
            bail!("{ended}");
        }
        Ok(ended.success())
    }
}

/// Wine 8 lacks a library that Rust's std imports one function of: without it each program ends at once and silently,
/// with the status 53.
fn stand_in(folder: &Path, system: &Path) -> Result<()> {
    let library = system.join("bcryptprimitives.dll");
    if library.exists() {
        return Ok(());
    }
    let source = folder.join("bcryptprimitives.c");
    let text = "#include <windows.h>\n\
        BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom of advapi32 */\n\
        __declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *bytes, SIZE_T size) {\n\
            return SystemFunction036(bytes, (ULONG)size);\n\
        }\n";
    fs::write(&source, text)?;
    capture(
        Command::new(LINKER).args(["-O1", "-shared", "-o"]).arg(&library).arg(&source).arg("-ladvapi32"),
    )?;
    Ok(())
}
