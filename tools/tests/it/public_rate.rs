//! `serve --public-rate`: what one address may ask of the public listener.

use serde_json::Value;

use crate::house::{House, Http, Server};

/// What is answered to somebody who asks on and on.
fn asked_on(public: &str) -> (u16, Value) {
    let http = Http::new();
    let (status, body) = (0..200)
        .map(|_| http.get(&format!("{public}/v1/log")))
        .find(|(status, _)| *status != 200)
        .unwrap_or_else(|| panic!("all of it was served"));
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn an_operator_says_what_one_address_may_ask() {
    let house = House::new();
    house.publish("hello");
    {
        let server = Server::start(&house.path("log"), &["--public-rate", "1"]);
        let (status, said) = asked_on(&server.public);
        assert_eq!((status, said["code"].as_str()), (429, Some("quota")), "{said}");
        server.stop();
    }
    let server = Server::start(&house.path("log"), &[]);
    let http = Http::new();
    let all = (0..200).all(|_| http.get(&format!("{}/v1/log", server.public)).0 == 200);
    assert!(all, "without it this machine is not held up");
}
