//! The private detail of a decision: who, what and why, deterministic CBOR laid out in `detail.cddl`.
//!
//! It stands in the vault, never in the journal; the leaf has a salted commitment to it. The fold reads it; anybody may, where the realm is
//! public.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::cbor::{CborError, Decoder, Encoder};
use crate::decision::{Condition, PermitId};
use crate::hash::Hash;
use crate::http_signature::HttpSignature;
use crate::request::{MAX_ASSERTIONS, MAX_LIST};

/// The private part of a decision that says what it rested on. Read by the fold, shown where the realm is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// Type and id.
    pub subject: (String, String),
    /// The action's name.
    pub action: String,
    /// Type and id.
    pub resource: (String, String),
    /// The permit that this one descends from.
    pub parent: Option<PermitId>,
    /// The key that asked: an input fact, taken as given by replay.
    pub key_id: String,
    /// The code of each condition that failed or stayed unknown, in record order.
    pub codes: Vec<(Condition, String)>,
    /// The policies that determined the verdict.
    pub policies: Option<Named>,
    /// The policies that could not be evaluated.
    pub errors: Option<Named>,
    /// The idempotency key as HMAC under the server's pepper.
    pub idempotency: Option<[u8; 32]>,
    /// The denied decision that this request tries again.
    pub retry_of: Option<PermitId>,
    /// Asked through AuthZEN, where integers beyond ±(2^53 − 1) deny: an input fact.
    pub authzen: bool,
    /// What this decision added to which counter, at most [`MAX_COUNTED`], as the epoch orders them.
    pub counted: Vec<Counted>,
    /// The scopes that the request claims, at most [`MAX_LIST`].
    pub scopes: Vec<String>,
    /// The subjects that may name this permit as their parent, at most [`MAX_LIST`].
    pub delegates: Vec<String>,
    /// The signature over the body that the request came in.
    pub signed: Option<Signed>,
    /// The salt of the request of the denied decision that is tried again, where approvals were asked for.
    pub retry_salt: Option<[u8; 16]>,
    /// Whose evidence it relied on.
    pub evidence: Option<Evidence>,
}

/// Evidence that a decision relied on. The evidence itself stands in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Issuers whose word held, sorted and distinct, at most [`MAX_ISSUERS`].
    pub issuers: Vec<String>,
    /// The nonce of an attestation, which this decision has used up.
    pub nonce: Option<EvidenceNonce>,
}

/// A nonce of an attestation that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceNonce {
    /// SHA-256 over issuer and nonce.
    pub id: [u8; 32],
    /// The attestation is stale at and after this time, Unix milliseconds; the nonce is forgotten then.
    pub expires_ms: u64,
}

/// A detail names at most so many issuers: a request brings no more evidence.
pub const MAX_ISSUERS: usize = MAX_ASSERTIONS + 1;

/// The requester's signature over a body, and which of its requests this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The signature; it proves itself under the epoch's key, all but that the body had its digest.
    pub signature: Arc<HttpSignature>,
    /// Random for each body that was sent: the same signature in another body is a replay.
    pub body: [u8; 16],
    /// Which request of the body, from 0.
    pub item: u64,
}

/// A detail names at most so many counters: an epoch has no more limits.
pub const MAX_COUNTED: usize = 64;

/// The kinds of counters that decisions move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Counter {
    /// How often in a while.
    Rate,
    /// The sum of an attribute in a while.
    Budget,
    /// Open leases at a time.
    Concurrency,
}

impl Counter {
    const ALL: [Self; 3] = [Self::Rate, Self::Budget, Self::Concurrency];
}

/// What a decision added to one counter of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What kind of counter.
    pub counter: Counter,
    /// The name of the limit in the epoch.
    pub name: String,
    /// How much: 1 for a rate and for a lease.
    pub amount: u64,
}

impl Detail {
    const VERSION: u64 = 1;

    /// Deterministic CBOR, the bytes that the leaf commits to.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out);
        out
    }

    /// [`Detail::encode`] at the end of a buffer.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let mut e = Encoder(out);
        let optional = [
            self.parent.is_some(),
            self.policies.is_some(),
            self.errors.is_some(),
            self.idempotency.is_some(),
            self.retry_of.is_some(),
            self.authzen,
            !self.counted.is_empty(),
            !self.scopes.is_empty(),
            !self.delegates.is_empty(),
            self.signed.is_some(),
            self.retry_salt.is_some(),
            self.evidence.is_some(),
        ];
        e.map(6 + optional.into_iter().filter(|present| *present).count());
        e.uint(0);
        e.uint(Self::VERSION);
        for (key, pair) in [(1, &self.subject), (3, &self.resource)] {
            if key == 3 {
                e.uint(2);
                e.text(&self.action);
            }
            e.uint(key);
            e.array(2);
            e.text(&pair.0);
            e.text(&pair.1);
        }
        if let Some(parent) = &self.parent {
            e.uint(4);
            e.bytes(&parent.0);
        }
        e.uint(5);
        e.text(&self.key_id);
        e.uint(6);
        e.array(self.codes.len());
        for (condition, code) in &self.codes {
            e.array(2);
            e.uint(condition.index() as u64);
            e.text(code);
        }
        for (key, named) in [(7, &self.policies), (8, &self.errors)] {
            if let Some(named) = named {
                e.uint(key);
                named.encode(&mut e);
            }
        }
        if let Some(idempotency) = &self.idempotency {
            e.uint(9);
            e.bytes(idempotency);
        }
        if let Some(retry_of) = &self.retry_of {
            e.uint(10);
            e.bytes(&retry_of.0);
        }
        if self.authzen {
            e.uint(11);
            e.uint(1);
        }
        if !self.counted.is_empty() {
            e.uint(12);
            e.array(self.counted.len());
            for Counted { counter, name, amount } in &self.counted {
                e.array(3);
                e.uint(*counter as u64);
                e.text(name);
                e.uint(*amount);
            }
        }
        for (key, list) in [(13, &self.scopes), (14, &self.delegates)] {
            if !list.is_empty() {
                e.uint(key);
                e.array(list.len());
                list.iter().for_each(|text| e.text(text));
            }
        }
        if let Some(Signed { signature, body, item }) = &self.signed {
            e.uint(15);
            e.array(6);
            e.text(&signature.path);
            e.text(&signature.params);
            e.bytes(&signature.digest.0);
            e.bytes(&signature.signature);
            e.bytes(body);
            e.uint(*item);
        }
        if let Some(salt) = &self.retry_salt {
            e.uint(16);
            e.bytes(salt);
        }
        if let Some(Evidence { issuers, nonce }) = &self.evidence {
            e.uint(17);
            e.array(if nonce.is_some() { 3 } else { 1 });
            e.array(issuers.len());
            issuers.iter().for_each(|issuer| e.text(issuer));
            if let Some(EvidenceNonce { id, expires_ms }) = nonce {
                e.bytes(id);
                e.uint(*expires_ms);
            }
        }
    }

    /// Reads the bytes back; refuses all but the one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let d = &mut Decoder::new(bytes);
        let mut map = d.map()?;
        map.required(d, 0)?;
        if d.uint()? != Self::VERSION {
            return Err(CborError::OutOfRange(0));
        }
        map.required(d, 1)?;
        let subject = pair(d)?;
        map.required(d, 2)?;
        let action = d.text()?.to_owned();
        map.required(d, 3)?;
        let resource = pair(d)?;
        let parent = map.optional(d, 4)?.then(|| d.bytes_of().map(PermitId)).transpose()?;
        map.required(d, 5)?;
        let key_id = d.text()?.to_owned();
        map.required(d, 6)?;
        let codes = codes(d)?;
        let policies = map.optional(d, 7)?.then(|| Named::decode(d, 7)).transpose()?;
        let errors = map.optional(d, 8)?.then(|| Named::decode(d, 8)).transpose()?;
        let idempotency = map.optional(d, 9)?.then(|| d.bytes_of()).transpose()?;
        let retry_of = map.optional(d, 10)?.then(|| d.bytes_of().map(PermitId)).transpose()?;
        let authzen = map.optional(d, 11)?;
        if authzen && d.uint()? != 1 {
            return Err(CborError::OutOfRange(11));
        }
        let counted = if map.optional(d, 12)? { counted(d)? } else { Vec::new() };
        let scopes = if map.optional(d, 13)? { some_texts(d, 13)? } else { Vec::new() };
        let delegates = if map.optional(d, 14)? { some_texts(d, 14)? } else { Vec::new() };
        let signed = map.optional(d, 15)?.then(|| signed(d)).transpose()?;
        let retry_salt = map.optional(d, 16)?.then(|| d.bytes_of()).transpose()?;
        let evidence = map.optional(d, 17)?.then(|| evidence(d)).transpose()?;
        map.finish(d)?;
        d.clone().finish()?;
        Ok(Self {
            subject,
            action,
            resource,
            parent,
            key_id,
            codes,
            policies,
            errors,
            idempotency,
            retry_of,
            authzen,
            counted,
            scopes,
            delegates,
            signed,
            retry_salt,
            evidence,
        })
    }
}

/// A sorted list of names that is cut to [`Named::SHOWN`], with the count and a digest of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The first names.
    pub shown: Vec<String>,
    /// How many there are in all.
    pub count: u64,
    /// SHA-256 over the deterministic CBOR array of all names.
    pub digest: Hash,
}

impl Named {
    /// So many names are written out: thousands of determining policies must not overflow a record.
    pub const SHOWN: usize = 32;

    /// From all names, sorted ascending and distinct.
    pub fn new(names: &[String]) -> Self {
        let mut all = Vec::with_capacity(9 + names.iter().map(|name| 9 + name.len()).sum::<usize>());
        let mut encoder = Encoder(&mut all);
        encoder.array(names.len());
        names.iter().for_each(|name| encoder.text(name));
        Self {
            shown: names.iter().take(Self::SHOWN).cloned().collect(),
            count: names.len() as u64,
            digest: Hash(Sha256::digest(&all).into()),
        }
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.array(3);
        encoder.uint(self.count);
        encoder.bytes(&self.digest.0);
        encoder.array(self.shown.len());
        self.shown.iter().for_each(|name| encoder.text(name));
    }

    fn decode(decoder: &mut Decoder<'_>, key: u64) -> Result<Self, CborError> {
        decoder.array_of(3)?;
        let count = decoder.uint()?;
        let digest = Hash(decoder.bytes_of()?);
        let shown = texts(decoder, Self::SHOWN, key)?;
        let named = Self { shown, count, digest };
        let whole = named.count == named.shown.len() as u64;
        let honest = if whole { Self::new(&named.shown).digest == digest } else { named.shown.len() == Self::SHOWN };
        if honest && named.count >= 1 && named.shown.is_sorted_by(|a, b| a < b) {
            Ok(named)
        } else {
            Err(CborError::OutOfRange(key))
        }
    }
}

fn texts(decoder: &mut Decoder<'_>, most: usize, key: u64) -> Result<Vec<String>, CborError> {
    let len = decoder.array()?;
    if len > most {
        return Err(CborError::OutOfRange(key));
    }
    (0..len).map(|_| decoder.text().map(str::to_owned)).collect()
}

/// A list that would be absent if it were empty.
fn some_texts(decoder: &mut Decoder<'_>, key: u64) -> Result<Vec<String>, CborError> {
    let texts = texts(decoder, MAX_LIST, key)?;
    if texts.is_empty() { Err(CborError::OutOfRange(key)) } else { Ok(texts) }
}

fn counted(d: &mut Decoder<'_>) -> Result<Vec<Counted>, CborError> {
    let len = d.array()?;
    if !(1..=MAX_COUNTED).contains(&len) {
        return Err(CborError::OutOfRange(12));
    }
    let one = |_| {
        d.array_of(3)?;
        let kind = d.uint()?;
        let counter = Counter::ALL.into_iter().find(|counter| *counter as u64 == kind);
        let counter = counter.ok_or(CborError::OutOfRange(12))?;
        Ok(Counted { counter, name: d.text()?.to_owned(), amount: d.uint()? })
    };
    (0..len).map(one).collect()
}

/// A signature that is none of the closed form could not be checked by anybody.
fn signed(d: &mut Decoder<'_>) -> Result<Signed, CborError> {
    d.array_of(6)?;
    let path = d.text()?.to_owned();
    let params = d.text()?.to_owned();
    let signature = HttpSignature { path, params, digest: Hash(d.bytes_of()?), signature: d.bytes_of()? };
    signature.params().map_err(|_| CborError::OutOfRange(15))?;
    Ok(Signed { signature: Arc::new(signature), body: d.bytes_of()?, item: d.uint()? })
}

fn evidence(d: &mut Decoder<'_>) -> Result<Evidence, CborError> {
    let parts = d.array()?;
    let issuers = texts(d, MAX_ISSUERS, 17)?;
    if issuers.is_empty() || !issuers.is_sorted_by(|a, b| a < b) {
        return Err(CborError::OutOfRange(17));
    }
    let nonce = match parts {
        1 => None,
        3 => Some(EvidenceNonce { id: d.bytes_of()?, expires_ms: d.uint()? }),
        _ => return Err(CborError::OutOfRange(17)),
    };
    Ok(Evidence { issuers, nonce })
}

fn pair(d: &mut Decoder<'_>) -> Result<(String, String), CborError> {
    d.array_of(2)?;
    Ok((d.text()?.to_owned(), d.text()?.to_owned()))
}

fn codes(d: &mut Decoder<'_>) -> Result<Vec<(Condition, String)>, CborError> {
    let len = d.array()?;
    let mut codes: Vec<(Condition, String)> = Vec::new();
    for _ in 0..len {
        d.array_of(2)?;
        let index = d.uint()?;
        let condition = Condition::ALL.into_iter().find(|condition| condition.index() as u64 == index);
        let condition = condition.ok_or(CborError::OutOfRange(6))?;
        if codes.last().is_some_and(|(last, _)| *last >= condition) {
            return Err(CborError::OutOfRange(6));
        }
        codes.push((condition, d.text()?.to_owned()));
    }
    Ok(codes)
}
