//! Evidence bundles as somebody who must show something makes, checks and prints them.

use serde_json::Value;
use verifier::bundle::Bundle;

use crate::house::{House, Http, Server, fails, interlock, ok, refund};

/// A log with decisions that allow and deny; the permit of the first.
fn house() -> (House, Server, String) {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let decide = |amount| http.decide(&server.decisions, &house.api_key, &refund(amount)).unwrap().1;
    let permit = decide(250)["permit"].as_str().unwrap().to_owned();
    [251, 1, 501, 2].into_iter().for_each(|amount| drop(decide(amount)));
    (house, server, permit)
}

fn entries(file: &str) -> Vec<u64> {
    let bytes = std::fs::read(file).unwrap();
    Bundle::decode(&bytes).unwrap().entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn a_bundle_is_fetched_verified_and_printed_and_a_changed_one_is_not() {
    let (house, server, permit) = house();
    let file = house.path("some.bundle");
    let said = ok(["export", &server.public, "--decisions", &format!("{permit},4-5"), "-o", &file, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["entries"], &said["decisions"], &said["vkey"]),
        (&5.into(), &3.into(), &house.vkey.as_str().into())
    );
    assert_eq!(entries(&file), [0, 1, 2, 4, 5]);
    assert_eq!(fails(["export", &server.public, "--decisions", "4", "-o", &file]).0, 4, "an existing file stays");
    server.stop();

    // Elsewhere, with the key alone.
    let page = house.path("some.html");
    let said = ok(["verify", &file, "--vkey", &house.vkey, "--summary", &page]);
    for part in ["ok    disclosed", "ok    governed", "2 decisions that allow, 1 that deny", "not checked: choice"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let again = ["verify", &*file, "--vkey", &*house.vkey, "--summary"];
    assert_eq!(fails(again.iter().chain(&[&*file])).0, 4, "no summary takes the evidence's place");
    let page = std::fs::read_to_string(&page).unwrap();
    ok(["verify", &file, "--vkey", &house.vkey]);
    assert!(page.contains("Chosen by, as its maker says"));
    for part in [
        "Evidence from ledger.example/test",
        "<code>Agent::&quot;clerk&quot;</code> asked to do <code>refund</code> with <code>Order::&quot;17&quot;</code>",
        "<span class=\"deny\">denied</span>",
        "no-refund-above-500",
        "refund-what-was-paid",
        "@media print",
        "choice: that nothing was left out",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    for forbidden in ["<script", "http://", "https://", "url(", "@import"] {
        assert!(!page.contains(forbidden), "{forbidden} is in the page");
    }

    let mut bytes = std::fs::read(&file).unwrap();
    // The schema says it too; the last one stands in a request.
    let at = bytes.windows(8).rposition(|window| window == b"\"amount\"").unwrap() + 9;
    bytes[at] ^= 1;
    let changed = house.path("changed.bundle");
    std::fs::write(&changed, &bytes).unwrap();
    let unwritten = house.path("changed.html");
    let output = interlock(["verify", &changed, "--vkey", &house.vkey, "--summary", &unwritten]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("bad_commitment"));
    assert!(!std::path::Path::new(&unwritten).exists());
    assert_eq!(interlock(["verify", &file]).status.code(), Some(5), "without a key nobody vouches for it");
    let receipt = interlock(["verify", &house.path("log/log.toml"), "--vkey", &house.vkey, "--summary", &unwritten]);
    assert_eq!(receipt.status.code(), Some(3));
}

#[test]
fn a_bundle_comes_out_of_a_directory_as_it_does_out_of_its_server() {
    let (house, server, permit) = house();
    let log = house.path("log");
    let (fetched, made) = (house.path("fetched"), house.path("made"));
    let search = ["--from", "0", "--outcome", "deny", "--realm", "main", "--epoch", "1"];
    let export = |source: &str, file: &str, more: &[&str]| {
        let arguments = [&["export", source, "-o", file][..], more].concat();
        interlock(arguments)
    };
    assert!(export(&server.public, &fetched, &search).status.success());
    let busy = export(&log, &made, &search);
    assert_eq!(busy.status.code(), Some(4), "the directory is in use");
    server.stop();
    assert!(export(&log, &made, &search).status.success());
    assert_eq!(std::fs::read(&fetched).unwrap(), std::fs::read(&made).unwrap());
    assert_eq!(entries(&made), [0, 1, 3, 5]);
    let by_permit = house.path("by-permit");
    assert!(export(&log, &by_permit, &["--decisions", &permit]).status.success());
    assert_eq!(entries(&by_permit), [0, 1, 2]);
    // What is piped is the bundle and nothing else.
    let piped = interlock(["export", &log, "--decisions", &permit, "-o", "-"]);
    assert_eq!(piped.stdout, std::fs::read(&by_permit).unwrap());
    for (more, code) in [
        (&["--decisions", "99"][..], 4),
        (&["--decisions", "3-"], 2),
        (&["--decisions", "2", "--from", "1"], 2),
        (&["--decisions", "00000000000000000000000000000000"], 1),
        (&["--from", "0", "--realm", "elsewhere"], 1),
        (&["--decisions", "2", "--size", "1000"], 2),
    ] {
        assert_eq!(export(&log, &house.path("none"), more).status.code(), Some(code), "{more:?}");
        assert!(!std::path::Path::new(&house.path("none")).exists());
    }
    assert_eq!(export("http://127.0.0.1:1", &house.path("none"), &[]).status.code(), Some(2), "a whole log over HTTP");
}

#[test]
fn what_a_committed_realm_was_asked_is_in_a_bundle_only_if_its_operator_puts_it_there() {
    let house = House::new();
    let trust = house.path("trust.toml");
    std::fs::write(&trust, "[realms]\nmain = \"committed\"\n").unwrap();
    house.publish_trusting("hello", &trust);
    let server = house.serve();
    Http::new().decide(&server.decisions, &house.api_key, &refund(250)).unwrap();
    let (public, whole) = (house.path("public.bundle"), house.path("whole.bundle"));
    ok(["export", &server.public, "--from", "0", "-o", &public]);
    let refused = fails(["export", &server.public, "--from", "0", "--with-vault", "-o", &whole]);
    assert_eq!(refused.0, 2, "{}", refused.1);
    server.stop();
    ok(["export", &house.path("log"), "--from", "0", "--with-vault", "-o", &whole]);
    let tells = |file: &str| {
        ok(["verify", file, "--vkey", &house.vkey]);
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(7).any(|window| window == b"\"clerk\"")
    };
    assert!(!tells(&public) && tells(&whole));
    let page = house.path("public.html");
    ok(["verify", &public, "--vkey", &house.vkey, "--summary", &page]);
    assert!(std::fs::read_to_string(&page).unwrap().contains("The request is not public: the record commits to it"));
}
