//! The page for people and the probes for machines.

use super::site::{Site, check_links};
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
    let policy = page.header("content-security-policy");
    for rule in
        ["default-src 'none'", "style-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "`{rule}`");
    }
    assert!(!policy.contains("unsafe"));
    for forbidden in ["<script", "http://", "https://", " style=", "onload", "javascript:"] {
        assert!(!html.contains(forbidden), "`{forbidden}`");
    }
    let style = site.get("/page.css");
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(!style.text().contains("url(") && !style.text().contains("@import"));
    *site.ready.lock().unwrap() = Ok(());
    check_links(&site);
}
