//! One look at a log: the head that it shows now, held against everything that this reader knows of it.
//!
//! Guarantees: [`Seen`] means that the head is signed, that every entry below it was read, is a record, and hashes to its root together with
//! all that was seen before, so that nothing below an earlier head changed; and that it is durable in the state. Two signed heads that
//! contradict each other become evidence wherever what the server serves is enough to prove it.
//! Memory is bounded by some bundles of entries and by the state.

use verifier::checkpoint::{Checkpoint, SignedCheckpoint};
use verifier::hash::{Hash, leaf_hash};
use verifier::proof::verify_consistency;
use verifier::record::Record;
use verifier::verify::ForkEvidence;

use super::evidence::Place;
use super::state::{Folded, State};
use super::tiles::growth;
use super::trouble::Trouble;
use crate::exit::Failure;
use crate::remote::Remote;

/// Entries between two times that the way to a head is made durable: some seconds of reading.
const SAVE_EVERY: u64 = 16_384;

/// A head that was followed.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The head.
    pub head: Checkpoint,
    /// Entries that are new with it.
    pub new: u64,
}

/// Why a look ended without: the log's trouble, or the watch's own.
#[derive(Debug)]
pub enum Ended {
    /// Something is wrong with the log.
    Trouble(Trouble),
    /// The watch cannot go on.
    Failure(Failure),
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A reader with a memory.
#[derive(Debug)]
pub struct Watcher {
    /// The log.
    pub remote: Remote,
    /// What it knows.
    pub state: State,
    /// Where evidence goes.
    pub place: Place,
}

impl Watcher {
    /// Looks once.
    pub async fn look(&mut self) -> Result<Seen, Ended> {
        let shown = self.remote.head().await.map_err(Trouble::of_head)?;
        let (size, root) = (shown.checkpoint().size, shown.checkpoint().root);
        let derived = self.state.folded.edge.size();
        if size < derived {
            return Err(self.smaller(&shown).await?);
        }
        if size == derived && root != self.state.folded.edge.root() {
            return Err(self.two_of_one_size(&shown)?);
        }
        let largest = self.state.largest();
        let head = shown.checkpoint().clone();
        if size > derived {
            self.grow(shown).await?;
        } else if self.state.head.is_none() {
            self.state.follow(Folded::default(), shown);
            self.state.save()?;
        }
        // What was derived is worth keeping also where more was shown before.
        if size < largest {
            Err(Trouble::OlderHead { kept: largest, shown: size }.into())
        } else {
            Ok(Seen { head, new: size - derived })
        }
    }

    /// Derives everything between what is known and a larger head.
    async fn grow(&mut self, shown: SignedCheckpoint) -> Result<(), Ended> {
        let target = shown.checkpoint().clone();
        self.state.note_ahead(&shown);
        let begun = self.state.towards.take().filter(|towards| towards.edge.size() <= target.size);
        let mut folded = begun.unwrap_or_else(|| self.state.folded.clone());
        self.state.save()?;
        let mut saved = folded.edge.size();
        let (mut wrong, mut contradicted) = (None, None);
        while folded.edge.size() < target.size {
            let first = folded.edge.size();
            let entries = self.remote.entries(first, target.size).await.map_err(Trouble::of_entries)?;
            for (index, leaf) in (first..).zip(&entries) {
                if let Err(trouble) = folded.take(index, leaf) {
                    wrong.get_or_insert(trouble);
                }
                let size = folded.edge.size();
                let other = |head: &SignedCheckpoint| head.checkpoint().size == size && *head.checkpoint() != target;
                for head in self.state.ahead.iter().filter(|head| other(head)) {
                    let root = folded.edge.root();
                    if head.checkpoint().root != root {
                        contradicted.get_or_insert((size, root));
                    }
                }
            }
            if wrong.is_none() && contradicted.is_none() && folded.edge.size() - saved >= SAVE_EVERY {
                saved = folded.edge.size();
                self.state.towards = Some(folded.clone());
                // If we crash here the next run goes on from there.
                self.state.save()?;
            }
        }
        if folded.edge.root() != target.root {
            self.state.towards = None;
            self.state.save()?;
            return Err(self.why_not_derived(&shown).await?);
        }
        if let Some((size, root)) = contradicted {
            return Err(self.contradicted(&shown, size, root).await?);
        }
        if let Some(trouble) = wrong {
            return Err(trouble.into());
        }
        self.state.follow(folded, shown);
        Ok(self.state.save()?)
    }

    /// The entries do not lead to a head: whether its own tiles show that it does not continue what was signed before.
    async fn why_not_derived(&self, shown: &SignedCheckpoint) -> Result<Ended, Failure> {
        let (older, newer) = (self.state.folded.edge.size(), shown.checkpoint());
        let said = |what: &str| -> Ended {
            Trouble::NotDerived(format!("the head of size {} is signed, but {what}", newer.size)).into()
        };
        let Some(head) = self.state.head.as_ref().filter(|_| older > 0) else {
            return Ok(said("the entries that are served do not lead to its root"));
        };
        let Ok((root, proof)) = growth(&self.remote, older, newer.size).await else {
            return Ok(said("neither entries nor tiles lead to its root"));
        };
        if verify_consistency(older, newer.size, &proof, &root, &newer.root).is_err() {
            return Ok(said("neither entries nor tiles lead to its root"));
        }
        let key = self.remote.key();
        let evidence = ForkEvidence::of_two_sizes(head.raw(), shown.raw(), key, root, proof);
        Ok(match self.place.keep(&evidence)? {
            Some(fork) => fork.into(),
            None => said("the entries that are served are others than those that it covers"),
        })
    }

    /// On the way to a head that holds, the tree was another one than a signed head of that size says.
    async fn contradicted(&self, shown: &SignedCheckpoint, size: u64, root: Hash) -> Result<Ended, Failure> {
        let (key, newer) = (self.remote.key(), shown.checkpoint());
        let unproved =
            Trouble::NotDerived(format!("another head of size {size} was signed before, and no tiles prove that"));
        let other =
            self.state.ahead.iter().find(|head| head.checkpoint().size == size && head.checkpoint().root != root);
        let Some(other) = other else { return Ok(unproved.into()) };
        let evidence = if size == newer.size {
            ForkEvidence::of_one_size(other.raw(), shown.raw(), key)
        } else {
            match growth(&self.remote, size, newer.size).await {
                Ok((_, proof)) => ForkEvidence::of_two_sizes(other.raw(), shown.raw(), key, root, proof),
                Err(_) => return Ok(unproved.into()),
            }
        };
        Ok(self.place.keep(&evidence)?.unwrap_or(unproved).into())
    }

    /// A head of the size that was followed, with another root.
    fn two_of_one_size(&self, shown: &SignedCheckpoint) -> Result<Ended, Failure> {
        let size = shown.checkpoint().size;
        let unproved = Trouble::NotDerived(format!("the head of size {size} has another root than its entries"));
        let Some(head) = &self.state.head else { return Ok(unproved.into()) };
        let evidence = ForkEvidence::of_one_size(head.raw(), shown.raw(), self.remote.key());
        Ok(self.place.keep(&evidence)?.unwrap_or(unproved).into())
    }

    /// A smaller head than was followed: an old one of this history, one of another, or one of which nothing is known.
    async fn smaller(&self, shown: &SignedCheckpoint) -> Result<Ended, Failure> {
        let (kept, size, key) = (self.state.folded.edge.size(), shown.checkpoint().size, self.remote.key());
        let older = || -> Ended { Trouble::OlderHead { kept, shown: size }.into() };
        let seen = self.state.seen.iter().find(|seen| seen.checkpoint().size == size);
        if size == 0 || seen.is_some_and(|seen| seen.checkpoint() == shown.checkpoint()) {
            return Ok(older());
        }
        let unproved = Trouble::Shrunk { kept, shown: size };
        if let Some(seen) = seen {
            let evidence = ForkEvidence::of_one_size(seen.raw(), shown.raw(), key);
            return Ok(self.place.keep(&evidence)?.unwrap_or(unproved).into());
        }
        // The tree that was followed, if it is still served, has one root at that size.
        let Some(head) = &self.state.head else { return Ok(unproved.into()) };
        let Ok((root, proof)) = growth(&self.remote, size, kept).await else { return Ok(unproved.into()) };
        if verify_consistency(size, kept, &proof, &root, &head.checkpoint().root).is_err() {
            return Ok(unproved.into());
        }
        if root == shown.checkpoint().root {
            return Ok(older());
        }
        let evidence = ForkEvidence::of_two_sizes(shown.raw(), head.raw(), key, root, proof);
        Ok(self.place.keep(&evidence)?.unwrap_or(unproved).into())
    }
}

impl Folded {
    /// One more leaf; it counts also where it is none of ours, so that it can be told whether the log signed it.
    pub fn take(&mut self, index: u64, leaf: &[u8]) -> Result<Record, Trouble> {
        self.edge.push(leaf_hash(leaf));
        let record = Record::decode(leaf).map_err(|error| Trouble::NotARecord { index, why: error.to_string() })?;
        if let Some(frozen) = self.frozen {
            return Err(Trouble::BehindFreeze(frozen));
        }
        if matches!(record, Record::Freeze { .. }) {
            self.frozen = Some(index);
        }
        self.newest_ms = Some(record.recorded_at());
        Ok(record)
    }
}
