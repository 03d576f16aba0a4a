//! Evidence bundles out of a log: the chosen records, what they rest on, and one proof for all under one signed head (`verifier::bundle`).
//!
//! Guarantees: the head is taken once, and nothing above it is read; private parts leave only where they were disclosed, unless an operator
//! takes them all; what is made was verified as a stranger would before it is given, so a damaged log gives an error and no bundle. The work
//! is bounded by the numbers of `verifier::bundle`. Does not: choose (`choice.rs`).

mod many;

use std::collections::{BTreeMap, BTreeSet};

use verifier::act::{Act, Deed};
use verifier::bundle::{Bundle, Entry, MAX_BUNDLE, MAX_CHOSEN, MAX_ENTRIES, Manifest, Part, Parts};
use verifier::hash::Hash;
use verifier::note::Note;
use verifier::record::Record;
use verifier::verify::{LogKey, climb_bundle};

use crate::head::Head;
use crate::reader::{MAX_ENTRIES as MAX_RUN, ReadError, Reader};

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing was chosen.
    #[error("no record is chosen")]
    Nothing,
    /// More than a bundle may have.
    #[error("a bundle has at most 10,000 chosen records, 16,384 with those that they rest on, and 64 MiB")]
    TooLarge,
    /// A decision names an epoch that nobody closed below it.
    #[error("epoch {epoch} is not closed in this log")]
    NoEpoch {
        /// The epoch.
        epoch: u64,
    },
    /// What was made would not verify: something in the log is damaged.
    #[error("a bundle of these records would not verify ({code}): `interlock fsck` tells what is damaged")]
    DoesNotHold {
        /// The verifier's code.
        code: &'static str,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What goes into a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Indexes of the chosen records, strictly ascending.
    pub chosen: &'a [u64],
    /// The choice in words, printable ASCII, for the manifest.
    pub choice: &'a str,
    /// Indexes of the closing records of all epochs in log order, the first epoch's first.
    pub epochs: &'a [u64],
    /// Private parts too that were not disclosed: for the operator alone.
    pub undisclosed: bool,
}

impl Reader {
    /// The bytes of a bundle under a published head.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn evidence_bundle(&self, wanted: &Wanted<'_>, head: &Head) -> Result<Vec<u8>, BundleError> {
        let size = head.checkpoint.size;
        let mut gathered =
            Gathered { reader: self, size, undisclosed: wanted.undisclosed, found: BTreeMap::new(), bytes: 0 };
        match wanted.chosen {
            [] => return Err(BundleError::Nothing),
            chosen if chosen.len() > MAX_CHOSEN => return Err(BundleError::TooLarge),
            chosen => gathered.take_all(chosen)?,
        }
        let named = gathered.named_epochs();
        for epoch in &named {
            gathered.take_epoch(*epoch, wanted.epochs)?;
        }
        let erasures = gathered.erasures();
        gathered.take_all(&erasures)?;

        let found = &gathered.found;
        let indexes: Vec<u64> = found.keys().copied().collect();
        let levels = &self.shared.levels;
        let mut read = |height, first, count| -> Result<Vec<Hash>, ReadError> {
            let bytes = levels.nodes(height, first, count)?;
            Ok(bytes.as_chunks::<{ Hash::LEN }>().0.iter().map(|node| Hash(*node)).collect())
        };
        let proof = many::prove_many(&indexes, size, &mut read)?;
        let vkey = self.verifier_key().to_string();
        let manifest = Manifest {
            vkey: &vkey,
            choice: wanted.choice,
            decisions: found.values().filter(|one| one.parts.is_some()).count() as u64,
            epochs: named.into_iter().collect(),
        };
        let entries = found.iter().map(|(index, one)| Entry {
            index: *index,
            record: &one.leaf,
            parts: one.parts.as_ref().map(|[request, detail]| Parts { request: request.part(), detail: detail.part() }),
        });
        let bundle = Bundle { manifest, checkpoint: &head.note, entries: entries.collect(), proof }.encode();
        let keys = [LogKey::unlimited(self.verifier_key().clone())];
        let refused = climb_bundle(&bundle, &keys).verdict.err().map(|refusal| refusal.code());
        match refused {
            None => Ok(bundle),
            // The one way to be refused that is no damage: it grew beyond the limit by proof and heads of items.
            Some(_) if bundle.len() > MAX_BUNDLE => Err(BundleError::TooLarge),
            Some(code) => Err(BundleError::DoesNotHold { code }),
        }
    }
}

impl Reader {
    /// The indexes of the closing records of all epochs among the first `size` entries. Every record is read, so who serves keeps them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn closings(&self, size: u64) -> Result<Vec<u64>, ReadError> {
        let (mut next, mut found) = (0, Vec::new());
        while next < size {
            for leaf in self.entries(next, MAX_RUN.min(size - next))? {
                let record = Record::outline(&leaf).map_err(|source| ReadError::NotARecord { index: next, source })?;
                if matches!(record, Record::Epoch { .. }) {
                    found.push(next);
                }
                next += 1;
            }
        }
        Ok(found)
    }
}

/// One entry with its private parts, request first.
struct One {
    leaf: Vec<u8>,
    record: Record,
    parts: Option<[Owned; 2]>,
}

/// A private part, or why it is not here.
enum Owned {
    Disclosed([u8; 16], Vec<u8>),
    Committed,
    Erased(u64),
    Lost,
}

impl Owned {
    fn part(&self) -> Part<'_> {
        match self {
            Self::Disclosed(salt, bytes) => Part::Disclosed { salt: *salt, bytes },
            Self::Committed => Part::Committed,
            Self::Erased(by) => Part::Erased { by: *by },
            Self::Lost => Part::Lost,
        }
    }
}

/// What was read so far.
struct Gathered<'a> {
    reader: &'a Reader,
    size: u64,
    undisclosed: bool,
    found: BTreeMap<u64, One>,
    bytes: usize,
}

impl Gathered<'_> {
    /// Takes the records at these ascending indexes that are not here yet, run by run.
    fn take_all(&mut self, indexes: &[u64]) -> Result<(), BundleError> {
        let missing: Vec<u64> = indexes.iter().copied().filter(|index| !self.found.contains_key(index)).collect();
        for run in missing.chunk_by(|left, right| left.checked_add(1) == Some(*right)) {
            let (Some(first), count) = (run.first(), run.len() as u64) else { continue };
            self.take_run(*first, count)?;
        }
        Ok(())
    }

    fn take_run(&mut self, first: u64, count: u64) -> Result<(), BundleError> {
        let end = first.saturating_add(count);
        if end > self.size {
            return Err(ReadError::Beyond { asked: end.saturating_sub(1), size: self.size }.into());
        }
        let mut next = first;
        while next < end {
            let leaves = self.reader.entries(next, MAX_RUN.min(end - next))?;
            for leaf in leaves {
                self.take(next, leaf)?;
                next += 1;
            }
        }
        Ok(())
    }

    fn take(&mut self, index: u64, leaf: Vec<u8>) -> Result<(), BundleError> {
        let record = Record::decode(&leaf).map_err(|source| ReadError::NotARecord { index, source })?;
        let parts = match &record {
            Record::Decision(_) => Some(self.reader.told(index, self.undisclosed)?),
            _ => None,
        };
        let told =
            parts.iter().flatten().map(|part| if let Owned::Disclosed(_, bytes) = part { bytes.len() } else { 0 });
        self.bytes = self.bytes.saturating_add(leaf.len()).saturating_add(told.sum());
        self.found.insert(index, One { leaf, record, parts });
        if self.bytes > MAX_BUNDLE || self.found.len() > MAX_ENTRIES { Err(BundleError::TooLarge) } else { Ok(()) }
    }

    /// The closing record of an epoch and its parts.
    fn take_epoch(&mut self, epoch: u64, closings: &[u64]) -> Result<(), BundleError> {
        let place = epoch.checked_sub(1).and_then(|before| usize::try_from(before).ok());
        let index = place.and_then(|place| closings.get(place)).filter(|index| **index < self.size);
        let index = *index.ok_or(BundleError::NoEpoch { epoch })?;
        self.take_all(&[index])?;
        let (first, count) = match self.found.get(&index).map(|one| &one.record) {
            Some(Record::Epoch { first_part, parts, note, .. }) if states(note, epoch) => (*first_part, *parts),
            Some(_) | None => return Err(BundleError::NoEpoch { epoch }),
        };
        let end = first.checked_add(count).filter(|end| *end <= index && count <= MAX_ENTRIES as u64);
        let parts: Vec<u64> = (first..end.ok_or(BundleError::TooLarge)?).collect();
        self.take_all(&parts)
    }

    fn named_epochs(&self) -> BTreeSet<u64> {
        let decisions = self.found.values().filter_map(|one| match &one.record {
            Record::Decision(decision) => Some(decision),
            _ => None,
        });
        decisions
            .flat_map(|decision| [Some(decision.epoch), decision.shadow.map(|shadow| shadow.epoch)])
            .flatten()
            .collect()
    }

    /// The records that say what was erased.
    fn erasures(&self) -> Vec<u64> {
        let parts = self.found.values().flat_map(|one| one.parts.iter().flatten());
        let by = parts.filter_map(|part| if let Owned::Erased(by) = part { Some(*by) } else { None });
        by.collect::<BTreeSet<u64>>().into_iter().collect()
    }
}

/// Whether a note is the act that publishes this epoch.
fn states(note: &str, epoch: u64) -> bool {
    let act = Note::parse(note).ok().and_then(|note| Act::parse(&note.text).ok());
    matches!(act, Some(Act { deed: Deed::Epoch { number, .. }, .. }) if number == epoch)
}

impl Reader {
    /// What may be told of the private parts of a decision, request first.
    fn told(&self, index: u64, undisclosed: bool) -> Result<[Owned; 2], ReadError> {
        let bytes = match self.stored_parts(index) {
            Ok((_, bytes)) => bytes,
            Err(ReadError::Lost { .. }) => return Ok([Owned::Lost, Owned::Lost]),
            Err(error) => return Err(error),
        };
        let found = match self.believed_parts(index, &bytes) {
            Ok(found) => found,
            Err(ReadError::Lost { .. }) => return Ok([Owned::Lost, Owned::Lost]),
            Err(error) => return Err(error),
        };
        let erased = |wanted| found.erasures().find_map(|(bit, by)| (bit == wanted).then_some(Owned::Erased(by)));
        let told = |salt: [u8; 16], part: &[u8]| match found.private.disclosed || undisclosed {
            true => Owned::Disclosed(salt, part.to_vec()),
            false => Owned::Committed,
        };
        let private = &found.private;
        Ok([
            erased(1).unwrap_or_else(|| told(private.request_salt, private.request)),
            erased(2).unwrap_or_else(|| told(private.detail_salt, private.detail)),
        ])
    }
}
