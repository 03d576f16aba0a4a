//! Who may erase private parts of decisions, and from when on (DESIGN §3).

use serde::Deserialize;
use verifier::act::Act;
use verifier::note::VerifierKey;

/// Without a word of the epoch private parts are kept for so long, milliseconds: thirty days, in which somebody notices what went wrong.
const DEFAULT_AFTER_MS: u64 = 30 * 24 * 3_600_000;
/// They are kept for at most so long at the least: ten years, longer than most laws ask for.
pub const MAX_AFTER_MS: u64 = 3_653 * 24 * 3_600_000;
/// As many keys may erase as people govern a log at the most.
const MAX_KEYS: usize = 64;

/// As it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(default)]
    keys: Vec<String>,
    after_ms: Option<u64>,
}

/// Who may erase, and from when on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Whose signature erases; none: an administrator's.
    pub keys: Vec<VerifierKey>,
    /// Private parts are kept for so long at least, milliseconds.
    pub after_ms: u64,
}

impl Default for Erasure {
    fn default() -> Self {
        Erasure { keys: Vec::new(), after_ms: DEFAULT_AFTER_MS }
    }
}

impl Erasure {
    /// What is wrong is said in words.
    pub(super) fn of(entry: Entry) -> Result<Self, String> {
        let after_ms = entry.after_ms.unwrap_or(DEFAULT_AFTER_MS);
        if after_ms > MAX_AFTER_MS {
            return Err(format!("`erasure.after_ms` is at most {MAX_AFTER_MS}"));
        }
        if entry.keys.len() > MAX_KEYS {
            return Err(format!("`erasure.keys` names more than {MAX_KEYS} keys"));
        }
        let key = |text: &String| {
            let key = text.parse::<VerifierKey>().ok().filter(|key| is_eraser(key.name()));
            key.ok_or_else(|| format!("`{text}` is not a verifier key whose name ends with `/erasure`"))
        };
        Ok(Erasure { keys: entry.keys.iter().map(key).collect::<Result<_, _>>()?, after_ms })
    }
}

/// For whichever log: an epoch does not know the origin.
fn is_eraser(name: &str) -> bool {
    name.strip_suffix("/erasure").is_some_and(|origin| Act::eraser_name(origin) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_of_the_epoch_parts_are_kept_for_thirty_days_and_administrators_erase() {
        let erasure = Erasure::of(Entry::default()).unwrap();
        assert_eq!((erasure.after_ms, erasure.keys.len()), (2_592_000_000, 0));
        assert_eq!(erasure, Erasure::default());
        for wrong in [
            Entry { after_ms: Some(MAX_AFTER_MS + 1), ..Entry::default() },
            Entry { keys: vec!["nonsense".into()], ..Entry::default() },
            Entry {
                keys: vec!["ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c".into()],
                ..Entry::default()
            },
        ] {
            assert!(Erasure::of(wrong).is_err());
        }
    }
}
