//! From bytes to a record: the same keys in the same order as `write.rs`, and nothing else.

use super::{ExecutionEvent, LeaseEvent, MAX_BODY, MAX_NAME, MAX_NOTE, Record, RecordError, VERSION};
use crate::cbor::{CborError, Decoder, Map};
use crate::decision::{Classes, Decision, Grant, Outcome, PermitId, Shadow};
use crate::hash::Hash;

/// The kind of a decision.
const DECISION: u64 = 3;

/// Reads a leaf; refuses all but the one encoding of a known kind. Without `keep` its texts and bodies are checked and left empty.
pub(super) fn record(bytes: &[u8], keep: bool) -> Result<Record, RecordError> {
    let mut d = Decoder::new(bytes);
    let mut map = d.map()?;
    let kind = head(&mut d, &mut map)?;
    map.required(&mut d, 2)?;
    let recorded_at = d.uint()?;
    let mut r = Reading { d, map, next: 3, keep };
    let record = r.record(kind, recorded_at)?;
    r.map.finish(&r.d)?;
    r.d.finish()?;
    Ok(record)
}

/// The permit id of a leaf that begins as a decision does.
pub(super) fn stated_permit(bytes: &[u8]) -> Result<Option<PermitId>, RecordError> {
    let mut d = Decoder::new(bytes);
    let mut map = d.map()?;
    if head(&mut d, &mut map)? != DECISION {
        return Ok(None);
    }
    // Recorded at, governance version, epoch.
    for key in 2..5 {
        map.required(&mut d, key)?;
        d.uint()?;
    }
    map.required(&mut d, 5)?;
    Ok(Some(PermitId(d.bytes_of()?)))
}

/// Version and kind.
fn head(d: &mut Decoder<'_>, map: &mut Map) -> Result<u64, RecordError> {
    map.required(d, 0)?;
    let version = d.uint()?;
    if version != VERSION {
        return Err(RecordError::UnknownVersion(version));
    }
    map.required(d, 1)?;
    Ok(d.uint()?)
}

/// Reads the fields back, in the same order and under the same keys.
struct Reading<'a> {
    d: Decoder<'a>,
    map: Map,
    next: u64,
    keep: bool,
}

impl<'a> Reading<'a> {
    fn record(&mut self, kind: u64, recorded_at: u64) -> Result<Record, RecordError> {
        Ok(match kind {
            1 => Record::EpochPart { recorded_at, epoch: self.uint()?, part: self.uint()?, bytes: self.body()? },
            2 => Record::Epoch {
                recorded_at,
                governance: self.uint()?,
                first_part: self.uint()?,
                parts: self.uint()?,
                note: self.text(MAX_NOTE)?,
                predecessor: self.optional(|r, key| r.bounded(key, MAX_NOTE))?,
            },
            DECISION => Record::Decision(Box::new(self.decision(recorded_at)?)),
            4 => Record::Closure {
                recorded_at,
                permit: PermitId(self.fixed()?),
                event: self.event(&[
                    ExecutionEvent::Started,
                    ExecutionEvent::Completed,
                    ExecutionEvent::Failed,
                    ExecutionEvent::Aborted,
                    ExecutionEvent::Missing,
                ])?,
                executed: self.optional(|r, _| Ok(Hash(r.d.bytes_of()?)))?,
                note: self.optional(|r, key| r.bounded(key, MAX_NOTE))?,
            },
            5 => Record::Lease {
                recorded_at,
                permit: PermitId(self.fixed()?),
                event: self.event(&[LeaseEvent::Renewed, LeaseEvent::Halted, LeaseEvent::Expired])?,
                ends_at: self.optional(|r, _| r.d.uint())?,
                cause: self.optional(|r, key| r.bounded(key, MAX_NAME))?,
            },
            6 => Record::Approval { recorded_at, decision: PermitId(self.fixed()?), note: self.text(MAX_NOTE)? },
            7 => Record::Revocation { recorded_at, governance: self.uint()?, note: self.text(MAX_NOTE)? },
            8 => Record::Switch { recorded_at, governance: self.uint()?, note: self.text(MAX_NOTE)? },
            9 => Record::Statement {
                recorded_at,
                realm: self.text(MAX_NAME)?,
                media_type: self.text(MAX_NAME)?,
                body: self.body()?,
            },
            10 => Record::State { recorded_at, decisions: self.uint()?, digest: Hash(self.fixed()?) },
            11 => Record::Anchor {
                recorded_at,
                size: self.uint()?,
                root: Hash(self.fixed()?),
                instance: self.text(MAX_NAME)?,
                entry: self.body()?,
            },
            12 => Record::Erasure {
                recorded_at,
                index: self.uint()?,
                parts: self.within(1..=3)?,
                note: self.text(MAX_NOTE)?,
            },
            13 => Record::Freeze { recorded_at, governance: self.uint()?, note: self.text(MAX_NOTE)? },
            14 => Record::Recovery { recorded_at, size: self.uint()?, cause: self.text(MAX_NAME)? },
            15 => Record::SystemSwitch { recorded_at, governance: self.uint()?, cause: self.text(MAX_NAME)? },
            _ => return Err(RecordError::UnknownKind(kind)),
        })
    }

    fn decision(&mut self, recorded_at: u64) -> Result<Decision, CborError> {
        let governance = self.uint()?;
        let epoch = self.uint()?;
        let permit = PermitId(self.fixed()?);
        let realm = self.text(MAX_NAME)?;
        let evaluated_at = self.uint()?;
        let outcome = Outcome::from_uint(self.uint()?, 8)?;
        let classes = Classes::decode(self.fixed()?, 9)?;
        let request = Hash(self.fixed()?);
        let detail = Hash(self.fixed()?);
        let expires_at = self.optional(|r, _| r.d.uint())?;
        let uses = self.optional(|r, key| {
            let uses = r.d.uint()?;
            u32::try_from(uses).ok().filter(|uses| *uses >= 1).ok_or(CborError::OutOfRange(key))
        })?;
        let lease_ends_at = self.optional(|r, _| r.d.uint())?;
        let audience = self.optional(|r, key| r.bounded(key, MAX_NAME))?;
        let shadow = self.optional(|r, key| {
            r.d.array_of(3)?;
            let epoch = r.d.uint()?;
            let outcome = Outcome::from_uint(r.d.uint()?, key)?;
            Ok(Shadow { epoch, outcome, classes: Classes::decode(r.d.bytes_of()?, key)? })
        })?;
        // An allowing decision grants, a denial grants nothing: neither half may be missing.
        let grant = match (outcome, expires_at, uses, lease_ends_at) {
            (Outcome::Allow, Some(expires_at), Some(uses), lease_ends_at) => {
                Some(Grant { expires_at, uses, lease_ends_at })
            }
            (Outcome::Deny, None, None, None) => None,
            (Outcome::Allow | Outcome::Deny, _, _, _) => return Err(CborError::OutOfRange(8)),
        };
        Ok(Decision {
            recorded_at,
            governance,
            epoch,
            permit,
            realm,
            evaluated_at,
            outcome,
            classes,
            request,
            detail,
            grant,
            audience,
            shadow,
        })
    }

    fn key(&mut self) -> Result<u64, CborError> {
        let key = self.next;
        self.next += 1;
        self.map.required(&mut self.d, key)?;
        Ok(key)
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self, u64) -> Result<T, CborError>,
    ) -> Result<Option<T>, CborError> {
        let key = self.next;
        self.next += 1;
        if self.map.optional(&mut self.d, key)? { read(self, key).map(Some) } else { Ok(None) }
    }

    fn uint(&mut self) -> Result<u64, CborError> {
        self.key()?;
        self.d.uint()
    }

    fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> Result<u64, CborError> {
        let key = self.key()?;
        let value = self.d.uint()?;
        if range.contains(&value) { Ok(value) } else { Err(CborError::OutOfRange(key)) }
    }

    fn event<T: Copy>(&mut self, all: &[T]) -> Result<T, CborError> {
        let key = self.key()?;
        let value = self.d.uint()?;
        let event = usize::try_from(value).ok().and_then(|at| all.get(at));
        event.copied().ok_or(CborError::OutOfRange(key))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        self.key()?;
        self.d.bytes_of()
    }

    fn text(&mut self, most: usize) -> Result<String, CborError> {
        let key = self.key()?;
        self.bounded(key, most)
    }

    fn bounded(&mut self, key: u64, most: usize) -> Result<String, CborError> {
        let (len, text) = if self.keep {
            let text = self.d.text()?;
            (text.len(), text)
        } else {
            (self.d.skip_text()?, "")
        };
        if len > most { Err(CborError::OutOfRange(key)) } else { Ok(text.to_owned()) }
    }

    fn body(&mut self) -> Result<Vec<u8>, CborError> {
        let key = self.key()?;
        let bytes = self.d.bytes()?;
        if bytes.len() > MAX_BODY {
            return Err(CborError::OutOfRange(key));
        }
        Ok(if self.keep { bytes.to_vec() } else { Vec::new() })
    }
}
