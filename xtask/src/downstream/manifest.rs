//! Editing a published crate's manifest as text: cargo has written it, so its form is known.

use std::path::Path;

/// Makes the manifest a workspace's root, and takes each named crate from a folder instead of the registry.
pub fn patched(manifest: &str, patches: &[(&str, &Path)]) -> String {
    let mut patched = manifest.trim_end().to_owned();
    patched.push('\n');
    // Without it cargo would look for a workspace in the folders above.
    if !has_table(manifest, "workspace") {
        patched.push_str("\n[workspace]\n");
    }
    if patches.is_empty() {
        return patched;
    }
    let lines: String = patches.iter().map(|&(name, folder)| patch(name, folder)).collect();
    match patched.find(&format!("\n{PATCHES}\n")) {
        Some(at) => patched.insert_str(at + PATCHES.len() + 2, &lines),
        None => patched.push_str(&format!("\n{PATCHES}\n{lines}")),
    }
    patched
}

const PATCHES: &str = "[patch.crates-io]";

fn patch(name: &str, folder: &Path) -> String {
    let folder = folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("{name} = {{ path = \"{folder}\" }}\n")
}

fn has_table(manifest: &str, name: &str) -> bool {
    manifest.lines().any(|line| {
        let rest = line.trim().strip_prefix('[').and_then(|line| line.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with(']') || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = "[package]\nname = \"a\"\n";

    #[test]
    fn a_package_becomes_a_workspace_root() {
        assert_eq!(patched(PACKAGE, &[]), format!("{PACKAGE}\n[workspace]\n"));
    }

    #[test]
    fn a_workspace_stays_one() {
        for table in ["[workspace]\nmembers = []\n", "[workspace.lints.rust]\nwarnings = \"warn\"\n"] {
            let manifest = format!("{PACKAGE}\n{table}");
            assert_eq!(patched(&manifest, &[]), manifest);
        }
    }

    #[test]
    fn patches_get_a_table() {
        let patches = [("mio", Path::new("/repo/compat/mio")), ("a", Path::new("."))];
        let expected = format!(
            "{PACKAGE}\n[workspace]\n\n[patch.crates-io]\n\
             mio = {{ path = \"/repo/compat/mio\" }}\na = {{ path = \".\" }}\n"
        );
        assert_eq!(patched(PACKAGE, &patches), expected);
    }

    #[test]
    fn patches_join_a_table_that_is_there() {
        let manifest = format!("{PACKAGE}\n[workspace]\n\n[patch.crates-io]\nb = {{ path = \"b\" }}\n");
        let expected = manifest.replace("io]\nb", "io]\nmio = { path = \"m\" }\nb");
        assert_eq!(patched(&manifest, &[("mio", Path::new("m"))]), expected);
    }

    #[test]
    fn a_folder_is_quoted() {
        let patched = patched(PACKAGE, &[("mio", Path::new(r#"C:\a "b""#))]);
        assert!(patched.contains(r#"path = "C:\\a \"b\"""#));
    }
}
