//! How the service is and was, as strangers are told.

use std::sync::Arc;

use authorizer::archive::Archive;
use authorizer::clock::Manual;
use authorizer::http::Rates;
use serde_json::{Value, json};

use crate::support::{Answer, Site, call, erase, now_ms, read, until};

const GET: &str = "GET";

fn ask(site: &Site, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    call(site.service.as_ref().unwrap().public_address().unwrap(), method, path, headers, b"")
}

fn site() -> Site {
    Site::with(None, |config| config.public = Some("127.0.0.1:0".parse().unwrap()))
}

#[test]
fn health_tells_rates_and_percentiles_and_neither_who_asked_nor_why_it_was_denied() {
    let site = site();
    site.post("/v1/decisions", &json!([read("secret-name"), read("r"), erase("r")]));
    let health = || ask(&site, GET, "/v1/health", &[]).json();
    until(|| health()["service"]["ready"] == true);
    let found = health();
    let service = &found["service"];
    assert_eq!((&service["total"]["allowed"], &service["total"]["denied"]), (&json!(2), &json!(1)), "{found}");
    assert_eq!(service["total"]["denied_by"], json!({ "policy": 1 }));
    assert_eq!((&service["missing"], &service["epoch"], &service["waiting"]), (&Value::Null, &json!(1), &json!(0)));
    assert!(service["canary_age_ms"].as_u64().unwrap() < 10_000);
    assert_eq!((&found["head"]["size"], &found["self_audit"]["state"]), (&json!(site.size()), &json!("never")));
    let minute = &service["last_minute"];
    for curve in
        [&minute["decision_ms"], &minute["commit_ms"], &minute["fsync_ms"]["journal"], &minute["fsync_ms"]["memory"]]
    {
        let of = |name: &str| curve[name].as_f64().unwrap_or_else(|| panic!("{minute}"));
        assert!(of("count") >= 1.0 && of("p50") > 0.0 && of("p50") <= of("p90") && of("p90") <= of("p99"), "{minute}");
    }
    let text = found.to_string();
    for secret in ["secret-name", "no_matching_permit", "main", &site.key] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn every_second_is_kept_and_what_it_counted_adds_up() {
    let site = site();
    site.post("/v1/decisions", &json!([read("r"), erase("r")]));
    let seconds = |after: u64| ask(&site, GET, &format!("/v1/health/history?step=second&after={after}"), &[]).json();
    until(|| seconds(0)["samples"]["at"].as_array().unwrap().len() >= 3);
    let course = seconds(0);
    let column = |name: &str| course["samples"][name].as_array().unwrap().clone();
    let sum = |name: &str| column(name).iter().map(|value| value.as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("allowed"), sum("denied"), &course["step_ms"]), (1, 1, &json!(1_000)));
    assert_eq!(course["samples"]["denied_by"].as_object().unwrap().keys().collect::<Vec<_>>(), ["policy"]);
    let looks = column("looks").len() as u64;
    assert_eq!(sum("looks"), looks);
    let at = column("at");
    for name in ["size", "shed", "waiting", "ready", "canary_ms"] {
        assert_eq!(column(name).len(), at.len(), "{name}");
    }
    assert_eq!(course["samples"]["journal_ms"]["p99"].as_array().unwrap().len(), at.len());
    assert_eq!(column("size").last().unwrap(), &json!(site.size()));
    assert!(at.windows(2).all(|pair| pair[0].as_u64() < pair[1].as_u64()), "{at:?}");
    // From where a page was: the later ones only.
    let rest = seconds(at[1].as_u64().unwrap());
    assert_eq!(rest["samples"]["at"][0], at[2]);
    let minutes = ask(&site, GET, "/v1/health/history", &[]).json();
    assert_eq!(minutes["step_ms"], 60_000);
    assert!(course["since"].as_u64().unwrap() <= at[0].as_u64().unwrap());
}

#[test]
fn health_has_the_habits_of_the_listener_and_an_archive_measures_nothing() {
    let mut site = site();
    for (path, code) in [
        ("/v1/health?x=1", "unknown_parameter"),
        ("/v1/health/history?step=hour", "malformed_parameter"),
        ("/v1/health/history?after=-1", "malformed_parameter"),
        ("/v1/health/history?step=second&step=second", "unknown_parameter"),
    ] {
        let answer = ask(&site, GET, path, &[]);
        assert_eq!((answer.status, &*answer.code()), (400, code), "{path}");
    }
    for path in ["/v1/health", "/v1/health/history"] {
        let head = ask(&site, "HEAD", path, &[]);
        assert_eq!((head.status, head.body.len(), head.header("access-control-allow-origin")), (200, 0, Some("*")));
        assert_eq!(ask(&site, "DELETE", path, &[]).code(), "method_not_allowed");
    }
    assert!(site.service.take().unwrap().stop());
    let (_ledger, reader) = site.open_log();
    let archive =
        Archive::start("127.0.0.1:0".parse().unwrap(), reader, Arc::new(Manual::at(now_ms())), Rates::default(), None)
            .unwrap();
    let health = call(archive.address(), GET, "/v1/health", &[], b"").json();
    assert_eq!((&health["service"], &health["head"]["size"]), (&Value::Null, &json!(site.reader.size())));
    let course = call(archive.address(), GET, "/v1/health/history?step=second", &[], b"").json();
    assert_eq!((&course["since"], &course["samples"]["at"]), (&Value::Null, &json!([])));
    assert!(archive.stop());
}

#[test]
fn the_page_says_the_figures_without_any_script_and_is_as_secured_as_every_page() {
    let mut site = site();
    site.post("/v1/decisions", &json!([read("secret-name"), erase("r")]));
    until(|| ask(&site, GET, "/v1/health", &[]).json()["service"]["ready"] == true);
    let page = ask(&site, GET, "/health?range=day", &[]);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let html = page.text();
    for shown in [
        "<span class=\"tag good\">ready</span>",
        "<th scope=\"row\">Allowed</th><td class=\"number\">1</td><td class=\"number\">1</td>",
        "<th scope=\"row\">– by policy</th><td class=\"number\">1</td>",
        "<dt>Last self-audit</dt><dd>none yet</dd>",
        "<span class=\"tag good\">denied</span>",
    ] {
        assert!(html.contains(shown), "{shown}: {html}");
    }
    for slot in ["{state}", "{age}", "{size}", "{rate}", "{p99}", "{counts}", "{times}", "{facts}"] {
        assert!(!html.contains(slot), "{slot}");
    }
    assert!(!["secret-name", "no_matching_permit"].iter().any(|secret| html.contains(secret)));
    assert!(site.service.take().unwrap().stop());
    let (_ledger, reader) = site.open_log();
    let archive =
        Archive::start("127.0.0.1:0".parse().unwrap(), reader, Arc::new(Manual::at(now_ms())), Rates::default(), None)
            .unwrap();
    let html = call(archive.address(), GET, "/health", &[], b"").text();
    assert!(html.contains("archive: read only") && !html.contains("{facts}"), "{html}");
    assert!(archive.stop());
}
