//! The file that convinces a stranger of a fork: two signed heads, and the proof that they are not one log (`verifier/FORMAT.md`).
//!
//! Guarantees: what is written was checked as a stranger will check it; evidence that is there already is not written over.

use std::path::{Path, PathBuf};

use verifier::note::VerifierKey;
use verifier::verify::{Beside, Fork, ForkEvidence, LogKey, MAX_FORK, judge};

use super::trouble::Trouble;
use crate::exit::Failure;
use crate::files;

/// Where evidence goes.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
    keys: [LogKey; 1],
}

impl Place {
    /// This file, or one beside the state.
    pub fn new(path: Option<PathBuf>, state: &Path, key: &VerifierKey) -> Self {
        let beside = || {
            let mut name = state.file_name().unwrap_or_default().to_owned();
            name.push(".fork.json");
            state.with_file_name(name)
        };
        Self { path: path.unwrap_or_else(beside), keys: [LogKey::unlimited(key.clone())] }
    }

    /// The fork that was found before, if any: a log that forked once is never whole again.
    pub fn found(&self) -> Result<Option<Trouble>, Failure> {
        if !self.path.exists() {
            return Ok(None);
        }
        let bytes = files::read_bytes(&self.path, MAX_FORK)?;
        let fork = ForkEvidence::read(&bytes).and_then(|evidence| evidence.check(&self.keys));
        match fork {
            Ok(fork) => Ok(Some(self.told(&fork))),
            Err(error) => Err(Failure::unavailable(format!("{}: {error}; move it away", self.path.display()))),
        }
    }

    /// Checks evidence and writes it; `None` if it shows nothing.
    pub fn keep(&self, evidence: &ForkEvidence) -> Result<Option<Trouble>, Failure> {
        let json = evidence.to_json();
        let Ok(fork) = evidence.check(&self.keys) else { return Ok(None) };
        // The way of `interlock verify`, from the bytes as they will stand in the file.
        if judge(json.as_bytes(), Beside::default(), &self.keys).code() != Some("fork") {
            return Ok(None);
        }
        if !self.path.exists() {
            files::replace(&self.path, json)?;
        }
        Ok(Some(self.told(&fork)))
    }

    fn told(&self, fork: &Fork) -> Trouble {
        let (older, newer) = (fork.older().checkpoint(), fork.newer().checkpoint());
        let words = if older.size == newer.size {
            format!("fork: the key signed two trees of size {}", older.size)
        } else {
            format!(
                "fork: the tree of size {} does not begin with the tree of size {} that was signed",
                newer.size, older.size
            )
        };
        Trouble::Fork { words, file: self.path.display().to_string() }
    }
}
