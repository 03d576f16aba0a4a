//! `/openapi.json` of the public listener: the read API's paths, and those that this crate adds.
//!
//! Guarantees: what is served is what stands in `authorizer/openapi.json`, value for value (a test compares them), so a change of the API is
//! seen in review; every path that is routed beside the read API is described (a test reads the tables). Does not: describe the private
//! listener, nor pages.

mod forms;
mod looks;
mod sandbox;

use actix_web::web::{Data, ServiceConfig};
use ledger::http::Document;

/// The document that the public listener serves.
#[must_use]
pub fn document() -> String {
    let more: Vec<_> = looks::operations().into_iter().chain(sandbox::operations()).collect();
    ledger::http::document(&more, super::cost::problems)
}

/// Has the read API serve it.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.app_data(Data::new(Document(document())));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    /// Pages, which are for people.
    const PAGES: [&str; 1] = ["/health"];

    /// Every module that adds paths to the public listener, as `server.rs` calls them.
    const TABLES: [(&str, &str); 4] = [
        ("lineage", include_str!("lineage.rs")),
        ("browse", include_str!("browse/mod.rs")),
        ("history", include_str!("history.rs")),
        ("sandbox", include_str!("sandbox.rs")),
    ];

    #[test]
    fn every_path_beside_the_read_api_is_described_and_no_other() {
        let server = include_str!("server.rs");
        let called: BTreeSet<&str> = server
            .split("::configure(config")
            .filter_map(|before| before.rsplit(|c: char| !c.is_ascii_lowercase()).next())
            .filter(|name| !["", "http", "super", "openapi"].contains(name))
            .collect();
        assert_eq!(called, TABLES.iter().map(|(name, _)| *name).collect());
        let mut routed = BTreeSet::new();
        for (name, source) in TABLES {
            let body = source.split("pub(super) fn configure(").nth(1).unwrap().split("\n}").next().unwrap();
            let paths: Vec<&str> =
                body.split('"').filter(|text| text.starts_with('/') && !text.starts_with("//")).collect();
            assert!(!paths.is_empty(), "{name}: the search looks in the wrong place");
            routed.extend(paths.into_iter().filter(|path| !PAGES.contains(path)));
        }
        let described = looks::operations().into_iter().chain(sandbox::operations());
        let described: BTreeSet<&str> = described.map(|operation| operation.path).collect();
        assert_eq!(described, routed);
    }

    /// Changing it is approving another API: `INTERLOCK_APPROVE=openapi cargo test -p authorizer openapi`.
    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let document = document();
        if std::env::var("INTERLOCK_APPROVE").as_deref() == Ok("openapi") {
            std::fs::write(FILE, &document).unwrap();
        }
        let stands = std::fs::read_to_string(FILE).unwrap_or_default();
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        // As values: the order of fields is a matter of how the JSON library was built.
        assert_eq!(value(&stands), value(&document), "another API; approve it with INTERLOCK_APPROVE=openapi");
    }
}
