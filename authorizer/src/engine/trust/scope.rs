//! Scopes: what a permit may be used for, as a small closed language.
//!
//! A scope is 1 to 16 segments joined by `:`, at most 255 bytes. A segment is graphic ASCII without `:` and `*`, or `*`: any one segment;
//! the last may be `**`: one or more segments. `mail:read:*` covers `mail:read:inbox`, not `mail:read` nor `mail:read:inbox:7`.
//!
//! Guarantees: [`Scope::covers`] is exactly inclusion of what the two scopes stand for. Does not: join scopes; two that together cover a
//! third do not cover it.

use std::fmt;

use serde::Deserialize;

/// A scope has at most so many bytes.
pub const MAX_SCOPE: usize = 255;
/// A scope has at most so many segments: it is compared segment by segment for each decision.
pub const MAX_SEGMENTS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Text(Box<str>),
    One,
    Rest,
}

/// A scope or a pattern of scopes: what a permit holds may be a pattern too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Scope(Vec<Segment>);

impl Scope {
    /// Reads a scope; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_SCOPE {
            return None;
        }
        let segments: Vec<Segment> = text.split(':').map(segment).collect::<Option<_>>()?;
        let (_, before) = segments.split_last()?;
        let sound = segments.len() <= MAX_SEGMENTS && !before.contains(&Segment::Rest);
        sound.then_some(Self(segments))
    }

    /// Whether all that `other` stands for is among what this one stands for.
    pub fn covers(&self, other: &Self) -> bool {
        let mut others = other.0.iter();
        for mine in &self.0 {
            match (mine, others.next()) {
                (Segment::Rest, Some(_)) => return true,
                (Segment::One, Some(Segment::Text(_) | Segment::One)) => {}
                (Segment::Text(a), Some(Segment::Text(b))) if a == b => {}
                (Segment::One, Some(Segment::Rest)) | (Segment::Text(_), Some(_)) | (_, None) => return false,
            }
        }
        others.next().is_none()
    }
}

/// Whether each scope of `wanted` is covered by one of `held`.
pub fn all_covered(held: &[&Scope], wanted: &[Scope]) -> bool {
    wanted.iter().all(|scope| held.iter().any(|held| held.covers(scope)))
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a scope"))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, segment) in self.0.iter().enumerate() {
            let text = match segment {
                Segment::Text(text) => text,
                Segment::One => "*",
                Segment::Rest => "**",
            };
            write!(f, "{}{text}", if n > 0 { ":" } else { "" })?;
        }
        Ok(())
    }
}

fn segment(text: &str) -> Option<Segment> {
    match text {
        "*" => Some(Segment::One),
        "**" => Some(Segment::Rest),
        _ if text.is_empty() || text.contains('*') => None,
        _ => text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Segment::Text(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    /// All words of `letters` with 1 to `most` segments.
    fn words(letters: &[&str], most: usize) -> Vec<String> {
        let mut all: Vec<String> = letters.iter().map(|&letter| letter.to_owned()).collect();
        let mut from = 0;
        for _ in 1..most {
            let to = all.len();
            let longer: Vec<String> =
                all[from..to].iter().flat_map(|word| letters.iter().map(move |l| format!("{word}:{l}"))).collect();
            from = to;
            all.extend(longer);
        }
        all
    }

    #[test]
    fn covering_is_inclusion_of_what_scopes_stand_for() {
        let plain: Vec<Scope> = words(&["a", "b"], 4).iter().map(|word| scope(word)).collect();
        let patterns: Vec<Scope> =
            words(&["a", "b", "*", "**"], 3).iter().filter_map(|word| Scope::parse(word)).collect();
        assert!(plain.len() == 30 && patterns.len() > 50);
        let stands_for = |pattern: &Scope| plain.iter().map(|word| pattern.covers(word)).collect::<Vec<_>>();
        let meanings: Vec<Vec<bool>> = patterns.iter().map(stands_for).collect();
        for (a, mine) in patterns.iter().zip(&meanings) {
            for (b, theirs) in patterns.iter().zip(&meanings) {
                let included = mine.iter().zip(theirs).all(|(mine, theirs)| *mine || !*theirs);
                assert_eq!(a.covers(b), included, "{a} covers {b}");
            }
        }
    }

    #[test]
    fn patterns_stand_for_what_is_documented() {
        for (pattern, word, covers) in [
            ("mail:read:*", "mail:read:inbox", true),
            ("mail:read:*", "mail:read", false),
            ("mail:read:*", "mail:read:inbox:7", false),
            ("mail:**", "mail:read:inbox:7", true),
            ("mail:**", "mail", false),
            ("*:read", "mail:read", true),
            ("*:read", "mail:write", false),
            ("**", "x", true),
            ("mail", "Mail", false),
        ] {
            assert_eq!(scope(pattern).covers(&scope(word)), covers, "{pattern} {word}");
        }
    }

    #[test]
    fn what_is_not_of_the_language_is_no_scope() {
        let long = "a".repeat(256);
        let many = ["a"; 17].join(":");
        for text in ["", ":", "a:", ":a", "a::b", "a*", "*a", "***", "**:a", "a b", "ä", "a\n", &long, &many] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
        assert_eq!(scope("a.b:*:c-d/e:**").to_string(), "a.b:*:c-d/e:**");
    }
}
