//! CBOR Web Tokens (RFC 8392) as `COSE_Sign1` (RFC 9052 §4.2), with EdDSA or ES256.
//!
//! ```text
//! [d8 3d] d2 84  protected {1: -8|-7, 4?: kid, 16?: typ}  unprotected {4?: kid}  payload  64 bytes
//! ```
//!
//! Guarantees: definite lengths, shortest heads, each key once; any other header parameter is refused, so none that is critical (2) and none
//! that brings a key is passed over; the algorithm is protected. Does not: demand that keys are sorted, which RFC 8392 does not; nor trust
//! `kid` or `typ`.

use super::key::Algorithm;
use super::{EvidenceError, MAX_PARTS, MAX_TOKEN, Signed};
use crate::cbor::{CborError, Decoder, Encoder};

/// Tag of a CWT (RFC 8392 §6), which may stand in front.
const CWT: u64 = 61;
/// Tag of `COSE_Sign1`.
const SIGN1: u64 = 18;
/// Headers, claims and components nest at most so deep.
const MAX_DEPTH: usize = 16;
/// Header parameters (RFC 9052 §3.1, RFC 9596 §2).
const ALG: u64 = 1;
const KID: u64 = 4;
const TYP: u64 = 16;

/// Reads a token: what is signed, and its payload. Verifies nothing.
///
/// # Errors
/// Everything but the closed form.
pub fn read(bytes: &[u8]) -> Result<(Signed, &[u8]), EvidenceError> {
    if bytes.len() > MAX_TOKEN {
        return Err(EvidenceError::TooLong);
    }
    let mut token = Decoder::new(bytes);
    if bytes.starts_with(&[0xd8]) {
        token.tag(CWT)?;
    }
    token.tag(SIGN1)?;
    token.array_of(4)?;
    let protected = token.bytes()?;
    let headers = Pairs::read(&mut Decoder::new(protected), protected.len())?;
    headers.none_but(&[ALG, KID, TYP])?;
    headers.get(KID).map(|mut kid| kid.bytes()).transpose()?;
    let algorithm = headers.uint_or_int(ALG)?.ok_or(EvidenceError::Header)?;
    let algorithm = Algorithm::of_cose(algorithm).ok_or(EvidenceError::Algorithm)?;
    let unprotected = token.item(MAX_DEPTH)?;
    let hints = Pairs::read(&mut Decoder::new(unprotected), unprotected.len())?;
    hints.none_but(&[KID])?;
    hints.get(KID).map(|mut kid| kid.bytes()).transpose()?;
    let payload = token.bytes()?;
    let signature = token.bytes()?.try_into().map_err(|_| EvidenceError::Signature)?;
    token.finish()?;
    Ok((Signed { message: signed_bytes(protected, payload), algorithm: Some(algorithm), signature }, payload))
}

/// What the signature is over: the `Sig_structure` of RFC 9052 §4.4.
#[must_use]
pub fn signed_bytes(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(protected.len() + payload.len() + 32);
    let mut encoder = Encoder(&mut out);
    encoder.array(4);
    encoder.text("Signature1");
    encoder.bytes(protected);
    encoder.bytes(&[]);
    encoder.bytes(payload);
    out
}

/// The pairs of a map as encoded, each key once.
pub(super) struct Pairs<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Pairs<'a> {
    /// Reads a map that is all of `len` bytes.
    pub(super) fn read(decoder: &mut Decoder<'a>, len: usize) -> Result<Self, EvidenceError> {
        let count = decoder.map_len()?;
        if count > MAX_PARTS {
            return Err(EvidenceError::TooMany);
        }
        let mut pairs: Vec<(&[u8], &[u8])> = Vec::with_capacity(count.min(len));
        for _ in 0..count {
            let key = decoder.item(MAX_DEPTH)?;
            if pairs.iter().any(|(other, _)| *other == key) {
                return Err(EvidenceError::Form);
            }
            pairs.push((key, decoder.item(MAX_DEPTH)?));
        }
        decoder.clone().finish()?;
        Ok(Self(pairs))
    }

    /// The value of an unsigned key.
    pub(super) fn get(&self, key: u64) -> Option<Decoder<'a>> {
        let mut encoded = Vec::new();
        Encoder(&mut encoded).uint(key);
        self.0.iter().find(|(this, _)| *this == encoded).map(|(_, value)| Decoder::new(value))
    }

    fn uint_or_int(&self, key: u64) -> Result<Option<i64>, CborError> {
        self.get(key).map(|mut value| value.int()).transpose()
    }

    fn none_but(&self, known: &[u64]) -> Result<(), EvidenceError> {
        let found = known.iter().filter(|key| self.get(**key).is_some()).count();
        if found == self.0.len() { Ok(()) } else { Err(EvidenceError::Header) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::NotSigned;
    use super::super::key::IssuerKey;
    use super::*;
    use crate::text::unhex;

    /// RFC 8392, appendix A.3, and its key (appendix A.2.3).
    const EXAMPLE: &str = "d28443a10126a104524173796d6d657472696345434453413235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d\
        02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b71\
        58405427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a52b9b63632c57209120e1c9e30";
    const KEY: &str = "p256:AxQzKcznho5BaSdZnPZaNPPOL/2lWn7Kae2JGaOU1C8P";

    #[test]
    fn the_example_of_the_specification_holds_under_its_key_alone() {
        let bytes = unhex(EXAMPLE).unwrap();
        let key: IssuerKey = KEY.parse().unwrap();
        let (signed, payload) = read(&bytes).unwrap();
        assert_eq!(signed.is_by(&key), Ok(()));
        let claims = Pairs::read(&mut Decoder::new(payload), payload.len()).unwrap();
        assert_eq!(claims.get(2).unwrap().text(), Ok("erikw"));
        let tagged = [&[0xd8, 0x3d][..], &bytes].concat();
        assert_eq!(read(&tagged).unwrap().0, signed);
        let other: IssuerKey = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse().unwrap();
        assert_eq!(signed.is_by(&other), Err(NotSigned::Algorithm));
        // The key id in the unprotected header is a hint that nobody takes: it is the one part that may differ.
        let kid = 9..9 + 18;
        for bit in (0..bytes.len() * 8).filter(|bit| !kid.contains(&(bit / 8))) {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed).ok().is_none_or(|(signed, _)| signed.is_by(&key).is_err()), "bit {bit}");
        }
    }

    fn token(protected: &str, unprotected: &str) -> Vec<u8> {
        let protected = unhex(protected).unwrap();
        let mut out = Vec::new();
        let mut e = Encoder(&mut out);
        e.tag(SIGN1);
        e.array(4);
        e.bytes(&protected);
        e.0.extend(unhex(unprotected).unwrap());
        e.bytes(b"\xa0");
        e.bytes(&[0; 64]);
        out
    }

    #[test]
    fn what_is_not_of_the_closed_form_is_refused_with_its_reason() {
        assert!(read(&token("a10127", "a0")).is_ok());
        assert!(read(&token("a301270441aa1019010a", "a10441bb")).is_ok());
        for (protected, unprotected, why) in [
            ("a0", "a0", EvidenceError::Header),
            ("a0", "a10127", EvidenceError::Header), // an algorithm that is not protected
            ("a10127", "a10127", EvidenceError::Header), // twice
            ("a2012702810a", "a0", EvidenceError::Header), // crit
            ("a10127", "a1182141aa", EvidenceError::Header), // x5chain
            ("a10105", "a0", EvidenceError::Algorithm), // HMAC
            ("a1013822", "a0", EvidenceError::Algorithm), // ES384
            ("a201270126", "a0", EvidenceError::Form),
            ("a1012700", "a0", EvidenceError::Cbor(CborError::Trailing(1))),
            ("a1013807", "a0", EvidenceError::Cbor(CborError::NotShortest(2))),
        ] {
            assert_eq!(read(&token(protected, unprotected)).err(), Some(why), "{protected} {unprotected}");
        }
        let good = token("a10127", "a0");
        let short = [&good[..good.len() - 66], &[0x58, 63], &[0; 63]].concat();
        assert_eq!(read(&short).err(), Some(EvidenceError::Signature));
        assert!(read(&good[1..]).is_err(), "without its tag");
        assert!(read(&[&good[..], &[0]].concat()).is_err());
        assert_eq!(read(&vec![0; MAX_TOKEN + 1]).err(), Some(EvidenceError::TooLong));
    }
}
