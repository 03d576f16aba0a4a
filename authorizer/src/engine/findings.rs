//! What is wrong with an epoch's content: closed codes, the part that is meant, and where in its text.

use std::fmt;

use miette::Diagnostic;
use thiserror::Error;

/// The part of an epoch's content that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The whole list of policies, or a file of them.
    Policies,
    /// One policy, by its id.
    Policy(String),
    /// The schema.
    Schema,
    /// The registered entities.
    Entities,
    /// The trust configuration.
    Trust,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policies => f.write_str("policies"),
            Self::Policy(id) => write!(f, "policy `{id}`"),
            Self::Schema => f.write_str("schema"),
            Self::Entities => f.write_str("entities"),
            Self::Trust => f.write_str("trust"),
        }
    }
}

/// Why an epoch is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingCode {
    /// A text is nested deeper than the parser's stack is made for.
    TooDeep,
    /// In the sandbox: a stranger's content that would take too long to validate.
    TooCostly,
    /// The content could not be checked, for want of a thread or by a fault of the checker; it is refused.
    NotChecked,
    /// A policy is not Cedar.
    PolicySyntax,
    /// A policy has no `@id`, or another one than it is published under, or one that is too long.
    PolicyId,
    /// Two policies have the same `@id`.
    DuplicatePolicyId,
    /// A policy does not hold under the schema (Cedar's strict validation).
    PolicyInvalid,
    /// The schema is not Cedar's schema syntax, or contradicts itself.
    SchemaInvalid,
    /// An action stands in a namespace, where no request can name it.
    ActionInNamespace,
    /// The schema declares `context.action` or `context.interlock` in a way that cannot be filled.
    ReservedContext,
    /// The entities are not Cedar's JSON entity format, or do not hold under the schema.
    EntitiesInvalid,
    /// The trust configuration is not the TOML that is documented: unknown fields are refused.
    TrustInvalid,
    /// The trust configuration requires a condition that does not exist.
    UnknownCondition,
    /// The trust configuration names an action that the schema does not declare.
    UnknownAction,
    /// The trust configuration names a type of subjects that the schema does not declare.
    UnknownType,
    /// The trust configuration requires what its own grants and limits can never give.
    TrustImpossible,
    /// An entry of the trust configuration has no effect.
    TrustUnused,
    /// The compiled engine answers a request otherwise than plain Cedar: a fault of this version, and the epoch is refused.
    CompiledDiffers,
}

impl FindingCode {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooDeep => "too_deep",
            Self::TooCostly => "too_costly",
            Self::NotChecked => "not_checked",
            Self::PolicySyntax => "policy_syntax",
            Self::PolicyId => "policy_id",
            Self::DuplicatePolicyId => "duplicate_policy_id",
            Self::PolicyInvalid => "policy_invalid",
            Self::SchemaInvalid => "schema_invalid",
            Self::ActionInNamespace => "action_in_namespace",
            Self::ReservedContext => "reserved_context",
            Self::EntitiesInvalid => "entities_invalid",
            Self::TrustInvalid => "trust_invalid",
            Self::UnknownCondition => "unknown_condition",
            Self::UnknownAction => "unknown_action",
            Self::UnknownType => "unknown_type",
            Self::TrustImpossible => "trust_impossible",
            Self::TrustUnused => "trust_unused",
            Self::CompiledDiffers => "compiled_differs",
        }
    }
}

/// A place in a text: both numbers from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The place of a byte offset; beyond the end it is the end.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub code: FindingCode,
    /// In which part.
    pub part: Part,
    /// Where in that part's text, if that can be said.
    pub at: Option<Position>,
    /// In words.
    pub message: String,
}

impl Finding {
    pub(super) fn new(code: FindingCode, part: Part, message: impl Into<String>) -> Self {
        Self { code, part, at: None, message: message.into() }
    }

    pub(super) fn at(mut self, position: Position) -> Self {
        self.at = Some(position);
        self
    }

    /// What Cedar says about a text, with its help and the first place that it points to.
    pub(super) fn diagnosed(code: FindingCode, part: Part, text: &str, error: &dyn Diagnostic) -> Self {
        let label = error.labels().and_then(|mut labels| labels.next());
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !message.contains(&inner_text) {
                message = format!("{message}: {inner_text}");
            }
            cause = inner.source();
        }
        if let Some(help) = error.help() {
            message = format!("{message} ({help})");
        }
        Self { code, part, at: label.map(|label| Position::of(text, label.offset())), message }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.part)?;
        if let Some(Position { line, column }) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}: {}", self.code.name(), self.message)
    }
}

/// All that is wrong with an epoch's content; it is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.lines())]
pub struct PublishError {
    /// Never empty.
    pub findings: Vec<Finding>,
}

impl PublishError {
    fn lines(&self) -> String {
        self.findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl From<Vec<Finding>> for PublishError {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings }
    }
}

impl From<Finding> for PublishError {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let text = "ä b\nccc";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 2), Position { line: 1, column: 2 });
        assert_eq!(Position::of(text, 5), Position { line: 2, column: 1 });
        assert_eq!(Position::of(text, 99), Position { line: 2, column: 4 });
    }
}
