//! What a stranger sends to the sandbox: a small epoch's content and one request.
//!
//! Guarantees: each text has a limit of its own, and what is wrong with the policies is told with its place in the text that was sent, not in
//! the one policy that it was cut into; at most so many findings are told. Does not: evaluate.

use actix_web::web::Bytes;
use serde::Deserialize;
use verifier::epoch::EpochContent;

use super::Refused;
use super::samples;
use crate::engine::{Finding, FindingCode, Part, Position, PublishError, split_policies};

/// A body with all of its texts, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// The policies; the largest of our samples have 5 KiB.
pub const MAX_POLICIES_BYTES: usize = 16 * 1024;
/// How many policies.
pub const MAX_POLICIES: usize = 64;
/// The schema.
pub const MAX_SCHEMA: usize = 16 * 1024;
/// The registered entities.
pub const MAX_ENTITIES: usize = 16 * 1024;
/// The trust file.
pub const MAX_TRUST: usize = 8 * 1024;
/// The request.
pub const MAX_REQUEST: usize = 16 * 1024;
/// Findings that are told: whoever has more repairs these first.
const MAX_FINDINGS: usize = 16;
/// Characters of one finding: Cedar quotes the text that it means.
const MAX_MESSAGE: usize = 600;

/// The body: the texts themselves, or the name of a sample (`SET/REQUEST`). The request is a text as well, since what is committed to is its
/// bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    sample: Option<String>,
    policies: Option<String>,
    schema: Option<String>,
    entities: Option<String>,
    trust: Option<String>,
    request: Option<String>,
}

/// What is to be decided.
#[derive(Debug)]
pub struct Asked {
    /// The policies as one text.
    policies: String,
    schema: Option<String>,
    entities: Option<String>,
    trust: Option<String>,
    /// The request's bytes.
    pub request: Bytes,
}

impl Asked {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Refused::Body`], [`Refused::NoSample`], [`Refused::TooLong`].
    pub fn read(body: &[u8]) -> Result<Self, Refused> {
        // An array would be taken for the fields in their order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refused::Body("the body is a JSON object".to_owned()));
        }
        let sent: Sent = serde_json::from_slice(body).map_err(|error| match error.is_data() {
            true => Refused::Body(format!("{error}; each member is a string, `request` too: the request's own text")),
            false => Refused::Body(error.to_string()),
        })?;
        let body = |why: &str| Refused::Body(why.to_owned());
        let asked = match sent {
            Sent { sample: Some(name), policies: None, schema: None, entities: None, trust: None, request: None } => {
                samples::asked(&name).ok_or(Refused::NoSample)?
            }
            Sent { sample: Some(_), .. } => return Err(body("`sample` stands alone: the sample has its own texts")),
            Sent { policies: Some(policies), schema, entities, trust, request: Some(request), .. } => {
                // What an editor leaves empty is absent.
                let some = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
                let request = Bytes::copy_from_slice(request.trim().as_bytes());
                Asked { policies, schema: some(schema), entities: some(entities), trust: some(trust), request }
            }
            Sent { .. } => return Err(body("`policies` and `request` are needed, or `sample`")),
        };
        asked.measured()
    }

    pub(super) fn of(
        policies: &str,
        schema: Option<&str>,
        entities: Option<&str>,
        trust: Option<&str>,
        request: &str,
    ) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let request = Bytes::copy_from_slice(request.as_bytes());
        Asked {
            policies: policies.to_owned(),
            schema: text(schema),
            entities: text(entities),
            trust: text(trust),
            request,
        }
    }

    fn measured(self) -> Result<Self, Refused> {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        for (name, length, limit) in [
            ("policies", self.policies.len(), MAX_POLICIES_BYTES),
            ("schema", length(&self.schema), MAX_SCHEMA),
            ("entities", length(&self.entities), MAX_ENTITIES),
            ("trust", length(&self.trust), MAX_TRUST),
            ("request", self.request.len(), MAX_REQUEST),
        ] {
            if length > limit {
                return Err(Refused::TooLong { name, limit });
            }
        }
        Ok(self)
    }

    /// The content of the epoch that the request is decided under.
    ///
    /// # Errors
    /// [`PublishError`]: what is wrong with the policies' text.
    pub fn content(&self) -> Result<EpochContent, PublishError> {
        let policies = split_policies(&self.policies)?;
        if policies.len() > MAX_POLICIES {
            let message = format!("{} policies; at most {MAX_POLICIES} are taken here", policies.len());
            return Err(PublishError {
                findings: vec![Finding { code: FindingCode::TooCostly, part: Part::Policies, at: None, message }],
            });
        }
        let Asked { schema, entities, trust, .. } = self;
        Ok(EpochContent { policies, schema: schema.clone(), entities: entities.clone(), trust: trust.clone() })
    }

    /// Findings as they are told: with places in the text that was sent, and not too many of them.
    pub fn told(&self, content: Option<&EpochContent>, error: PublishError) -> PublishError {
        let mut findings = error.findings;
        findings.truncate(MAX_FINDINGS);
        for finding in &mut findings {
            if let (Part::Policy(id), Some(at), Some(content)) = (&finding.part, finding.at, content) {
                finding.at = self.place(content, id).map(|start| from(start, at));
            }
            if let Some((end, _)) = finding.message.char_indices().nth(MAX_MESSAGE) {
                finding.message.truncate(end);
                finding.message.push('…');
            }
        }
        PublishError { findings }
    }

    /// Where a policy begins. Of two with the same text, which `@id` forbids, the first.
    fn place(&self, content: &EpochContent, id: &str) -> Option<Position> {
        let (_, text) = content.policies.iter().find(|(this, _)| this == id)?;
        Some(Position::of(&self.policies, self.policies.find(text.as_str())?))
    }
}

/// A place in a text that begins at another place.
fn from(start: Position, at: Position) -> Position {
    match at.line {
        1 => Position { line: start.line, column: start.column + at.column - 1 },
        line => Position { line: start.line + line - 1, column: at.column },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Published;

    const REQUEST: &str = r#"{"subject":{"type":"A","id":"a"},"action":{"name":"x"},"resource":{"type":"R","id":"r"}}"#;

    fn sent(policies: &str, schema: &str) -> Asked {
        let body = serde_json::json!({ "policies": policies, "schema": schema, "request": REQUEST, "trust": " \n" });
        Asked::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_policy_is_told_with_its_place_in_the_whole_text() {
        let schema = "entity A; entity R; action x appliesTo { principal: A, resource: R };";
        let policies = "// first\n@id(\"one\")\npermit (principal, action, resource);\n\n  @id(\"two\") permit (principal, action, resource)\nwhen { principal.nothing };\n";
        let asked = sent(policies, schema);
        let content = asked.content().unwrap();
        let error = Published::of_stranger(content.clone()).unwrap_err();
        let told = asked.told(Some(&content), error);
        let Finding { part, at, .. } = &told.findings[0];
        assert_eq!((part, *at), (&Part::Policy("two".into()), Some(Position { line: 6, column: 8 })), "{told}");
        assert!(asked.trust.is_none(), "an empty text is absent");
    }

    #[test]
    fn a_body_is_an_object_and_no_list_of_its_fields() {
        for body in
            ["[null, \"\", null, null, null, \"{}\"]", " [\"hello/what-was-paid\",null,null,null,null,null]", ""]
        {
            assert!(matches!(Asked::read(body.as_bytes()), Err(Refused::Body(_))), "{body}");
        }
        assert!(Asked::read(b" {\"sample\":\"hello/what-was-paid\"}").is_ok());
    }

    #[test]
    fn a_text_that_is_not_cedar_is_told_with_its_place() {
        let error = sent("@id(\"a\") permit (principal, action, resource);\nnonsense here;", "").content().unwrap_err();
        assert_eq!(error.findings[0].at, Some(Position { line: 2, column: 10 }), "{error}");
    }

    #[test]
    fn a_finding_is_told_in_a_few_words_and_few_are_told() {
        let findings =
            vec![
                Finding { code: FindingCode::PolicyInvalid, part: Part::Schema, at: None, message: "ä".repeat(9_999) };
                99
            ];
        let told = sent("", "").told(None, PublishError { findings });
        assert_eq!(told.findings.len(), MAX_FINDINGS);
        assert!(told.findings.iter().all(|finding| finding.message.chars().count() == MAX_MESSAGE + 1));
    }
}
