//! What one key may take (threat 23).

use serde_json::{Value, json};

use crate::support::{Site, bearer, read};

const HOURS: usize = 4_096; // records at one a second

fn limited(site: &Site, quota: Value) -> String {
    let made = site.admin("POST", "/v1/keys", "application/json", quota.to_string().as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["key"].as_str().unwrap().to_owned()
}

fn post(site: &Site, key: &str, path: &str, body: &Value) -> crate::support::Answer {
    let headers = [("Authorization", bearer(key)), ("Content-Type", "application/json".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    site.call("POST", path, &headers, body.to_string().as_bytes())
}

#[test]
fn a_key_takes_what_it_was_made_for_and_others_are_not_held_up() {
    let mut site = Site::new();
    let slow = limited(&site, json!({ "records_per_second": 1 }));
    let many: Vec<Value> = (0..HOURS).map(|n| read(&n.to_string())).collect();
    assert_eq!(post(&site, &slow, "/v1/decisions", &json!(many)).status, 200, "one body is taken whole");
    let size = site.size();
    for (path, body) in [
        ("/v1/decisions", read("x")),
        ("/access/v1/evaluation", read("x")),
        ("/access/v1/evaluations", json!({ "evaluations": [read("x")] })),
        ("/v1/statements", json!({})),
    ] {
        let refused = post(&site, &slow, path, &body);
        assert_eq!(refused.status, 429, "{path}: {}", refused.text());
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 3_000);
        assert!(refused.text().contains("quota"), "{}", refused.text());
    }
    assert_eq!(site.size(), size, "nothing was recorded");
    assert_eq!(site.post("/v1/decisions", &read("x")).status, 200, "another key has room");

    let narrow = limited(&site, json!({ "bytes_per_second": 10 }));
    assert_eq!(post(&site, &narrow, "/v1/decisions", &json!(many)).status, 200);
    assert_eq!(post(&site, &narrow, "/v1/decisions", &read("x")).code(), "quota");
    // It stands in the key file: a restart forgets what was taken, and not what may be.
    site.restart();
    assert_eq!(post(&site, &slow, "/v1/decisions", &json!(many)).status, 200);
    assert_eq!(post(&site, &slow, "/v1/decisions", &read("x")).code(), "quota");
    let keys = site.admin("GET", "/v1/keys", "", b"").json();
    let listed = |field: &str| keys["keys"].as_array().unwrap().iter().filter(|key| key[field].is_number()).count();
    assert_eq!((listed("records_per_second"), listed("bytes_per_second")), (1, 1));
    let wrong = site.admin("POST", "/v1/keys", "application/json", br#"{"records_per_second":0}"#);
    assert_eq!(wrong.code(), "invalid_value");
}

/// Each piece of evidence costs a signature check.
#[test]
fn a_key_pays_for_the_evidence_that_its_requests_bring() {
    let site = Site::new();
    let slow = limited(&site, json!({ "records_per_second": 1 }));
    let mut request = read("x");
    request["assertions"] = json!(vec!["x"; 8]);
    let denied = post(&site, &slow, "/v1/decisions", &json!([request]));
    assert_eq!(denied.json()[0]["reasons"], json!(["assertion_malformed"]), "{}", denied.text());
    let refused = post(&site, &slow, "/v1/decisions", &read("x"));
    assert_eq!(refused.code(), "quota");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 4, "one record would be paid for by now");
}
