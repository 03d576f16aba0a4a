//! Rules of the house that no compiler checks: prose that cannot drift from the command, and words that only one file may say.

use std::path::{Path, PathBuf};

use crate::house::{interlock, root};

/// All source files of the rooms, with their text; tests are not among them.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["verifier", "ledger", "authorizer", "tools", "benches"].map(|room| root().join(room).join("src")).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 60, "the search looks in the wrong place");
    found
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn unsafe_code_stands_in_one_file_only() {
    let says = |text: &str| code(text).any(|line| line.contains("unsafe ") || line.contains("unsafe{"));
    let files: Vec<_> = sources().into_iter().filter(|(_, text)| says(text)).map(|(path, _)| path).collect();
    assert_eq!(files, [root().join("ledger/src/map.rs")]);
}

#[test]
fn every_source_file_says_first_why_it_exists() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn nothing_points_back() {
    for (path, text) in sources() {
        let room = path.strip_prefix(root()).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
        let forbidden: &[&str] = match room.as_str() {
            "verifier" => {
                &["use ledger", "use authorizer", "use benches", "std::thread", "std::net", "SystemTime", "Instant"]
            }
            "ledger" => &["use authorizer", "use benches", "cedar"],
            "authorizer" => &["use benches"],
            _ => &[],
        };
        // The one module of the verifier with I/O stands behind a feature; its program opens the files that it is told.
        let found = forbidden.iter().find(|word| code(&text).any(|line| line.contains(**word)));
        assert_eq!(found, None, "{}", path.display());
        let opens = path.ends_with("uses_file.rs") || path.ends_with("bin/interlock-verify.rs");
        if room == "verifier" && !opens {
            assert!(!code(&text).any(|line| line.contains("std::fs")), "{}", path.display());
        }
    }
}

#[test]
fn readme_is_short_and_its_commands_exist() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 340);
    let mut commands = 0;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for line in readme.lines().filter(|line| line.starts_with("interlock ")) {
        let words = words(line);
        let place = words.iter().position(|word| word == "interlock").unwrap();
        let depth = if ["policy", "keys", "bench"].contains(&words[place + 1].as_str()) { 2 } else { 1 };
        let mut arguments = words[place + 1..=place + depth].to_vec();
        arguments.push("--help".into());
        let help = interlock(&arguments);
        assert!(help.status.success(), "README names a command that does not exist: {line}");
        let help = String::from_utf8(help.stdout).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option.as_str()), "README names an option that does not exist: {option} in {line}");
        }
        commands += 1;
    }
    assert!(commands >= 5, "only {commands} commands were found in README");
    for path in readme.split('`').filter(|word| word.starts_with("testdata/") || word.starts_with("benches/")) {
        assert!(Path::new(&root().join(path)).exists(), "README names `{path}`, which does not exist");
    }
}

/// In its tables of attacks and of failures.
#[test]
fn readme_names_tests_that_exist() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let sources: Vec<String> = test_sources(&root());
    let names = readme.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2));
    // A sentence, not a file, a field or a command.
    let is_test = |name: &&str| {
        name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let mut named = 0;
    for name in names.filter(is_test) {
        let line = format!("fn {name}() {{");
        assert!(sources.iter().any(|text| text.contains(&line)), "README names `{name}`, which is no test");
        named += 1;
    }
    assert!(named > 30, "only {named} tests were found in README");
}

/// The text of every source that may hold tests.
fn test_sources(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wanted = entries.filter(|path| !path.ends_with("target") && !path.ends_with(".git"));
    wanted
        .flat_map(|path| match path.is_dir() {
            true => test_sources(&path),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                vec![std::fs::read_to_string(path).unwrap()]
            }
            false => Vec::new(),
        })
        .collect()
}

#[test]
fn the_durability_chapter_names_tests_that_exist() {
    let chapter = std::fs::read_to_string(root().join("ledger/DURABILITY.md")).unwrap();
    let rooms = ["verifier", "ledger", "authorizer", "tools"];
    let mut named = 0;
    for name in chapter.split('`').filter(|word| rooms.iter().any(|room| word.starts_with(&format!("{room}::")))) {
        let parts: Vec<&str> = name.split("::").collect();
        let [room, module, test] = parts[..] else { panic!("`{name}` is not ROOM::MODULE::TEST") };
        let places = [format!("{room}/tests/it/{module}.rs"), format!("{room}/src/{module}.rs")];
        let there = places.iter().filter_map(|place| std::fs::read_to_string(root().join(place)).ok()).any(|text| {
            let mut lines = text.lines().map(str::trim);
            let mut before = "";
            lines.any(|line| std::mem::replace(&mut before, line) == "#[test]" && line == format!("fn {test}() {{"))
        });
        assert!(there, "DURABILITY.md names `{name}`, which is no test");
        named += 1;
    }
    assert!(named > 40, "only {named} tests were found in the chapter");
    for path in chapter.split('`').filter(|word| word.starts_with("src/") || word.starts_with("tests/")) {
        assert!(root().join("ledger").join(path).exists(), "DURABILITY.md names `{path}`, which does not exist");
    }
}
