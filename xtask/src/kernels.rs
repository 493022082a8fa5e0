//! `cargo xtask kernels`: the conformance suite on real Linux kernels of other versions, as a static program that is
//! all there is beside busybox, in a machine that qemu emulates.

use crate::prelude::*;
use crate::sysroot::script;
use crate::targets::conformance;
use crate::targets::list::Runner;

/// Run the conformance suite on other Linux kernels, under qemu
///
/// Needs Debian's qemu-system-x86, busybox-static and cpio.
#[derive(clap::Args)]
pub struct Kernels {
    /// These kernels only: 5.10, 6.1, 6.12
    #[arg(value_name = "KERNEL", value_parser = KERNELS.map(|kernel| kernel.version))]
    kernels: Vec<String>,

    /// Run only the tests whose names contain this
    #[arg(long, default_value = "")]
    filter: String,
}

struct Kernel {
    version: &'static str,
    /// Debian's release that has it.
    suite: &'static str,
}

const KERNELS: [Kernel; 3] = [
    // The last long-term one without epoll_pwait2.
    Kernel { version: "5.10", suite: "bullseye" },
    Kernel { version: "6.1", suite: "bookworm" },
    Kernel { version: "6.12", suite: "trixie" },
];

const TRIPLE: &str = "x86_64-unknown-linux-musl";

impl Task for Kernels {
    fn run(self) -> Result<bool> {
        let mut build = conformance(TRIPLE, Runner::Musl)?;
        build.args(["--no-run", "--message-format=json-render-diagnostics"]);
        let logs = workspace::target("kernels")?;
        let printed = Job::new(build, logs.join("build.log")).succeed()?;
        let (.., program) = executables(&printed).next().context("cargo has built no conformance suite")?;

        let mut good = true;
        let mut rows = String::new();
        for kernel in &KERNELS {
            if !self.kernels.is_empty() && !self.kernels.iter().any(|version| version == kernel.version) {
                continue;
            }
            println!("== {}", kernel.version);
            let output = kernel.boot(&program, &self.filter, &logs)?;
            let tests = Output::parse(&output);
            let release = line_after(&output, "kernel ").unwrap_or("it did not start").to_owned();
            let status = line_after(&output, "exit status ").unwrap_or("none");
            let failed = tests.tests.values().filter(|&&outcome| outcome == Outcome::Failed).count();
            if status != "0" || !release.starts_with(kernel.version) {
                println!("{}", output.trim_end());
                good = false;
            }
            rows +=
                &format!("| {} | {release} | {} | {failed} | {status} |\n", kernel.version, tests.passed());
        }
        println!("\n| kernel | release | passed | failed | exit status |\n|---|---|---|---|---|\n{rows}");
        Ok(good)
    }
}

impl Kernel {
    /// What the machine has printed until it went off.
    fn boot(&self, program: &Path, filter: &str, logs: &Path) -> Result<String> {
        let image = self.image()?;
        let folder = logs.join(self.version);
        let root = folder.join("root");
        workspace::fresh(&root)?;
        fs::copy(program, root.join("program")).context("can't copy the program")?;
        fs::copy("/bin/busybox", root.join("busybox")).context("no busybox-static")?;
        // What tests write to the error output would stand in the middle of a result's line.
        let init = format!(
            "for d in proc dev tmp sys; do /busybox mkdir -p /$d; done\n\
             /busybox mount -t proc proc /proc\n/busybox mount -t sysfs sys /sys\n/busybox mount -t devtmpfs dev /dev\n\
             /busybox mount -t tmpfs tmp /tmp\n/busybox ip link set lo up\n\
             /busybox mkdir /bin; /busybox --install -s /bin; export PATH=/bin; ulimit -n 65536\n\
             echo; echo \"kernel $(/busybox uname -r)\"\ncd /tmp\n/program {filter} 2>/errors\n\
             echo \"exit status $?\"\n/busybox cat /errors\n/busybox poweroff -f"
        );
        script(&root.join("init"), &init)?;
        // A script's first line names a shell that isn't there.
        let text = fs::read_to_string(root.join("init"))?.replacen("#!/bin/sh", "#!/busybox sh", 1);
        fs::write(root.join("init"), text)?;

        capture(
            Command::new("sh")
                .args(["-c", "find . | cpio --quiet -o -H newc | gzip -1 > ../initrd.gz"])
                .current_dir(&root),
        )?;
        // qemu 7.2 leaves rubbish in the flags after cmpxchg16b, which 6.12's allocator stumbles on.
        let mut machine = Command::new("qemu-system-x86_64");
        machine.args("-accel tcg -cpu max,cx16=off -m 1024 -nographic -no-reboot -kernel".split(' '));
        machine.arg(image).arg("-initrd").arg(folder.join("initrd.gz"));
        machine.args(["-append", "console=ttyS0 quiet panic=1"]);
        let ended =
            Job::new(machine, folder.join("console.log")).limit(Duration::from_secs(15 * 60)).run()?;
        if ended.hung() {
            println!("the machine was {ended}");
        }
        Ok(ended.output()?.replace('\r', ""))
    }

    /// The kernel, fetched from Debian unless the cache has it.
    fn image(&self) -> Result<PathBuf> {
        let folder = workspace::cache("cross")?.join("kernels").join(self.suite);
        if let Some(image) = find_image(&folder.join("x/boot")) {
            return Ok(image);
        }
        println!("   fetching it");
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        // Apt's lists and cache of its own: nothing of the system's changes. Its mirror is the system's.
        let script = r#"
            set -e
            mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources | head -1)
            old=/etc/apt/sources.list
            [ -n "$mirror" ] ||
                mirror=$(sed -n 's/^deb \(\[.*\] \)\?\([^ ]*\) .*/\2/p' $old | head -1)
            echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" > sources.list
            o="-o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=/dev/null"
            o="$o -o Dir::State::Lists=$PWD/lists -o Dir::State::status=/dev/null"
            o="$o -o Dir::Cache=$PWD/cache -o APT::Sandbox::User=root"
            apt-get $o update -qq
            p=$(apt-cache $o search --names-only '^linux-image-[0-9].*-cloud-amd64$' | grep -v unsigned |
                cut -d' ' -f1 | sort -V | tail -1)
            apt-get $o download -qq "$p"
            dpkg -x linux-image-*.deb x
        "#;
        capture(Command::new("sh").args(["-c", script, "sh", self.suite]).current_dir(&folder))?;
        find_image(&folder.join("x/boot")).with_context(|| format!("Debian's {} has no kernel", self.suite))
    }
}

fn find_image(boot: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(boot).ok()?;
    let mut images = files.flatten().map(|file| file.path());
    images.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
}

fn line_after<'a>(output: &'a str, start: &str) -> Option<&'a str> {
    output.lines().find_map(|line| line.strip_prefix(start))
}
