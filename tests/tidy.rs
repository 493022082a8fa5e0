//! The form of the code and of the prose: the floors of the modules, the rules of the code, and the words of the
//! house voice (`ARCHITECTURE.md`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: where it is in `src`, and its lines without comments and the contents of strings.
struct Source {
    path: String,
    text: String,
    code: Vec<String>,
}

impl Source {
    /// The folder or file at the top of `src` that this belongs to.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// The module path within the crate, as its components.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap();
        let mut parts: Vec<_> = path.split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib")) {
            parts.pop();
        }
        parts
    }

    fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        self.code
            .iter()
            .enumerate()
            .map(|(index, line)| (format!("src/{}:{}: {}", self.path, index + 1, line.trim()), line.as_str()))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    assert!(files.len() > 20, "the walk through src has missed most of it");
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let path = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            let code = code_of(&text);
            Source { path, text, code }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
            files.push(path);
        }
    }
}

/// The lines of `text` without line comments and without what stands in strings.
fn code_of(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            let mut code = String::new();
            let mut in_string = false;
            let mut chars = line.chars().peekable();
            while let Some(c) = chars.next() {
                match c {
                    '\\' if in_string => {
                        chars.next();
                    }
                    '"' => {
                        in_string = !in_string;
                        code.push(c);
                    }
                    '/' if !in_string && chars.peek() == Some(&'/') => break,
                    _ if in_string => {}
                    _ => code.push(c),
                }
            }
            code
        })
        .collect()
}

/// Identifiers in the order in which they stand, with `::`, `{`, `}` and `,` between them.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if c == ':' && chars.peek() == Some(&':') {
            chars.next();
            tokens.push("::".into());
        } else if !c.is_whitespace() {
            tokens.push(c.into());
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

/// Every module path that a file names from the crate's root, as far as it can be told from the text.
fn imports(source: &Source) -> Vec<Vec<String>> {
    let tokens = tokens(&source.code.join("\n"));
    let module = source.module();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = matches!(tokens[at].as_str(), "crate" | "super")
            && tokens.get(at + 1).is_some_and(|next| next == "::")
            && (at == 0 || !["::", "in"].contains(&tokens[at - 1].as_str()));
        if !starts {
            at += 1;
            continue;
        }
        let mut base: Vec<String> = Vec::new();
        if tokens[at] == "super" {
            base = module.iter().map(|part| part.to_string()).collect();
            while tokens.get(at).is_some_and(|token| token == "super") {
                base.pop();
                at += 2;
            }
        } else {
            at += 2;
        }
        // A path, or the first name of each in a group: deeper groups name the same rooms.
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                let mut depth = 0;
                let mut is_first = true;
                while let Some(token) = tokens.get(at) {
                    match token.as_str() {
                        "{" => depth += 1,
                        "}" => {
                            depth -= 1;
                            if depth == 0 {
                                break;
                            }
                        }
                        "," if depth == 1 => is_first = true,
                        name if depth == 1 && is_first => {
                            is_first = false;
                            let mut path = base.clone();
                            path.push(name.into());
                            found.push(path);
                        }
                        _ => {}
                    }
                    if token == "{" && depth == 1 {
                        is_first = true;
                    }
                    at += 1;
                }
            }
            Some(name) => {
                let mut path = base.clone();
                path.push(name.into());
                if tokens.get(at + 1).is_some_and(|next| next == "::") {
                    if let Some(next) = tokens.get(at + 2) {
                        path.push(next.clone());
                    }
                }
                found.push(path);
            }
            None => {}
        }
        at += 1;
    }
    found
}

/// The floors, the highest first.
const FLOORS: &[&[&str]] = &[
    &["lib", "guide"],
    &["process"],
    &["net", "unix", "windows", "hermit", "wasi", "sim"],
    &["source"],
    &["poll"],
    &["engine"],
    &["backend"],
    &["readiness", "os"],
];

/// The same within `backend/`.
const BACKEND_FLOORS: &[&[&str]] = &[
    &["mod"],
    &["epoll", "kqueue", "event_ports", "posix_poll", "iocp", "wasi", "sim"],
    &["list_backend", "absent"],
    &["poller"],
    &["logic"],
    &["name"],
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn the_house_has_the_rooms_of_the_design() {
    let rooms: BTreeSet<String> = sources().iter().map(|source| source.room().to_owned()).collect();
    for room in &rooms {
        assert!(floor(room).is_some(), "src/{room} has no floor");
    }
}

#[test]
fn a_floor_imports_only_lower_ones() {
    let mut found = Vec::new();
    let mut seen = 0;
    for source in sources() {
        let from = source.room().to_owned();
        if floor(&from) == Some(0) {
            continue;
        }
        for path in imports(&source) {
            seen += 1;
            let to = path[0].as_str();
            let is_below = match (floor(&from), floor(to)) {
                (Some(from), Some(to)) => to > from,
                _ => false, // a re-export of the roof
            };
            if to != from && !is_below {
                found.push(format!("src/{} names crate::{}", source.path, path.join("::")));
            }
        }
    }
    assert!(seen > 50, "the search for imports finds too few: {seen}");
    assert_none("an arrow goes up", found);
}

#[test]
fn a_floor_of_backend_imports_only_lower_ones() {
    let floor = |room: &str| BACKEND_FLOORS.iter().position(|rooms| rooms.contains(&room));
    let mut found = Vec::new();
    let mut seen = 0;
    for source in sources().iter().filter(|source| source.is_in("backend/")) {
        let inside = source.path.trim_start_matches("backend/").trim_end_matches(".rs");
        let from = inside.split('/').next().unwrap();
        assert!(floor(from).is_some(), "src/backend/{from} has no floor");
        for path in imports(source).iter().filter(|path| path[0] == "backend") {
            // Everything else of `backend` is in its mod.rs.
            let to = match path.get(1).map(String::as_str) {
                None | Some("*") => continue,
                Some(to) if floor(to).is_some() => to,
                Some(_) => "mod",
            };
            seen += 1;
            if to != from && floor(to) <= floor(from) {
                found.push(format!("src/{} names {}", source.path, path.join("::")));
            }
        }
    }
    assert!(seen > 50, "the search for imports finds too few: {seen}");
    assert_none("an arrow goes up in backend/", found);
}

/// The folders of the backends.
fn backends() -> BTreeSet<String> {
    let folder =
        |source: &Source| Some(source.path.strip_prefix("backend/")?.strip_suffix("/mod.rs")?.to_owned());
    sources().iter().filter_map(folder).filter(|folder| folder != "logic").collect()
}

#[test]
fn a_backend_names_no_other() {
    let backends = backends();
    assert!(backends.len() >= 2);
    let mut found = Vec::new();
    for source in sources() {
        let Some((own, _)) = source.path.strip_prefix("backend/").and_then(|path| path.split_once('/'))
        else {
            continue;
        };
        for path in imports(&source) {
            let names_other = path[0] == "backend"
                && path.get(1).is_some_and(|to| to != own && backends.contains(to.as_str()));
            if names_other {
                found.push(format!("src/{} names {}", source.path, path.join("::")));
            }
        }
    }
    assert_none("a backend names another", found);

    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.is_in("net/")) {
        for (place, line) in source.lines() {
            if tokens(line).iter().any(|token| backends.contains(token) || token == "Backend") {
                found.push(place);
            }
        }
    }
    assert_none("net names a backend", found);
}

#[test]
fn each_backend_keeps_its_calls_apart() {
    for backend in backends() {
        let sys = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backend").join(&backend).join("sys.rs");
        assert!(sys.exists() || backend == "sim", "backend/{backend} has no sys.rs");
    }
}

#[test]
fn readiness_knows_no_system() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.is_in("readiness/")) {
        for (place, line) in source.lines() {
            let tokens = tokens(line);
            let does_io = ["io", "fs", "net", "os", "libc"].iter().any(|module| {
                tokens.windows(3).any(|at| at[0] == "std" && at[1] == "::" && at[2] == *module)
                    || (*module == "libc" && tokens.iter().any(|token| token == "libc"))
            });
            let names_system = tokens
                .iter()
                .any(|token| ["target_os", "target_family", "unix", "windows"].contains(&token.as_str()));
            if does_io || names_system {
                found.push(place);
            }
        }
    }
    assert_none("readiness names an operating system", found);
}

/// The one file of `backend/` that selects by system: the backends, and the interests that some systems have.
const LISTS: &str = "backend/mod.rs";

#[test]
fn a_platform_list_stands_beside_what_it_selects() {
    let mut found = Vec::new();
    for source in sources() {
        if source.is_in("os/") || source.path == LISTS {
            continue;
        }
        for (place, line) in source.lines() {
            if tokens(line).iter().any(|token| token == "target_os" || token == "target_vendor") {
                found.push(place);
            }
        }
    }
    assert_none("target_os outside os/ and backend/mod.rs", found);
}

#[test]
fn unsafe_code_stays_at_the_edge() {
    let (mut outside, mut bare, mut seen) = (Vec::new(), Vec::new(), 0);
    for source in sources() {
        let is_edge = source.is_in("os/") || source.path.ends_with("/sys.rs");
        let text: Vec<&str> = source.text.lines().collect();
        for (index, (place, line)) in source.lines().enumerate() {
            if !tokens(line).iter().any(|token| token == "unsafe") {
                continue;
            }
            seen += 1;
            if !is_edge {
                outside.push(place.clone());
            }
            // A function's contract is under `# Safety`; a block or an impl says why it keeps one.
            if line.contains("unsafe {") || line.contains("unsafe impl") {
                let says_why = text[..index]
                    .iter()
                    .rev()
                    .take(6)
                    .take_while(|line| !line.trim().is_empty())
                    .any(|line| line.contains("// SAFETY:"));
                if !says_why {
                    bare.push(place);
                }
            }
        }
    }
    assert!(seen > 20, "the search for unsafe finds too little: {seen}");
    assert_none("unsafe outside os/ and sys.rs", outside);
    assert_none("unsafe without SAFETY", bare);
    let root = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let denied = root.lines().find(|line| line.starts_with("#![deny(")).expect("a deny at the root");
    assert!(denied.contains("unsafe_code") && denied.contains("missing_docs"));
}

#[test]
fn debug_and_release_do_the_same() {
    let mut found = Vec::new();
    for source in sources() {
        for (place, line) in source.lines() {
            if tokens(line).iter().any(|token| token.starts_with("debug_assert")) {
                found.push(place);
            }
        }
    }
    assert_none("a difference between debug and release", found);
}

#[test]
fn modules_are_where_their_names_say() {
    let mut found = Vec::new();
    for source in sources() {
        for (place, line) in source.lines() {
            let is_path = line.trim_start().starts_with("#[path") || line.contains("path =");
            let is_cfg_macro = line.contains("macro_rules! cfg_");
            if (is_path && line.contains("#[")) || is_cfg_macro {
                found.push(place);
            }
        }
    }
    assert_none("a module by #[path], or a macro that hides a cfg", found);
}

#[test]
fn the_roof_holds_no_logic() {
    let roof = sources().into_iter().find(|source| source.path == "lib.rs").unwrap();
    let found = roof
        .lines()
        .filter(|(_, line)| {
            tokens(line).iter().any(|token| ["fn", "impl", "struct", "enum"].contains(&token.as_str()))
        })
        .map(|(place, _)| place)
        .collect();
    assert_none("lib.rs holds more than re-exports", found);
}

#[test]
fn files_are_short_enough_to_read() {
    let mut found = Vec::new();
    for source in sources() {
        let code = source.code.iter().filter(|line| !line.trim().is_empty()).count();
        if code > 500 {
            found.push(format!("src/{} has {code} lines of code", source.path));
        }
    }
    assert_none("too much", found);
}

#[test]
fn code_and_comments_have_120_columns() {
    let mut files = prose();
    files.push(("tests/tidy.rs".to_owned(), include_str!("tidy.rs").to_owned()));
    files.retain(|(path, _)| path.ends_with(".rs"));
    for folder in ["src/", "tests/", "examples/", "xtask/", "compat/", "world/", "bench/", "fuzz/"] {
        assert!(files.iter().any(|(path, _)| path.starts_with(folder)), "the walk has missed {folder}");
    }
    let wide = files.iter().flat_map(|(path, text)| {
        let lines = text.lines().enumerate().filter(|(_, line)| line.chars().count() > 120);
        lines.map(move |(index, _)| format!("{path}:{}", index + 1))
    });
    assert_none("wider than 120 columns", wide.collect());
}

/// Words that the house voice doesn't use: subjects without a name, and passives without an agent.
const BANNED: &[&str] = &[
    "anybody",
    "anyone",
    "are told",
    "be told",
    "everybody",
    "everyone",
    "for who",
    "is told",
    "no one",
    "nobody",
    "somebody",
    "someone",
    "was told",
    "were told",
    "whoever",
    "whom",
    "without a word",
];

/// The words of a text, each with its line. An underscore parts words too: names of tests are prose.
fn words(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate();
    let words = lines.flat_map(|(index, line)| {
        let parts = line.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        parts.map(move |part| (index + 1, part.to_lowercase()))
    });
    words.collect()
}

/// The lines on which a banned word or phrase begins, with the phrase; comments and names run over lines.
fn banned(text: &str) -> Vec<(usize, &'static str)> {
    let words = words(text);
    let begins = |at: usize, phrase: &str| {
        let mut at = words[at..].iter();
        phrase.split(' ').all(|part| at.next().is_some_and(|(_, word)| word == part))
    };
    let found = (0..words.len()).flat_map(|at| {
        let phrases = BANNED.iter().filter(move |phrase| begins(at, phrase));
        let line = words[at].0;
        phrases.map(move |phrase| (line, *phrase))
    });
    found.collect()
}

/// Everything that a reader reads, by its path from the root, but for this file, which names the words.
fn prose() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "examples", "xtask", "compat", "world", "bench", "fuzz", "docs"] {
        collect(&root.join(folder), &mut files);
    }
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        files.extend(path.extension().is_some_and(|extension| extension == "md").then_some(path));
    }
    let path = |file: &Path| file.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    let files = files.iter().map(|file| (path(file), fs::read_to_string(file).unwrap()));
    let mut files: Vec<_> = files.filter(|(path, _)| path != "tests/tidy.rs").collect();
    files.sort();
    files
}

#[test]
fn each_subject_has_a_name() {
    let files = prose();
    assert!(files.len() > 250, "the walk has missed most of it: {}", files.len());
    let found = files.iter().flat_map(|(path, text)| {
        banned(text).into_iter().map(move |(line, phrase)| format!("{path}:{line}: {phrase}"))
    });
    assert_none("words that the house voice doesn't use", found.collect());
}

/// How often words that a few uses don't harm stand in a thousand lines of comments in `src`.
#[test]
fn comments_seldom_say_who_and_tell() {
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    let sources = prose().into_iter().filter(|(path, _)| path.starts_with("src/"));
    let comments: Vec<String> =
        sources.map(|(_, text)| text.lines().filter(is_comment).collect::<Vec<_>>().join("\n")).collect();
    let lines: usize = comments.iter().map(|text| text.lines().count()).sum();
    assert!(lines > 1_000, "the walk has missed most of it: {lines}");
    let mut report = Vec::new();
    let mut is_met = true;
    for (wanted, limit) in [(&["who", "whoever"][..], 1), (&["tell", "tells", "told"], 5)] {
        let is_wanted = |(_, word): &(usize, String)| wanted.contains(&word.as_str());
        let uses: usize =
            comments.iter().map(|text| words(text).iter().filter(|word| is_wanted(word)).count()).sum();
        is_met &= uses * 1_000 <= limit * lines;
        let rate = uses as f64 * 1_000.0 / lines as f64;
        report.push(format!(
            "{}: {uses} in {lines} lines, {rate:.1} of 1000; {limit} at most",
            wanted.join(", ")
        ));
    }
    assert!(is_met, "{}", report.join("\n"));
}

#[test]
fn the_search_itself_works() {
    let source =
        |path: &str, text: &str| Source { path: path.into(), text: text.into(), code: code_of(text) };
    let found = imports(&source(
        "backend/epoll/mod.rs",
        "use super::super::poll::X; // crate::net::Y\nuse crate::{os::check, readiness::{Event, Token}};\n\
         use super::watch::Watch;\nlet s = \"crate::net\";",
    ));
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["poll::X", "os", "readiness", "backend::watch::Watch"].map(String::from).as_slice());

    let text = "/// It is\n/// told, for whole.\nfn NOBODY_is_told_() {} // who is, for, who";
    assert_eq!(banned(text), [(1, "is told"), (3, "nobody"), (3, "is told"), (3, "for who")]);
}
