//! `/openapi.json`: what this listener answers, as OpenAPI 3.1, made of the limits, media types and codes that the handlers use.
//!
//! Guarantees: every path of the one table in `http.rs` is described, and none that is not there (a test reads that table); each status that
//! an operation can have is listed with its codes. Whether answers have the form that is said here, a property test asks a running server
//! (`tools/api/check`).
//! Does not: describe pages and their parts, nor ranges of bytes, which are not served.

mod paths;
mod schemas;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::answer::{JSON, fresh};
use super::problem::{Code, Problem};
use super::query::Query;

pub use schemas::{object, reference};

/// OpenMetrics 1.0, as `page.rs` sends it; the property test holds the two against each other.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The document that is served, with what else stands on the listener. Without it the paths of this module alone are described.
#[derive(Debug, Clone)]
pub struct Document(pub String);

/// How a path is asked.
#[derive(Debug, Clone)]
pub enum Method {
    /// By GET and HEAD.
    Read,
    /// By POST of a body.
    Post {
        /// Its media type.
        media_type: &'static str,
        /// Its form.
        schema: Value,
        /// Its bytes, at most.
        most: usize,
    },
}

/// One path, asked in one way.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// How it is asked.
    pub method: Method,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Parameters, as OpenAPI has them.
    pub parameters: Vec<Value>,
    /// Media types of a good answer, and their schemas.
    pub answers: Vec<(&'static str, Value)>,
    /// Whether a client that has the answer is told so.
    pub conditional: bool,
    /// Statuses and codes of problems, beside those of every path.
    pub problems: Vec<(u16, &'static str)>,
}

/// Serves the document.
pub(super) async fn serve(
    request: HttpRequest,
    document: Option<web::Data<Document>>,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let text = document.map_or_else(|| self::document(&[], |_| &[]), |document| document.0.clone());
    fresh(&request, JSON, text).await
}

/// The document about the paths of this module and some more. `before` tells which problems the listener may answer at a path before the
/// path is asked.
#[must_use]
pub fn document(more: &[Operation], before: impl Fn(&str) -> &'static [(u16, &'static str)]) -> String {
    let mut paths: Map<String, Value> = Map::new();
    for mut operation in paths::operations().into_iter().chain(more.iter().cloned()) {
        operation.problems.extend(before(operation.path));
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.extend(operation.methods());
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Interlock: public read API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "What strangers need to follow the log and to check it, without a key.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [],
        "paths": paths,
        "components": {"schemas": schemas::all()},
    });
    // Strings and numbers always serialise; one line a field, so that a change can be read.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

impl Operation {
    fn methods(&self) -> Map<String, Value> {
        let responses = self.responses();
        let operation = |responses: &Map<String, Value>| json!({"summary": self.summary, "parameters": self.parameters, "responses": responses});
        let mut methods = Map::new();
        match &self.method {
            Method::Read => {
                let mut head = responses.clone();
                // An answer to HEAD has the head alone.
                for answer in head.values_mut().filter_map(Value::as_object_mut) {
                    answer.remove("content");
                }
                methods.insert("get".to_owned(), operation(&responses));
                methods.insert("head".to_owned(), operation(&head));
            }
            Method::Post { media_type, schema, most } => {
                let content = Map::from_iter([((*media_type).to_owned(), json!({"schema": schema}))]);
                let body =
                    json!({"required": true, "description": format!("At most {most} bytes"), "content": content});
                let mut post = operation(&responses);
                if let Some(post) = post.as_object_mut() {
                    post.insert("requestBody".to_owned(), body);
                }
                methods.insert("post".to_owned(), post);
            }
        }
        methods
    }

    fn responses(&self) -> Map<String, Value> {
        let content: Map<String, Value> =
            self.answers.iter().map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema}))).collect();
        let mut responses = Map::new();
        responses.insert("200".to_owned(), json!({"description": self.summary, "content": content}));
        if self.conditional {
            responses.insert("304".to_owned(), json!({"description": "`If-None-Match` names what the client has"}));
        }
        let mut problems = self.problems.clone();
        problems.sort_unstable();
        problems.dedup();
        for (status, _) in &problems {
            let codes: Vec<&str> =
                problems.iter().filter(|(other, _)| other == status).map(|(_, code)| *code).collect();
            let schema =
                json!({"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": codes}}}]});
            let problem = json!({
                "description": format!("`{}`", codes.join("`, `")),
                "content": {"application/problem+json": {"schema": schema}},
            });
            responses.insert(status.to_string(), problem);
        }
        responses
    }
}

/// A path that is read as everything here is: with validators and codings, and by the codes of every path beside its own.
#[must_use]
pub fn read_path(
    path: &'static str,
    summary: &'static str,
    parameters: &[Value],
    answers: &[(&'static str, Value)],
    codes: &[Code],
) -> Operation {
    let every =
        [Code::UnknownParameter, Code::MalformedParameter, Code::NotAcceptable, Code::Damaged, Code::Unavailable];
    let problems = every.iter().chain(codes).map(|code| (code.status().as_u16(), code.name())).collect();
    let (parameters, answers) = (parameters.into(), answers.into());
    Operation { path, method: Method::Read, summary, parameters, answers, conditional: true, problems }
}

/// A parameter in the path.
#[must_use]
pub fn path(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

/// The same, with a value that a log of any size has; it is what a reader tries first.
#[must_use]
pub fn such_as(mut parameter: Value, example: &Value) -> Value {
    if let Some(fields) = parameter.as_object_mut() {
        fields.insert("example".to_owned(), example.clone());
    }
    parameter
}

/// A parameter in the query.
#[must_use]
pub fn query(name: &str, schema: Value, required: bool) -> Value {
    json!({"name": name, "in": "query", "required": required, "schema": schema})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The page whose head the server writes into it; all others are one loop over `site::paths()`.
    const PAGES: [&str; 1] = ["/"];

    #[test]
    fn every_path_of_the_table_is_described_with_its_methods_and_no_other() {
        let table = include_str!("../http.rs").split("#[must_use]").next().unwrap();
        let mut routed = BTreeSet::new();
        for service in table.split(".service(").skip(1) {
            let Some(path) = service.split('"').nth(1).filter(|path| !PAGES.contains(path)) else { continue };
            let methods = [("route(read()", "get"), ("web::post()", "post")];
            routed.extend(methods.iter().filter(|(word, _)| service.contains(word)).map(|(_, name)| (path, *name)));
        }
        assert!(routed.len() > 15, "the search looks in the wrong place");
        let operations = paths::operations();
        let described: BTreeSet<_> = operations
            .iter()
            .filter(|operation| !operation.path.starts_with("/tile/"))
            .map(|operation| (operation.path, if matches!(operation.method, Method::Read) { "get" } else { "post" }))
            .collect();
        assert_eq!(described, routed);
        assert!(table.contains("web::scope(\"/tile\")"));
    }

    #[test]
    fn every_code_of_a_path_is_in_the_document_with_its_status() {
        let document: Value = serde_json::from_str(&document(&[], |_| &[])).unwrap();
        let said = document["paths"].to_string();
        for code in Code::ALL {
            // Of paths and methods that there are not.
            let elsewhere = code == Code::MethodNotAllowed;
            assert!(elsewhere || said.contains(&format!("\"{}\"", code.name())), "{}", code.name());
        }
    }
}
