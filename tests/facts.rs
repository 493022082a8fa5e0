//! Checks the figures, lists and names in the documents against the code: a change of the code that makes a document
//! false fails here.

use std::collections::BTreeSet;
use std::path::Path;

const README: &str = include_str!("../README.md");
const PLATFORMS: &str = include_str!("../PLATFORMS.md");
const GUIDE: &str = include_str!("../src/guide.rs");
const LIB: &str = include_str!("../src/lib.rs");
const MANIFEST: &str = include_str!("../Cargo.toml");
const DECISIONS: &str = include_str!("../docs/decisions/README.md");
const SKIPS: &str = include_str!("conformance/skips.rs");
const TASKS: &str = include_str!("../xtask/src/main.rs");

/// All that a user or a contributor reads, by its path.
const DOCUMENTS: &[(&str, &str)] = &[
    ("README.md", README),
    ("PLATFORMS.md", PLATFORMS),
    ("src/guide.rs", GUIDE),
    ("src/guide/recipes.md", include_str!("../src/guide/recipes.md")),
    ("src/lib.rs", LIB),
    ("ARCHITECTURE.md", include_str!("../ARCHITECTURE.md")),
    ("CHANGELOG.md", include_str!("../CHANGELOG.md")),
    ("CONTRIBUTING.md", include_str!("../CONTRIBUTING.md")),
    ("RELEASING.md", include_str!("../RELEASING.md")),
    ("docs/decisions/README.md", DECISIONS),
    ("SECURITY.md", include_str!("../SECURITY.md")),
    ("bench/README.md", include_str!("../bench/README.md")),
];

/// Returns the text as one line, without comment markers.
fn prose(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim().trim_start_matches('/').trim_start_matches('!').trim());
    lines.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn says(document: &str, sentence: &str) {
    let (_, text) = DOCUMENTS.iter().find(|(name, _)| *name == document).expect("a document");
    assert!(prose(text).contains(sentence), "{document} doesn't say: {sentence}");
}

/// Returns the text in backquotes, outside of code blocks.
fn quoted(text: &str) -> Vec<&str> {
    let mut quoted = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        let line = line.trim_start_matches("//!").trim();
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            quoted.extend(line.split('`').skip(1).step_by(2));
        }
    }
    quoted
}

/// Returns the rows of the table whose head begins with `head`.
fn rows<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let table = lines.skip_while(|line| !line.starts_with(head)).take_while(|line| line.starts_with('|'));
    let rows = table.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
    rows.collect()
}

#[test]
fn the_number_of_situations() {
    let situations = rows(PLATFORMS, "| situation |").len();
    says("README.md", &format!("in {situations} situations"));
}

#[test]
fn the_number_of_promises() {
    let (_, promises) = GUIDE.split_once("## What a program gets").expect("the promises");
    let (promises, _) = promises.split_once("//! #").expect("their end");
    let numbers = promises.lines().filter_map(|line| {
        let (number, _) = line.trim_start_matches("//!").trim().split_once(". ")?;
        number.parse::<usize>().ok()
    });
    let numbers: Vec<usize> = numbers.collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    says("PLATFORMS.md", &format!("{} numbered promises", numbers.len()));
    says("README.md", &format!("The guide has {} promises", numbers.len()));
}

#[test]
#[cfg(all(unix, feature = "net", feature = "os-ext", target_pointer_width = "64"))]
fn the_size_of_a_socket() {
    use std::mem::size_of;
    use wakeful::{net, unix::pipe};

    let sizes = [
        size_of::<net::TcpListener>(),
        size_of::<net::TcpStream>(),
        size_of::<net::UdpSocket>(),
        size_of::<net::UnixDatagram>(),
        size_of::<net::UnixListener>(),
        size_of::<net::UnixStream>(),
        size_of::<pipe::Sender>(),
        size_of::<pipe::Receiver>(),
    ];
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    says("src/guide.rs", &format!("{} bytes on 64-bit Unix", sizes[0]));
    says("bench/README.md", &format!("`TcpStream` is {} B", sizes[0]));
}

/// Each document of an interest lists the platforms of its `cfg`.
#[test]
fn where_the_interests_exist() {
    let backend = include_str!("../src/backend/mod.rs");
    let interest = include_str!("../src/readiness/interest.rs");
    let event = include_str!("../src/readiness/event.rs");
    for name in ["PRIORITY", "AIO", "LIO"] {
        let constant = format!("pub const {name}: Interest");
        let (before, _) = backend.split_once(&constant).expect("the constant");
        let (_, selection) = before.rsplit_once("#[cfg(").expect("its cfg");
        let (selection, _) = selection.split_once(")]").expect("its end");
        let platforms = listed(selection);
        assert!(
            prose(interest).contains(&format!("`{name}` ({platforms})")),
            "interest.rs: {name}: {platforms}"
        );
        let (_, documented) = before.rsplit_once("impl Interest").expect("its documentation");
        assert!(prose(documented).contains(&format!(" {platforms}.")), "backend/mod.rs: {name}: {platforms}");
        let event = event.replace('\r', "");
        let asks = format!("pub fn is_{}(", name.to_lowercase());
        let (before, _) = event.split_once(&asks).expect("the method");
        let (_, documented) = before.rsplit_once("\n\n").expect("its documentation");
        let documented = prose(documented);
        assert!(documented.contains(&platforms), "event.rs: {name}: {platforms}: {documented}");
        assert!(documented.contains("elsewhere `false`"), "{documented}");
    }
}

/// Returns `target_os = "linux", target_vendor = "apple"` in words.
fn listed(selection: &str) -> String {
    let names: Vec<&str> = selection
        .split('"')
        .skip(1)
        .step_by(2)
        .map(|name| match name {
            "android" => "Android",
            "apple" => "Apple",
            "dragonfly" => "DragonFly BSD",
            "freebsd" => "FreeBSD",
            "linux" => "Linux",
            "netbsd" => "NetBSD",
            "openbsd" => "OpenBSD",
            other => panic!("a platform without a name: {other}"),
        })
        .collect();
    match &names[..] {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.join(""),
    }
}

#[test]
fn which_systems_have_ppoll() {
    let source = include_str!("../src/os/unix/timed.rs");
    let (before, _) = source.split_once("pub(crate) fn poll(fds: &mut [libc::pollfd]").expect("the function");
    let (_, selection) = before.rsplit_once("#[cfg(").expect("its cfg");
    let (selection, _) = selection.split_once(")]").expect("its end");
    says("PLATFORMS.md", &format!("`ppoll` on {};", listed(selection).replace(" and ", ", ")));
}

#[test]
fn the_features() {
    let (_, features) = MANIFEST.split_once("[features]").expect("the features");
    let (features, _) = features.split_once("[dependencies]").expect("their end");
    let mut names = BTreeSet::new();
    let mut by_default = Vec::new();
    for (name, value) in features.lines().filter_map(|line| line.split_once(" = ")) {
        match name {
            "default" => by_default = value.split('"').skip(1).step_by(2).collect(),
            name => drop(names.insert(name)),
        }
    }
    for (document, text) in [("README.md", README), ("src/lib.rs", LIB)] {
        let table = rows(text, "| feature |");
        let documented: BTreeSet<&str> = table.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(documented, names, "{document}");
        for row in &table {
            let is_default = by_default.contains(&row[0].trim_matches('`'));
            assert_eq!(row[1] == "yes", is_default, "{document}: {}", row[0]);
        }
    }
}

#[test]
fn the_oldest_rust() {
    let (_, version) = MANIFEST.split_once("rust-version = \"").expect("the version");
    let (version, _) = version.split_once('"').expect("its end");
    says("README.md", &format!("Rust {version} or newer"));
    says("CONTRIBUTING.md", &format!("The minimum Rust is {version}."));
}

/// How many crates' tests are run, and which.
#[test]
fn the_crates_that_are_tested() {
    const NUMBERS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    let table = include_str!("../xtask/src/downstream/crates.rs");
    let named_by = |function: &str| {
        let calls = table.split(function).skip(1);
        calls.filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>()
    };
    for (function, shown) in [("on_mio(\"", &["tokio"][..]), ("on_polling(\"", &["async-io", "calloop"])] {
        let names = named_by(function);
        let others = NUMBERS[names.len() - shown.len()];
        says("README.md", &format!("the published tests of {} and {others} other crates", shown.join(", ")));
        let (_, contributing) = DOCUMENTS.iter().find(|(name, _)| *name == "CONTRIBUTING.md").unwrap();
        for name in names {
            assert!(words(contributing).any(|word| word == name), "CONTRIBUTING.md doesn't name {name}");
        }
    }
}

/// Constants that the documents repeat.
#[test]
fn figures_that_are_constants() {
    for (source, begin, end, document, before, after) in [
        (
            include_str!("../src/engine/chaos.rs"),
            "const LATEST: Duration = Duration::from_millis(",
            ")",
            "src/guide.rs",
            "events come late (up to ",
            " ms)",
        ),
        (
            include_str!("../src/backend/epoll/mod.rs"),
            "const NOTIFIER: u64 = ",
            ";",
            "PLATFORMS.md",
            "A token of ",
            " costs a second epoll descriptor",
        ),
    ] {
        let (_, value) = source.split_once(begin).expect(begin);
        let (value, _) = value.split_once(end).expect(begin);
        says(document, &format!("{before}{value}{after}"));
    }
}

#[test]
fn the_files_that_are_named_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    const ROOMS: [&str; 11] =
        [".github", "bench", "compat", "docs", "examples", "fuzz", "src", "tests", "xtask", ".ci", "target"];
    const FLOORS: [&str; 7] = ["backend", "net", "os", "poll", "readiness", "sim", "unix"];
    let mut named = 0;
    for (document, text) in DOCUMENTS {
        for name in quoted(text) {
            let Some((room, _)) = name.split_once('/') else { continue };
            let file = name.split([' ', ':', '<']).next().unwrap_or(name);
            let place = match room {
                "target" => continue, // it is made
                _ if ROOMS.contains(&room) => root.join(file),
                _ if FLOORS.contains(&room) => root.join("src").join(file),
                _ => continue,
            };
            // A program in `examples` is named without its ending.
            let exists = place.exists() || place.with_extension("rs").exists();
            assert!(exists || file.contains('*') || is_made(file), "{document} names `{name}`");
            named += 1;
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.ends_with(".md") {
                let beside = root.join(document).with_file_name(link);
                assert!(beside.exists(), "{document} links to {link}");
                named += 1;
            }
        }
    }
    assert!(named > 30, "most were overlooked: {named}");
}

/// The chapter on worlds shows programs on tokio, which the tests of this workspace don't build: each of its blocks is
/// a part of a test in `world/cluster`, which does.
#[test]
fn the_code_of_the_chapter_on_worlds_is_tested() {
    let dedented = |part: &str| -> String {
        let indent = part.lines().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or(0);
        part.lines().map(|line| line.get(indent..).unwrap_or("").to_owned() + "\n").collect()
    };
    let test = include_str!("../world/cluster/tests/guide.rs").replace('\r', "");
    let parts: Vec<String> = test
        .split("// part: ")
        .skip(1)
        .filter_map(|part| {
            let (_, code) = part.split_once('\n')?;
            let (code, _) = code.rsplit_once("// end").map(|(code, rest)| (code.trim_end(), rest))?;
            Some(dedented(code))
        })
        .collect();
    let chapter = include_str!("../world/src/guide.md").replace('\r', "");
    let blocks: Vec<&str> = chapter
        .split("```rust,ignore\n")
        .skip(1)
        .filter_map(|block| block.split_once("```").map(|(code, _)| code))
        .collect();
    assert!(blocks.len() > 5);
    assert_eq!(blocks, parts);
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// A page that the index lacks isn't found, and one without a reason doesn't help.
#[test]
fn each_decision_is_in_the_index_with_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = 0;
    for entry in std::fs::read_dir(root.join("docs/decisions")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name == "README.md" {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a page").replace('\r', "");
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title");
        assert!(DECISIONS.contains(&format!("- [{title}]({name})")), "{name} isn't in the index");
        for part in ["\n**Why.** ", "\n**Think again when.** "] {
            assert!(text.contains(part), "{name} lacks {part:?}");
        }
        for file in quoted(&text).iter().filter(|name| name.starts_with("src/")) {
            assert!(root.join(file).exists(), "{name} names `{file}`");
        }
        pages += 1;
    }
    assert!(pages > 20, "most were overlooked: {pages}");
}

/// Returns whether a program writes the file, so that the repository lacks it.
fn is_made(file: &str) -> bool {
    file.starts_with("fuzz/corpus")
}

#[test]
fn the_tasks_that_are_named_exist() {
    let (_, tasks) = TASKS.rsplit_once("tasks! {").expect("the tasks");
    let (tasks, _) = tasks.split_once('}').expect("their end");
    let tasks: BTreeSet<String> = tasks.split(',').map(|task| task.trim().to_lowercase()).collect();
    let mut named = 0;
    for (document, text) in DOCUMENTS {
        for call in text.split("cargo xtask ").skip(1) {
            let end = call.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(call.len());
            if end == 0 {
                continue; // an option, or a name for any of them
            }
            assert!(tasks.contains(&call[..end]), "{document} names `cargo xtask {}`", &call[..end]);
            named += 1;
        }
    }
    assert!(named > 20, "most were overlooked: {named}");
}

#[test]
fn the_skips_that_are_named_exist() {
    let mut named = 0;
    for skip in prose(PLATFORMS).split("(Skip `").skip(1).filter_map(|rest| rest.split('`').next()) {
        assert!(SKIPS.contains(&format!("\"{skip}\"")), "PLATFORMS.md names the skip {skip}");
        named += 1;
    }
    assert!(named > 3, "most were overlooked: {named}");
}

#[test]
fn the_backends_that_are_named_exist() {
    use wakeful::Backend;
    for row in rows(PLATFORMS, "| target | backends") {
        for name in quoted(row[1]) {
            assert!(name.parse::<Backend>().is_ok(), "{}: `{name}`", row[0]);
        }
    }
}

/// The README's tiers have each target of PLATFORMS.md where its proof puts it.
#[test]
fn the_tiers_of_platforms() {
    let (_, tiers) = README.split_once("## Platforms").expect("the platforms");
    let (tiers, _) = tiers.split_once("\n## ").expect("their end");
    let mut placed = 0;
    for row in rows(PLATFORMS, "| target | backends") {
        let tier = match row[3] {
            proof if proof.starts_with("run") => "Run.",
            proof if proof.starts_with("linked") => "Linked, not yet run.",
            proof if proof.starts_with("type-checked") => "Type-checked.",
            proof => panic!("{}: no tier for: {proof}", row[0]),
        };
        let (_, tier) = tiers.split_once(&format!("- **{tier}**")).expect(tier);
        let tier = prose(tier.split("\n- **").next().unwrap_or(tier));
        let tier: BTreeSet<&str> = words(&tier).collect();
        // Beside the name stand versions and what a target is: `QNX 7.1`, `Horizon (Nintendo 3DS)`.
        let target = row[0].split('(').next().unwrap_or(row[0]);
        let target = target.to_owned() + row[0].split(')').nth(1).unwrap_or_default();
        for word in words(&target).filter(|word| !word.starts_with(|c: char| c.is_ascii_digit())) {
            assert!(tier.contains(word), "the README doesn't have `{word}` of {} in its tier", row[0]);
            placed += 1;
        }
    }
    assert!(placed > 40, "most were overlooked: {placed}");
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| !word.is_empty())
}

/// A link of a document that is in the package leads to a file that is in it too.
#[test]
fn the_links_work_in_the_package() {
    let (_, include) = MANIFEST.split_once("include = [").expect("what is in the package");
    let (include, _) = include.split_once(']').expect("its end");
    let include = include.split('"').skip(1).step_by(2);
    // A slash before the name keeps files of that name in other folders out.
    let include: Vec<&str> = include.map(|name| name.trim_start_matches('/')).collect();
    let mut followed = 0;
    for (document, text) in DOCUMENTS.iter().filter(|(document, _)| include.contains(document)) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            // Another site, or a place in the same page.
            if link.starts_with("https://") || link.starts_with('#') {
                continue;
            }
            let is_included = |name: &str| match name.strip_suffix('*') {
                Some(prefix) => link.starts_with(prefix),
                None => name == link,
            };
            assert!(include.iter().any(|name| is_included(name)), "{document} links to {link}");
            followed += 1;
        }
    }
    assert!(followed > 5, "most were overlooked: {followed}");
}
