//! A running log, read and checked by code that is not ours: `tools/interop`, a Go program over `golang.org/x/mod/sumdb/{tlog,note}` and
//! `go-cose`. It needs Go (`tools/check` installs it) and the Go module proxy once; without Go the test fails and says so.

use std::process::Command;

use serde_json::Value;

use crate::house::{House, Http, refund, root};

#[test]
fn go_reads_our_tiles_and_verifies_every_record_tree_and_receipt() {
    let house = House::new();
    house.publish("hello");
    let server = house.serve();
    let http = Http::new();
    let mut decided = 0;
    // Sizes on both sides of a full tile, and heads enough that every pair of them says something.
    for count in [1_u32, 2, 40, 206, 5, 1, 300, 77] {
        let body: Vec<String> = (0..count).map(|number| refund(number % 600)).collect();
        let (status, answer) =
            http.decide(&server.decisions, &house.api_key, &format!("[{}]", body.join(","))).unwrap();
        assert_eq!(status, 200, "{answer}");
        decided += u64::from(count);
    }

    let program = house.path("interop");
    let folder = root().join("tools/interop");
    let built = Command::new("go").args(["build", "-o", &program, "."]).current_dir(&folder).output();
    let built = built.unwrap_or_else(|error| panic!("Go is missing (`tools/check` installs it): {error}"));
    assert!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
    let run = |vkey: &str| Command::new(&program).args(["-url", &server.public, "-vkey", vkey]).output().unwrap();

    let output = run(&house.vkey);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("checked by Go: {counts}");
    let count = |name: &str| counts[name].as_u64().unwrap();
    let (size, heads) = (count("size"), count("heads"));
    assert!(size > decided && heads >= 9, "{counts}");
    for each_record in ["records", "record_proofs", "receipts"] {
        assert_eq!(count(each_record), size, "{each_record}: {counts}");
    }
    // Every head but the empty one, in itself and in every later one; in COSE not in itself.
    assert_eq!(count("tree_proofs"), heads * (heads - 1) / 2, "{counts}");
    assert_eq!(count("cose_consistencies"), (heads - 1) * (heads - 2) / 2, "{counts}");
    assert!(count("cose_inclusions") > 200 && count("served_proofs") > 200 && count("tiles") > 10, "{counts}");

    let stranger = House::new();
    let refused = run(&stranger.vkey);
    assert_eq!(refused.status.code(), Some(1), "another key is not believed");
}
