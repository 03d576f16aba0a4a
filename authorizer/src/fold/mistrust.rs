//! What a `system-switch` record says: the service itself takes something out of use, never anything into it.
//!
//! Its cause is one of these texts, and no other (`verifier/record.cddl`). From the record on plain Cedar decides the live epoch's
//! policies, until the next epoch is in force; what else of the state changes is that a permit which was allowed wrongly is taken back.

use verifier::decision::PermitId;

/// Compiled policies came to something else than plain Cedar.
const MISMATCH: &str = "engine_mismatch";

/// Why plain Cedar decides from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistrust {
    /// The permit that is void by it, with what descends from it.
    pub permit: Option<PermitId>,
}

impl Mistrust {
    /// The cause as it stands in the record.
    #[must_use]
    pub fn text(&self) -> String {
        self.permit.map_or(MISMATCH.to_owned(), |permit| format!("{MISMATCH} permit {permit}"))
    }

    /// Reads a cause; `None` for one that this version does not know how to apply.
    #[must_use]
    pub fn parse(cause: &str) -> Option<Self> {
        match cause.strip_prefix(MISMATCH)? {
            "" => Some(Mistrust { permit: None }),
            rest => Some(Mistrust { permit: Some(rest.strip_prefix(" permit ")?.parse().ok()?) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_one_spelling() {
        for mistrust in [Mistrust { permit: None }, Mistrust { permit: Some(PermitId([0xa7; 16])) }] {
            assert_eq!(Mistrust::parse(&mistrust.text()), Some(mistrust));
        }
        let permit = PermitId([0xa7; 16]).to_string();
        for other in [
            "",
            "engine",
            "engine_mismatch ",
            "engine_mismatch permit",
            "engine_mismatch permit a7",
            &format!("engine_mismatch permit {permit} "),
            &format!("engine_mismatch permit {}", permit.to_uppercase()),
            &format!("engine_mismatch  permit {permit}"),
        ] {
            assert_eq!(Mistrust::parse(other), None, "{other:?}");
        }
    }
}
