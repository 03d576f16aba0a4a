//! The pages' folder against the table that embeds it: nothing is left out, and nothing in it could ask elsewhere or turn text into markup.

use std::path::Path;

use verifier::site::{FILES, PAGES, document};

#[test]
fn every_file_of_the_folder_is_in_the_table_and_makes_no_markup() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("site");
    let mut seen = 0;
    for place in ["", "shell/", "pages/"] {
        for entry in std::fs::read_dir(folder.join(place)).unwrap() {
            let name = format!("{place}{}", entry.unwrap().file_name().into_string().unwrap());
            let path = format!("/site/{name}");
            if name.ends_with(".html") && place == "pages/" {
                let module = format!("{}.js", name.trim_end_matches(".html"));
                assert!(PAGES.iter().any(|page| page.module == module), "{name} is no page");
            }
            if ![".js", ".css"].iter().any(|end| name.ends_with(end)) {
                continue;
            }
            let file =
                FILES.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{name} is not in the table"));
            let markup = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"];
            for word in markup.iter().chain(&["url(", "@import"]) {
                assert!(!file.text.contains(word), "{name} says `{word}`");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "the search looks in the wrong place");
}

#[test]
fn no_page_names_another_host_or_has_anything_inline() {
    for page in PAGES {
        let document = document(page);
        for word in ["https://", "http://", " style=", " onclick", "javascript:", "<style", "<script>"] {
            assert!(!document.contains(word), "{} says `{word}`", page.path);
        }
    }
}
