//! Which subjects an entry of the trust configuration is about: a type, or one subject by name.

use serde::Deserialize;
use verifier::act::Target;
use verifier::request::Entity;

/// `Type`, or `Type::"id"` for one subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Selector {
    /// Every subject of a type.
    Type(String),
    /// One subject: type and id.
    One(String, String),
}

impl Selector {
    /// Whether it is about this subject.
    pub fn holds(&self, subject: &Entity) -> bool {
        match self {
            Self::Type(kind) => *kind == subject.kind,
            Self::One(kind, id) => *kind == subject.kind && *id == subject.id,
        }
    }

    /// Whether it is about the subject of this type and id.
    pub fn is(&self, kind: &str, id: &str) -> bool {
        match self {
            Self::Type(this) => this == kind,
            Self::One(this, named) => this == kind && named == id,
        }
    }

    /// The type that it names.
    pub fn kind(&self) -> &str {
        match self {
            Self::Type(kind) | Self::One(kind, _) => kind,
        }
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let malformed = || format!("`{text}` is neither a type nor `Type::\"id\"`");
        if text.contains('"') {
            return match named(&text) {
                Some((kind, id)) => Ok(Self::One(kind, id)),
                None => Err(malformed()),
            };
        }
        let segment = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        if text.split("::").all(segment) { Ok(Self::Type(text)) } else { Err(malformed()) }
    }
}

/// Type and id of a subject that is written as `Type::"id"`, as in `delegates` and in a switch's target.
pub fn named(text: &str) -> Option<(String, String)> {
    match Target::parse(&format!("subject {text}")) {
        Ok(Target::Subject(kind, id)) => Some((kind, id)),
        Ok(Target::Global | Target::Realm(_) | Target::Action(_) | Target::Policy(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use verifier::json::Object;

    use super::*;

    #[test]
    fn a_selector_is_a_type_or_one_subject_and_nothing_else() {
        let read = |text: &str| Selector::try_from(text.to_owned()).ok();
        assert_eq!(read("N::Agent"), Some(Selector::Type("N::Agent".into())));
        assert_eq!(read("Agent::\"a b\""), Some(Selector::One("Agent".into(), "a b".into())));
        for text in [
            "",
            "*",
            "Agent*",
            "Agent::\"\"",
            "::\"a\"",
            "Agent::\"a",
            "\"a\"",
            "Agent::a\"",
            "Bot::",
            "::Bot",
            "A:B",
            " Bot::\"a\"",
            "Bot ::\"a\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let subject = |kind: &str, id: &str| Entity { kind: kind.into(), id: id.into(), properties: Object::default() };
        let (every, one) = (read("Agent").unwrap(), read("Agent::\"a\"").unwrap());
        assert!(every.holds(&subject("Agent", "a")) && every.holds(&subject("Agent", "b")));
        assert!(one.holds(&subject("Agent", "a")) && !one.holds(&subject("Agent", "b")));
        assert!(!every.holds(&subject("Bot", "a")) && !one.holds(&subject("Bot", "a")));
    }
}
