//! The text of a key: `ilk_<id: 12 hex>_<secret: 64 hex>`, and what an administrator derives from the admin seed.
//!
//! Guarantees: one spelling (lower-case hex, exact lengths); secrets are wiped when they are dropped.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use verifier::text::hex;
use zeroize::Zeroizing;

/// Bytes of a key's public id.
pub(super) const ID_BYTES: usize = 6;
/// Bytes of its secret.
pub(super) const SECRET_BYTES: usize = 32;
const PREFIX: &str = "ilk_";

/// The bearer that the holder of the admin seed sends with governance calls: the server knows its hash, never the
/// seed, so it can turn strangers away before it checks an act's signature.
#[must_use]
pub fn admin_bearer(seed: &[u8; 32]) -> Zeroizing<String> {
    let (id, secret) = admin_parts(seed);
    bearer_text(&id, &secret)
}

pub(super) fn admin_parts(seed: &[u8; 32]) -> ([u8; ID_BYTES], Zeroizing<[u8; SECRET_BYTES]>) {
    let derive = |label: &[u8]| -> [u8; 32] {
        let mut mac = keyed(seed);
        mac.update(label);
        mac.finalize().into_bytes().into()
    };
    let [a, b, c, d, e, f, ..] = derive(b"interlock admin id v1");
    ([a, b, c, d, e, f], Zeroizing::new(derive(b"interlock admin bearer v1")))
}

pub(super) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key of up to one block is zero-padded to the block by HMAC itself; this form cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::<Sha256>::new((&*block).into())
}

pub(super) fn bearer_text(id: &[u8; ID_BYTES], secret: &[u8; SECRET_BYTES]) -> Zeroizing<String> {
    let secret = Zeroizing::new(hex(secret));
    Zeroizing::new(format!("{PREFIX}{}_{}", hex(id), *secret))
}

pub(super) fn parse_bearer(authorization: &[u8]) -> Option<([u8; ID_BYTES], Zeroizing<[u8; SECRET_BYTES]>)> {
    let (scheme, rest) = authorization.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let rest = rest.strip_prefix(PREFIX.as_bytes())?;
    let (id, rest) = rest.split_at_checked(2 * ID_BYTES)?;
    let secret = rest.strip_prefix(b"_")?;
    let mut out = ([0; ID_BYTES], Zeroizing::new([0; SECRET_BYTES]));
    unhex_into(id, &mut out.0)?;
    unhex_into(secret, out.1.as_mut())?;
    Some(out)
}

pub(super) fn unhex_into(text: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    if pairs.len() != out.len() {
        return None;
    }
    for ([high, low], out) in pairs.iter().zip(out) {
        *out = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}
