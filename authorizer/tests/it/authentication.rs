//! Who may call: one answer for every key that does not hold.

use serde_json::json;
use verifier::decision::commitment;
use verifier::record::Record;
use verifier::text::unb64;

use crate::support::{Answer, Site, bearer, read};

const JSON: &str = "application/json";

/// Everything but the date; the HTTP library gives headers in no fixed order.
fn bytes(answer: &Answer) -> (String, Vec<u8>) {
    let mut head: Vec<_> = answer.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect();
    head.sort_unstable();
    (head.join("\n"), answer.body.clone())
}

#[test]
fn no_key_a_wrong_key_and_a_revoked_key_get_the_same_bytes() {
    let site = Site::new();
    let made = site.admin("POST", "/v1/keys", JSON, b"{}").json();
    let (id, revoked) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(site.call("GET", "/v2", &[("Authorization", &bearer(revoked))], b"").status, 404);
    assert_eq!(site.admin("DELETE", &format!("/v1/keys/{id}"), JSON, b"").status, 200);
    let wrong_secret =
        format!("{}{}", revoked.get(..revoked.len() - 1).unwrap(), if revoked.ends_with('0') { '1' } else { '0' });
    let unknown = format!("ilk_{}_{}", "0".repeat(12), "0".repeat(64));
    let before = site.size();
    let body = read("1").to_string();
    let attempts = [
        vec![],
        vec![("Authorization".to_owned(), String::new())],
        vec![("Authorization".to_owned(), "Bearer".to_owned())],
        vec![("Authorization".to_owned(), format!("Basic {}", site.key))],
        vec![("Authorization".to_owned(), bearer("nonsense"))],
        vec![("Authorization".to_owned(), bearer(&unknown))],
        vec![("Authorization".to_owned(), bearer(&wrong_secret))],
        vec![("Authorization".to_owned(), bearer(revoked))],
        vec![("Authorization".to_owned(), bearer(&site.key)), ("Authorization".to_owned(), bearer(&site.key))],
    ];
    let paths = [
        ("POST", "/v1/decisions"),
        ("POST", "/access/v1/evaluation"),
        ("POST", "/access/v1/evaluations"),
        ("POST", "/v1/epochs"),
        ("POST", "/v1/switches"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/permits/00000000000000000000000000000000"),
        ("GET", "/nowhere"),
    ];
    let mut first = None;
    for attempt in &attempts {
        for (method, path) in paths {
            let mut headers: Vec<_> = attempt.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            headers.push(("Content-Type", JSON));
            let answer = site.call(method, path, &headers, body.as_bytes());
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{attempt:?} {path}");
            let bytes = bytes(&answer);
            assert_eq!(first.get_or_insert_with(|| bytes.clone()), &bytes, "{attempt:?} {path}");
        }
    }
    assert_eq!(site.size(), before);
}

#[test]
fn a_service_key_does_not_govern() {
    let site = Site::new();
    let body = site.epoch_body(&[], 1, 2).to_string();
    assert_eq!(site.send("/v1/epochs", JSON, body.as_bytes()).code(), "forbidden");
    assert_eq!(site.send("/v1/switches", "text/plain", b"x").code(), "forbidden");
    assert_eq!(site.send("/v1/keys", JSON, b"{}").code(), "forbidden");
    assert_eq!(site.get("/v1/keys").code(), "forbidden");
    assert_eq!(site.call("DELETE", "/v1/keys/0", &[("Authorization", &bearer(&site.key))], b"").code(), "forbidden");
}

#[test]
fn a_new_key_decides_in_its_realm_and_is_shown_once() {
    let site = Site::new();
    let made = site.admin("POST", "/v1/keys", JSON, json!({ "realm": "lab" }).to_string().as_bytes());
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")));
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    let headers = [("Authorization", &*bearer(key)), ("Content-Type", JSON)];
    let answer = site.call("POST", "/v1/decisions", &headers, read("1").to_string().as_bytes()).json();
    let Record::Decision(decision) = site.verify(&answer) else { panic!("a decision") };
    assert_eq!(decision.realm, "lab");
    let listed = site.admin("GET", "/v1/keys", JSON, b"");
    assert!(listed.text().contains(made["id"].as_str().unwrap()));
    assert!(!listed.text().contains(key.rsplit('_').next().unwrap()));
    assert_eq!(site.admin("POST", "/v1/keys", JSON, b"{\"realm\":\"No\"}").code(), "invalid_value");
    assert_eq!(site.admin("POST", "/v1/keys", JSON, b"{\"role\":\"root\"}").code(), "invalid_value");
    assert_eq!(site.admin("POST", "/v1/keys", JSON, b"{\"realm\":\"a\",\"realm\":\"b\"}").code(), "duplicate_key");
}

#[test]
fn a_key_that_reads_is_told_what_its_committed_realm_was_asked_and_can_do_nothing_else() {
    let (site, _) = Site::with_trust("[realms]\nmain = \"public\"\nclinic = \"committed\"\n");
    let asks = site.key_of("clinic");
    let key = |realm: &str| {
        let body = json!({ "realm": realm, "role": "read" }).to_string();
        site.admin("POST", "/v1/keys", JSON, body.as_bytes()).json()["key"].as_str().unwrap().to_owned()
    };
    let (reads, elsewhere) = (key("clinic"), key("main"));
    let with = |key: &str, method: &str, path: &str, body: &[u8]| {
        site.call(method, path, &[("Authorization", &*bearer(key)), ("Content-Type", JSON)], body)
    };
    let body = read("1").to_string();
    let answer = with(&asks, "POST", "/v1/decisions", body.as_bytes()).json();
    let path = format!("/v1/requests/{}", answer["index"]);
    let told = with(&reads, "GET", &path, b"");
    assert_eq!((told.status, told.header("cache-control")), (200, Some("no-store")), "{}", told.text());
    let told = told.json();
    let Record::Decision(decision) = site.verify(&answer) else { panic!("a decision") };
    let part = |name: &str| {
        let bytes = |field: &str| unb64(told[name][field].as_str().unwrap()).unwrap();
        (<[u8; 16]>::try_from(bytes("salt")).unwrap(), bytes("bytes"))
    };
    let ((salt, request), (detail_salt, detail)) = (part("request"), part("detail"));
    assert_eq!(request, body.as_bytes());
    assert_eq!(decision.request, commitment(&salt, &request));
    assert_eq!(decision.detail, commitment(&detail_salt, &detail));
    assert_eq!(told["permit"], answer["permit"]);
    // Neither the keys that ask or govern nor one of another realm; and whatever is not its own is one and the same nothing.
    assert_eq!(with(&asks, "GET", &path, b"").code(), "forbidden");
    assert_eq!(site.admin("GET", &path, JSON, b"").code(), "forbidden");
    let nothing = ["/v1/requests/0", "/v1/requests/999", "/v1/requests/01", "/v1/requests/x"];
    for other in nothing.into_iter().chain([&*path]) {
        assert_eq!(with(&elsewhere, "GET", other, b"").code(), "not_found", "{other}");
    }
    assert_eq!(site.call("GET", &path, &[], b"").code(), "unauthorized");
    assert_eq!(with(&reads, "GET", &format!("{path}?a=b"), b"").code(), "invalid_query");
    let before = site.size();
    for (method, path) in [
        ("POST", "/v1/decisions"),
        ("POST", "/access/v1/evaluations"),
        ("POST", "/access/v1/search/subject"),
        ("POST", "/v1/statements"),
        ("POST", "/add"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/events"),
        ("GET", "/v1/permits/00000000000000000000000000000000"),
        ("GET", "/v1/governance"),
        ("GET", "/nowhere"),
    ] {
        let refused = with(&reads, method, path, body.as_bytes());
        assert_eq!(refused.status, 403, "{method} {path} {}", refused.text());
    }
    assert_eq!(site.size(), before);
}
