//! Nonces of signed requests: each is used by one body, until its signature runs out (threat 10). Nonces of attestations likewise, each by
//! one request, until the attestation is stale.
//!
//! Guarantees: a body that is sent again, to another worker or after a restart, finds its nonce used; the requests of one body share it,
//! each once and in order. Memory is bounded by [`MAX_NONCES`]: when it is full, signed requests are denied until nonces run out.

use std::collections::{BTreeSet, HashMap};

use verifier::cbor::{CborError, Decoder, Encoder};

use crate::engine::Nonce;

/// Nonces that are kept at once, about 150 bytes each: 1,700 signed bodies a second, each for 300 s.
pub const MAX_NONCES: usize = 1 << 19;

/// Why a nonce cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Another body used it, or this one did for this request or a later one.
    Used,
    /// Its signature ran out.
    Expired,
    /// No more can be kept.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    body: [u8; 16],
    item: u64,
}

/// All nonces that are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nonces {
    used: HashMap<[u8; 32], Use>,
    ends: BTreeSet<(u64, [u8; 32])>,
}

impl Nonces {
    /// Whether a request may use a nonce now.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn admits(&self, nonce: &Nonce, now_ms: u64) -> Result<(), Unusable> {
        if nonce.expires_ms <= now_ms {
            return Err(Unusable::Expired);
        }
        match self.used.get(&nonce.id) {
            Some(used) if used.body == nonce.body && used.item < nonce.item => Ok(()),
            Some(_) => Err(Unusable::Used),
            None if self.used.len() >= MAX_NONCES => Err(Unusable::Full),
            None => Ok(()),
        }
    }

    /// Uses a nonce.
    pub fn consume(&mut self, nonce: &Nonce) {
        self.used.insert(nonce.id, Use { body: nonce.body, item: nonce.item });
        self.ends.insert((nonce.expires_ms, nonce.id));
    }

    /// Forgets those that ran out.
    pub fn forget(&mut self, now_ms: u64) {
        while let Some(&(at, id)) = self.ends.first().filter(|(at, _)| *at <= now_ms) {
            self.ends.remove(&(at, id));
            self.used.remove(&id);
        }
    }

    /// Writes them by their ends (`FORMAT.md`).
    pub(crate) fn encode(&self, e: &mut Encoder<'_>) {
        e.array(self.ends.len());
        for (expires_ms, id) in &self.ends {
            let Use { body, item } = self.used.get(id).copied().unwrap_or(Use { body: [0; 16], item: 0 });
            e.array(4);
            e.uint(*expires_ms);
            e.bytes(id);
            e.bytes(&body);
            e.uint(item);
        }
    }

    /// Reads back what [`Nonces::encode`] wrote.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let mut nonces = Self::default();
        for _ in 0..d.array()? {
            d.array_of(4)?;
            let (expires_ms, id) = (d.uint()?, d.bytes_of()?);
            nonces.consume(&Nonce { id, expires_ms, body: d.bytes_of()?, item: d.uint()? });
        }
        Ok(nonces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(id: u64, body: u8, item: u64) -> Nonce {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&id.to_be_bytes());
        Nonce { id: bytes, body: [body; 16], item, expires_ms: 1_000 }
    }

    #[test]
    fn one_body_uses_a_nonce_for_each_of_its_requests_once_and_in_order() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.admits(&nonce(1, 1, 0), 0), Ok(()));
        nonces.consume(&nonce(1, 1, 0));
        assert_eq!(nonces.admits(&nonce(1, 1, 0), 0), Err(Unusable::Used));
        assert_eq!(nonces.admits(&nonce(1, 2, 1), 0), Err(Unusable::Used));
        assert_eq!(nonces.admits(&nonce(1, 1, 2), 0), Ok(()));
        nonces.consume(&nonce(1, 1, 2));
        assert_eq!(nonces.admits(&nonce(1, 1, 1), 0), Err(Unusable::Used));
        assert_eq!(nonces.admits(&nonce(2, 2, 0), 0), Ok(()));
        nonces.forget(999);
        assert_eq!(nonces.admits(&nonce(1, 2, 0), 999), Err(Unusable::Used));
        nonces.forget(1_000);
        assert_eq!(nonces.admits(&nonce(1, 2, 0), 1_000), Err(Unusable::Expired));
        assert_eq!(nonces, Nonces::default());
    }

    #[test]
    fn more_nonces_than_are_kept_deny_until_some_run_out() {
        let mut nonces = Nonces::default();
        (0..MAX_NONCES as u64).for_each(|id| nonces.consume(&nonce(id, 1, 0)));
        assert_eq!(nonces.admits(&nonce(u64::MAX, 2, 0), 0), Err(Unusable::Full));
        assert_eq!(nonces.admits(&nonce(7, 1, 1), 0), Ok(()));
        nonces.forget(1_000);
        let later = Nonce { expires_ms: 2_000, ..nonce(u64::MAX, 2, 0) };
        assert_eq!(nonces.admits(&later, 1_000), Ok(()));
    }
}
