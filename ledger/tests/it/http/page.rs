//! The page for people and the probes for machines.

use verifier::site;

use super::site::{Answer, Site, bad, check_links, not_found};
use crate::common::ORIGIN;

#[test]
fn liveness_and_readiness_are_two_things() {
    let site = Site::new(&[1]);
    assert_eq!((site.get("/livez").text(), site.get("/readyz").text()), ("ok\n", "ready\n"));
    *site.ready.lock().unwrap() = Err("no epoch is published".into());
    assert_eq!(site.get("/livez").status, 200);
    let answer = site.get("/readyz");
    assert_eq!(answer.check_problem("/readyz"), (503, "not_ready".to_owned()));
    assert!(answer.text().contains("no epoch is published"));
    assert_eq!(site.get("/v1/entries/0").status, 200, "reads go on");
}

#[test]
fn the_page_shows_key_and_head_and_asks_nobody_else() {
    let site = Site::new(&[3]);
    *site.ready.lock().unwrap() = Err("<script>alert(1)</script>".into());
    let page = site.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let html = page.text();
    let head = site.reader.head();
    for shown in [ORIGIN, &site.reader.verifier_key().to_string(), &head.checkpoint.root.to_string(), "3 minutes old"] {
        assert!(html.contains(shown), "`{shown}`");
    }
    check_secured("/", &page);
    assert!(!html.contains("<script>alert"), "what a service says of itself is text");
    *site.ready.lock().unwrap() = Ok(());
    check_links(&site);
}

/// The headers of every page, and nothing inline that they would forbid.
fn check_secured(path: &str, page: &Answer) {
    let policy = page.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(policy.split("; ").any(|given| given == rule || given == format!("{rule} data:")), "{path}: `{rule}`");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}");
    assert_eq!(page.header("referrer-policy"), "no-referrer", "{path}");
    assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin", "{path}");
    for feature in ["camera=()", "geolocation=()", "microphone=()", "payment=()", "usb=()"] {
        assert!(page.header("permissions-policy").contains(feature), "{path}: `{feature}`");
    }
    if page.header("content-type") == "text/html; charset=utf-8" && page.header("content-disposition").is_empty() {
        for forbidden in ["<script>", "http://", "https://", " style=", "<style", "onload", "javascript:"] {
            assert!(!page.text().contains(forbidden), "{path}: `{forbidden}`");
        }
    }
}

#[test]
fn every_page_and_file_has_a_strong_validator_and_the_policy() {
    let site = Site::new(&[1]);
    let (saved_page, saved) = site::SAVED;
    let kept = site::page(saved_page).map(|_| saved);
    let pages = site::PAGES.iter().map(|page| page.path);
    let mut paths: Vec<&str> = pages.chain(site::FILES.iter().map(|file| file.path)).chain(kept).collect();
    paths.sort_unstable();
    assert!(paths.len() > 20 && paths.windows(2).all(|pair| pair[0] != pair[1]), "each path once");
    for path in paths {
        let answer = site.get(path);
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-cache"), "{path}");
        check_secured(path, &answer);
        let tag = answer.header("etag");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 30, "{path}: {tag}");
        let again = site.ask("GET", path, &[("If-None-Match", tag)]);
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag), "{path}");
        assert_eq!(again.header("content-security-policy"), answer.header("content-security-policy"), "{path}");
        let zipped = site.ask("GET", path, &[("Accept-Encoding", "gzip")]);
        if answer.body.len() >= 512 {
            assert_eq!(zipped.header("content-encoding"), "gzip", "{path}");
            assert!(zipped.body.len() < answer.body.len() && zipped.header("etag") != tag, "{path}");
            let once_more = site.ask("GET", path, &[("Accept-Encoding", "gzip")]);
            assert_eq!(once_more.body, zipped.body, "{path}");
        }
        let head = site.ask("HEAD", path, &[]);
        assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, tag), "{path}");
        assert_eq!(head.header("content-length"), answer.body.len().to_string(), "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let refused = site.ask(method, path, &[("Content-Length", "0")]);
            assert_eq!(refused.check_problem(path), (405, "method_not_allowed".to_owned()), "{method} {path}");
        }
    }
    for file in site::FILES {
        assert_eq!(site.get(file.path).text(), file.text, "{}", file.path);
        assert_eq!(site.get(file.path).header("content-type"), file.media_type());
        assert_eq!(site.refused(&format!("{}?x", file.path)), bad("unknown_parameter"));
    }
    for absent in ["/site/", "/site/none.js", "/site/shell/../text.js", "/proof/", "/index.html", "/page.css"] {
        assert_eq!(site.refused(absent), not_found("unknown_path"), "{absent}");
    }
}

#[test]
fn a_page_is_the_same_whatever_its_query_says() {
    let site = Site::new(&[1]);
    for page in site::PAGES.iter().filter(|page| page.path != "/") {
        let asked = site.get(&format!("{}?permit=00&x=%3Cscript%3E", page.path));
        assert_eq!((asked.status, asked.text()), (200, site.get(page.path).text()), "{}", page.path);
    }
}
