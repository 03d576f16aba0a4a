//! Which records a bundle is made of: a list of indexes, or the decisions of a stretch of the log that are as somebody wants them.
//!
//! Guarantees: a choice gives indexes below the size that it is asked for, ascending and distinct, at most `MAX_CHOSEN`; a search reads at most
//! [`Choice::MAX_SEARCHED`] records. Does not: look into private parts; whoever may read those searches elsewhere.

use std::fmt::Write;

use verifier::bundle::{MAX_CHOICE, MAX_CHOSEN};
use verifier::decision::{Decision, Outcome};
use verifier::record::Record;
use verifier::text::decimal;

use crate::bundle::BundleError;
use crate::reader::{MAX_ENTRIES, ReadError, Reader};

/// Why a text is no choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Not numbers and ranges with commas between.
    #[error("a list of indexes is written `3,7,100-200`")]
    List,
    /// More than a bundle may have.
    #[error("at most {MAX_CHOSEN} records can be chosen")]
    TooMany,
}

/// What goes into a bundle beside what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The records at these indexes, ascending and distinct.
    List(Vec<u64>),
    /// The decisions of a stretch of the log that are so.
    Search {
        /// Index to begin at.
        from: u64,
        /// Last index; the end of the log without.
        to: Option<u64>,
        /// What was decided.
        outcome: Option<Outcome>,
        /// The realm.
        realm: Option<String>,
        /// The epoch that was in force.
        epoch: Option<u64>,
    },
}

impl Choice {
    /// Records that one search may read: half a second of work.
    pub const MAX_SEARCHED: u64 = 100_000;

    /// Reads `3,7,100-200`, in any order; ranges have both ends.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub fn list(text: &str) -> Result<Self, ChoiceError> {
        let mut indexes = Vec::new();
        for item in text.split(',') {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let number = |text| decimal(text).map_err(|_| ChoiceError::List);
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(ChoiceError::List);
            }
            let more = last - first;
            if more >= MAX_CHOSEN as u64 || indexes.len() as u64 + more >= MAX_CHOSEN as u64 {
                return Err(ChoiceError::TooMany);
            }
            indexes.extend(first..=last);
        }
        Self::of(indexes)
    }

    /// These indexes, in any order; one that stands twice is chosen once and counts twice.
    ///
    /// # Errors
    /// [`ChoiceError::TooMany`].
    pub fn of(mut indexes: Vec<u64>) -> Result<Self, ChoiceError> {
        if indexes.len() > MAX_CHOSEN {
            return Err(ChoiceError::TooMany);
        }
        indexes.sort_unstable();
        indexes.dedup();
        Ok(Self::List(indexes))
    }

    /// The indexes that are chosen in the first `size` entries.
    ///
    /// # Errors
    /// [`BundleError::Nothing`], [`BundleError::TooLarge`], and those of reading: [`ReadError::Range`] for a longer search than
    /// [`Choice::MAX_SEARCHED`].
    pub fn find(&self, reader: &Reader, size: u64) -> Result<Vec<u64>, BundleError> {
        let (from, to) = match self {
            Self::List(indexes) => {
                return match indexes.last() {
                    None => Err(BundleError::Nothing),
                    Some(last) if *last >= size => Err(ReadError::Beyond { asked: *last, size }.into()),
                    Some(_) => Ok(indexes.clone()),
                };
            }
            Self::Search { from, to, .. } => (*from, *to),
        };
        let end = to.map_or(size, |to| to.saturating_add(1));
        if end > size || from >= size {
            return Err(ReadError::Beyond { asked: end.saturating_sub(1).max(from), size }.into());
        }
        if end.checked_sub(from).is_none_or(|count| count == 0 || count > Self::MAX_SEARCHED) {
            return Err(ReadError::Range.into());
        }
        let (mut found, mut next) = (Vec::new(), from);
        while next < end {
            for leaf in reader.entries(next, MAX_ENTRIES.min(end - next))? {
                let record = Record::decode(&leaf).map_err(|source| ReadError::NotARecord { index: next, source })?;
                if let Record::Decision(decision) = &record
                    && self.wants(decision)
                {
                    found.push(next);
                }
                next += 1;
            }
            if found.len() > MAX_CHOSEN {
                return Err(BundleError::TooLarge);
            }
        }
        if found.is_empty() { Err(BundleError::Nothing) } else { Ok(found) }
    }

    fn wants(&self, decision: &Decision) -> bool {
        match self {
            Self::List(_) => true,
            Self::Search { outcome, realm, epoch, .. } => {
                outcome.is_none_or(|wanted| wanted == decision.outcome)
                    && realm.as_ref().is_none_or(|wanted| *wanted == decision.realm)
                    && epoch.is_none_or(|wanted| wanted == decision.epoch)
            }
        }
    }

    /// The choice for a bundle's manifest: printable ASCII, as one would ask for it. A list that is too long to say is counted.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::new();
        // Writing into a String cannot fail.
        let _ = match self {
            Self::List(indexes) => write!(words, "indexes={}", runs(indexes)),
            Self::Search { from, to, outcome, realm, epoch } => {
                let mut said = write!(words, "from={from}");
                if let Some(to) = to {
                    said = said.and(write!(words, "&to={to}"));
                }
                if let Some(outcome) = outcome {
                    said = said.and(write!(words, "&outcome={}", outcome_name(*outcome)));
                }
                if let Some(realm) = realm {
                    said = said.and(write!(words, "&realm={}", realm.escape_default()));
                }
                match epoch {
                    Some(epoch) => said.and(write!(words, "&epoch={epoch}")),
                    None => said,
                }
            }
        };
        match self {
            Self::List(indexes) if words.len() > MAX_CHOICE => format!("a list of {} indexes", indexes.len()),
            _ => words,
        }
    }
}

/// As it is asked for.
fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
    }
}

/// Ascending numbers as `3,7,100-200`.
fn runs(indexes: &[u64]) -> String {
    let runs = indexes.chunk_by(|left, right| left.checked_add(1) == Some(*right));
    let said = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    said.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_and_said_in_its_shortest_form() {
        let words = |text| Choice::list(text).map(|choice| choice.words());
        assert_eq!(words("7,3,100-102,101-103,3"), Ok("indexes=3,7,100-103".into()));
        assert_eq!(words("5"), Ok("indexes=5".into()));
        for malformed in ["", ",", "3,", "3-", "-3", "5-3", "03", "3 ,4", "1-2-3", "9223372036854775808", "x"] {
            assert_eq!(words(malformed), Err(ChoiceError::List), "{malformed}");
        }
        assert!(words("0-9999").is_ok());
        for many in ["0-10000", "0-9999,20000", "0-9223372036854775807"] {
            assert_eq!(words(many), Err(ChoiceError::TooMany), "{many}");
        }
        assert_eq!(Choice::of(vec![1; MAX_CHOSEN + 1]), Err(ChoiceError::TooMany), "what is sent counts");
        assert_eq!(Choice::of(vec![1; MAX_CHOSEN]).map(|choice| choice.words()), Ok("indexes=1".into()));
        let scattered = Choice::of((0..9_000).map(|number| number * 1_000).collect()).unwrap();
        assert_eq!(scattered.words(), "a list of 9000 indexes");
    }
}
