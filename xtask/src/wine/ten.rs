//! Wine 10: Debian's trixie in a folder of the cache, entered by chroot. Nothing of the system's is mounted there but
//! `proc`, so that the folder may be removed at any time.

use crate::prelude::*;
use crate::sysroot::script;

/// A program that runs Windows programs by Wine 10. The first time it is made, which takes two minutes and needs root.
pub fn runner() -> Result<PathBuf> {
    let folder = workspace::cache("wine10")?;
    if !folder.join("usr/bin/wine").exists() {
        packages::need(&[("debootstrap", &["debootstrap"])])?;
        println!("making {}", folder.display());
        fs::create_dir_all(&folder)?;
        // The system's own mirror.
        let text = r#"mirror=$(apt-get indextargets --format '$(SITE)' | grep -v -e security -e backports | head -n 1)
            exec debootstrap --variant=minbase --include=wine,wine64 trixie "$1" "$mirror""#;
        capture(Command::new("sh").args(["-c", text, "sh"]).arg(&folder))
            .context("debootstrap, which needs root, can't make a trixie")?;
    }
    // The program is copied in: each run has a folder of its own, which is its working directory too.
    let text = format!(
        r#"root={}
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
folder=$(mktemp -d "$root/root/run-XXXXXX")
trap 'rm -rf "$folder"' EXIT
name=$(basename "$1")
cp "$1" "$folder/$name"
shift
inside=${{folder#"$root"}}
chroot "$root" env HOME=/root WINEPREFIX=/root/prefix \
    sh -c 'cd "$1" && shift && exec wine "$@"' sh "$inside" "$inside/$name" "$@""#,
        folder.display()
    );
    // Beside Debian's own folders, of which `run` is one.
    let runner = folder.join("run-program");
    script(&runner, &text)?;
    Ok(runner)
}
