//! The public pages (`site/`), embedded: one table of pages, one of the files that they are made of, and how both become documents.
//!
//! Guarantees: a document is a pure function of this crate: the same bytes from every server of the same version, so that a stranger can
//! compare them; no inline script and no inline style in what is served; a saved page is one file that asks nobody, by its own policy.
//! Does not serve anything, and vouches for nothing: whoever serves a page could serve another one.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::hash::sha256;
use crate::text::b64;

/// A page: the content of `<main>`, and the module that makes it live.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it stands.
    pub path: &'static str,
    /// Its name in the navigation.
    pub name: &'static str,
    /// What it shows, in a sentence: for search engines and link previews.
    pub about: &'static str,
    /// The content of `<main>`: HTML of ours, in which `{name}` stands for what the server fills in.
    pub main: &'static str,
    /// Its module in [`FILES`], below `/site/`.
    pub module: &'static str,
}

/// Something that pages are made of.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Where it stands.
    pub path: &'static str,
    /// Its content.
    pub text: &'static str,
}

impl File {
    /// Its media type, by the end of its name.
    pub fn media_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some(_) | None => "text/plain; charset=utf-8",
        }
    }
}

/// Verifies one receipt by `openssl`, `sha256sum` and Python alone.
pub const CHECK_SCRIPT: &str = include_str!("../../testdata/without-us/check.sh");

macro_rules! pages {
    ($($path:literal $name:literal $file:literal $about:literal;)*) => {
        &[$(Page {
            path: $path,
            name: $name,
            about: $about,
            main: include_str!(concat!("../site/pages/", $file, ".html")),
            module: concat!("pages/", $file, ".js"),
        }),*]
    };
}

macro_rules! files {
    ($($name:literal)*) => {
        &[
            File { path: "/favicon.svg", text: include_str!("../site/shell/favicon.svg") },
            File { path: "/check.sh", text: CHECK_SCRIPT },
            $(File { path: concat!("/site/", $name), text: include_str!(concat!("../site/", $name)) }),*
        ]
    };
}

/// The pages, in the order of the navigation. To add one: a line here (path, name, file in `site/pages/`, what it shows), its HTML and its
/// module, and the module's line below.
pub const PAGES: &[Page] = pages! {
    "/" "Log" "home" "What this log promises and what not, its key, its head, and how to check it without trusting us.";
    "/demo" "Demo" "demo" "Ask as an agent: your own rules, nine conditions, a receipt verified in the page, and ways to break it.";
    "/proof" "Proof" "proof" "One decision, the proof that it stands in the log, and every step of the arithmetic, checked in the browser.";
    "/console" "Console" "console" "Decisions by everything that is disclosed of them, and who governs them: epochs, policies, switches, revocations.";
    "/lineage" "Lineage" "lineage" "What a permit descends from and what descends from it, with the state, the scopes and the proof of each.";
    "/health" "Health" "health" "How old the head is, how fast the log grows, how long a decision takes, and whether the service was ready.";
    "/api" "API" "api" "Every path of the public API, with its parameters, answers and problems, and a link that tries it.";
};

/// The page that can also be had as one file, and where.
pub const SAVED: (&str, &str) = ("/proof", "/proof.html");

/// The files of all pages. A module that is missing here fails a test.
pub const FILES: &[File] = files! {
    "shell/site.css"
    "bundle.js" "cbor.js" "checkpoint.js" "cose.js" "detail.js" "ed25519.js" "engines.js" "evidence.js" "fault.js" "fork.js" "json.js" "ladder.js" "note.js"
    "policy.js" "proof.js" "receipt.js" "record.js" "sha2.js" "tamper.js" "text.js" "tree.js" "verify.js"
    "shell/api.js" "shell/copy.js" "shell/dom.js" "shell/links.js" "shell/page.js" "shell/pins.js" "shell/time.js" "shell/tree-view.js"
    "shell/words.js"
    "pages/home.js" "pages/proof.js" "pages/proof-ladder.js" "pages/proof-view.js"
    "pages/demo.js" "pages/demo-board.js" "pages/demo-ladder.js"
    "pages/console.js" "pages/decision.js" "pages/export.js" "pages/governance.js" "pages/search.js"
    "pages/chart.js" "pages/health.js" "pages/descent.js" "pages/lineage.js" "pages/prove.js"
    "pages/api.js" "pages/openapi.js"
};

/// What a page may do: its own server's scripts, styles, pictures and answers; nothing inline, no other host, no frame around it, and no
/// string that becomes markup or script.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const SHELL: &str = include_str!("../site/shell/shell.html");
const FOLDER: &str = "/site/";

/// The page at this path.
pub fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}

/// The whole document of a page. Slots of the page itself stay for the server to [`fill`].
pub fn document(page: &Page) -> String {
    let preload: String = closure(page.module).iter().fold(String::new(), |mut out, module| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "<link rel=\"modulepreload\" href=\"{FOLDER}{module}\">");
        out
    });
    let head = format!(
        "<link rel=\"icon\" href=\"/favicon.svg\" type=\"image/svg+xml\">\n<link rel=\"stylesheet\" href=\"{FOLDER}shell/site.css\">\n{preload}"
    );
    let links: String = PAGES.iter().fold(String::new(), |mut out, other| {
        let current = if other.path == page.path { " aria-current=\"page\"" } else { "" };
        let _ = writeln!(out, "<li><a href=\"{}\"{current}>{}</a></li>", other.path, other.name);
        out
    });
    framed(
        page,
        &Frame {
            saved: "",
            policy: "",
            head: &head,
            brand: "<a class=\"brand\" href=\"/\"><img src=\"/favicon.svg\" alt=\"\" width=\"26\" height=\"26\">Interlock</a>",
            nav: &format!("<nav aria-label=\"Pages\">\n<ul>\n{links}</ul>\n</nav>\n"),
            note: "All of it is served from here, and can be read: the scripts stand under <code>/site/</code>, unpacked.",
            script: &format!("<script type=\"module\" src=\"{FOLDER}{}\"></script>\n", page.module),
        },
    )
}

/// A page as one file that works from a disk: styles and modules stand in it, and its policy forbids every connection. Modules become
/// `data:` URLs behind an import map, since a page from a disk may not load modules; nothing but the names in their imports changes.
pub fn saved(page: &Page) -> String {
    let mut imports = String::new();
    for module in closure(page.module) {
        let comma = if imports.is_empty() { "" } else { ",\n" };
        let code = b64(bare(&module).as_bytes());
        let _ = write!(imports, "{comma}\"site/{module}\":\"data:text/javascript;base64,{code}\"");
    }
    let map = format!("{{\"imports\":{{\n{imports}\n}}}}");
    let start = format!("import \"site/{}\";", page.module);
    let style = text_of("shell/site.css").unwrap_or_default();
    let icon =
        FILES.iter().find(|file| file.path == "/favicon.svg").map(|file| b64(file.text.as_bytes())).unwrap_or_default();
    let icon = format!("data:image/svg+xml;base64,{icon}");
    let digest = |text: &str| format!("'sha256-{}'", b64(&sha256(text.as_bytes()).0));
    let policy = format!(
        "default-src 'none'; script-src {} {} data:; style-src {}; img-src data:; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        digest(&map),
        digest(&start),
        digest(style),
    );
    framed(
        page,
        &Frame {
            saved: " data-saved",
            policy: &format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"),
            head: &format!(
                "<link rel=\"icon\" href=\"{icon}\" type=\"image/svg+xml\">\n<style>{style}</style>\n<script type=\"importmap\">{map}</script>\n"
            ),
            brand: &format!("<p class=\"brand\"><img src=\"{icon}\" alt=\"\" width=\"26\" height=\"26\">Interlock</p>"),
            nav: "<p class=\"hint\">A saved page: it asks nobody, and its own policy forbids it to.</p>\n",
            note: "This is one file, kept by whoever saved it: its SHA-256 can be compared with that of others.",
            script: &format!("<script type=\"module\">{start}</script>\n"),
        },
    )
}

/// Replaces each `{name}` by its value, once: what a value says is not looked at again. Other braces stay.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut parts = template.split('{');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let slot = part
            .split_once('}')
            .and_then(|(name, rest)| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, rest)));
        match slot {
            Some((value, rest)) => {
                out.push_str(value);
                out.push_str(rest);
            }
            None => {
                out.push('{');
                out.push_str(part);
            }
        }
    }
    out
}

/// What differs between a served and a saved page.
struct Frame<'a> {
    saved: &'a str,
    policy: &'a str,
    head: &'a str,
    brand: &'a str,
    nav: &'a str,
    note: &'a str,
    script: &'a str,
}

fn framed(page: &Page, frame: &Frame<'_>) -> String {
    let title = if page.path == "/" { "Interlock".to_owned() } else { format!("{} · Interlock", page.name) };
    fill(
        SHELL,
        &[
            ("saved", frame.saved),
            ("policy", frame.policy),
            ("about", page.about),
            ("title", &title),
            ("head", frame.head),
            ("brand", frame.brand),
            ("nav", frame.nav),
            ("main", page.main),
            ("origin_note", frame.note),
            ("script", frame.script),
        ],
    )
}

/// A module and all that it imports, by name below `/site/`.
fn closure(module: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![module.to_owned()];
    while let Some(name) = open.pop() {
        let imports = imports(&name);
        if found.insert(name) {
            open.extend(imports);
        }
    }
    found
}

/// What a module imports, by name below `/site/`. Imports are written `… from "./x.js"` or `… from "../x.js"` in every module of ours.
fn imports(module: &str) -> Vec<String> {
    specifiers(text_of(module).unwrap_or_default()).map(|specifier| resolved(module, specifier)).collect()
}

fn specifiers(text: &str) -> impl Iterator<Item = &str> {
    let behind = text.split(" from \"").skip(1).filter_map(|rest| rest.split('"').next());
    behind.filter(|specifier| specifier.starts_with("./") || specifier.starts_with("../"))
}

/// Folders are one deep.
fn resolved(module: &str, specifier: &str) -> String {
    match (specifier.strip_prefix("../"), module.split_once('/')) {
        (Some(name), _) => name.to_owned(),
        (None, Some((folder, _))) => format!("{folder}/{}", specifier.trim_start_matches("./")),
        (None, None) => specifier.trim_start_matches("./").to_owned(),
    }
}

/// A module whose imports are bare names, as the import map of a saved page has them.
fn bare(module: &str) -> String {
    let text = text_of(module).unwrap_or_default();
    let specifiers: BTreeSet<&str> = specifiers(text).collect();
    specifiers.iter().fold(text.to_owned(), |text, specifier| {
        text.replace(&format!(" from \"{specifier}\""), &format!(" from \"site/{}\"", resolved(module, specifier)))
    })
}

fn text_of(name: &str) -> Option<&'static str> {
    FILES.iter().find(|file| file.path.strip_prefix(FOLDER) == Some(name)).map(|file| file.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_leads_to_a_file_and_is_written_so_that_it_is_found() {
        for file in FILES.iter().filter(|file| file.path.ends_with(".js")) {
            let name = file.path.strip_prefix(FOLDER).unwrap();
            for import in imports(name) {
                assert!(text_of(&import).is_some(), "{name} imports `{import}`, which is not in the table");
            }
            // What the search does not find, a saved page would not have.
            let statements = file.text.lines().filter(|line| line.starts_with("import ")).count();
            assert_eq!(statements, specifiers(file.text).count(), "{name}");
            assert!(!file.text.contains("import("), "{name}");
        }
        for page in PAGES {
            assert!(text_of(page.module).is_some(), "{} has no module", page.path);
        }
    }

    #[test]
    fn a_document_has_one_place_for_everything() {
        for page in PAGES {
            for document in [document(page), saved(page)] {
                for word in ["<main", "<title>", "<h1", "type=\"module\"", "</html>"] {
                    assert_eq!(document.matches(word).count(), 1, "{}: `{word}`", page.path);
                }
                for slot in
                    ["saved", "policy", "about", "title", "head", "brand", "nav", "main", "origin_note", "script"]
                {
                    assert!(!document.contains(&format!("{{{slot}}}")), "{}: `{slot}` was not filled", page.path);
                }
            }
        }
    }

    #[test]
    fn a_saved_page_holds_all_its_modules_under_bare_names() {
        for page in PAGES {
            let document = saved(page);
            for module in closure(page.module) {
                assert_eq!(document.matches(&format!("\"site/{module}\":\"data:")).count(), 1, "{module}");
                let bare = bare(&module);
                assert!(!bare.contains(" from \"."), "{module}");
                // Nothing but names changed.
                assert_eq!(bare.lines().count(), text_of(&module).unwrap().lines().count());
            }
            assert!(document.contains("default-src 'none'") && !document.contains("connect-src"));
            assert!(!document.contains("src=\"/") && !document.contains("href=\"/site"));
        }
    }

    #[test]
    fn a_value_is_filled_in_once() {
        assert_eq!(fill("a {x} {y} {z} {", &[("x", "{y}"), ("y", "2")]), "a {y} 2 {z} {");
        assert_eq!(fill("{x}{x}", &[("x", "}")]), "}}");
    }
}
