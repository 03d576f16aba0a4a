//! The engine against `cedar-policy` itself, and engines against each other.

use authorizer::engine::Published;

use super::{FACTS, content, read, request};

#[test]
fn every_replica_gives_the_same_verdict() {
    let policies = r#"
        @id("b") permit (principal, action, resource) when { principal.n > 3 };
        @id("a") permit (principal, action, resource) when { principal.n > 1 };
        @id("c") forbid (principal, action, resource) when { principal.n > 5 };"#;
    let published = Published::new(content(policies, None)).unwrap();
    let (one, two) = (published.replica().unwrap(), published.replica().unwrap());
    for n in 0..9 {
        let request = request(&read(&format!("{{\"n\":{n}}}"), "{}", "{}", "{}"));
        assert_eq!(one.decide(&request, &FACTS), two.decide(&request, &FACTS));
    }
}
