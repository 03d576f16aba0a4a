//! Signatures of requests: RFC 9421 HTTP message signatures with Ed25519 (§3.3.6), in exactly one closed form.
//!
//! ```text
//! Content-Digest: sha-256=:BASE64:                                                      (RFC 9530 §2)
//! Signature-Input: LABEL=("@method" "@path" "content-digest");created=N;expires=N;nonce="…";keyid="…";tag="ORIGIN"
//! Signature: LABEL=:BASE64:
//! ```
//!
//! The three components may stand in any order, and so may the parameters; `alg="ed25519"` may stand among them. `tag` is the origin of
//! the log that is asked, so that no other log takes the same signature. Nothing else is taken: what is not understood must not look as
//! if it had counted. The method is `POST`.
//!
//! Guarantees: what is read is in the canonical serialisation (RFC 8941 §4.1), so the signature base (RFC 9421 §2.5) can be made again from
//! [`HttpSignature`] alone; the check is `verify_strict`. Does not: look at a clock, know who may speak for whom, nor see the body; whoever
//! has it compares its SHA-256 with [`HttpSignature::digest`].

use crate::hash::Hash;
use crate::note::VerifierKey;
use crate::text::{b64, decimal, unb64};

/// The parameters of a signature have at most so many bytes: two names, two times, a nonce and an origin.
pub const MAX_PARAMS: usize = 768;
/// A nonce has at most so many bytes: 32 random ones in base64, and a little more.
pub const MAX_NONCE: usize = 64;
/// A key id has at most so many bytes.
pub const MAX_KEY_ID: usize = 64;
/// The method of every signed request.
pub const METHOD: &str = "POST";
/// The one algorithm.
pub const ALGORITHM: &str = "ed25519";

/// The components that a signature covers, all of them and no others.
const COMPONENTS: [&str; 3] = ["@method", "@path", "content-digest"];

/// Why header fields are not a signature of the closed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `Content-Digest` is not one `sha-256` digest.
    #[error("`Content-Digest` is not `sha-256=:base64 of 32 bytes:`")]
    Digest,
    /// `Signature-Input` is not one labelled inner list in its canonical form.
    #[error("`Signature-Input` is not one canonical `label=(…);…`")]
    Input,
    /// Other components than the three are covered, or one of them is not.
    #[error("the signature must cover \"@method\", \"@path\" and \"content-digest\", and nothing else")]
    Components,
    /// A parameter is unknown, stands twice, or has a value that it cannot have.
    #[error("a parameter of the signature is unknown, repeated or malformed")]
    Parameter,
    /// A parameter is absent.
    #[error("the signature must have `created`, `expires`, `nonce`, `keyid` and `tag`")]
    Missing,
    /// `Signature` is not the 64 bytes under the same label.
    #[error("`Signature` is not 64 bytes under the label of `Signature-Input`")]
    Signature,
    /// Longer than [`MAX_PARAMS`].
    #[error("the parameters of the signature are longer than 768 bytes")]
    TooLong,
}

/// One signature, as read: all that its base is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSignature {
    /// The path that was asked.
    pub path: String,
    /// `@signature-params`: the inner list with its parameters, verbatim.
    pub params: String,
    /// SHA-256 of the body.
    pub digest: Hash,
    /// Ed25519 over the signature base.
    pub signature: [u8; 64],
}

/// What the parameters say. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params<'a> {
    /// When it was made.
    pub created: u64,
    /// Void at and after this time.
    pub expires: u64,
    /// Used once.
    pub nonce: &'a str,
    /// The key's name in the epoch.
    pub key_id: &'a str,
    /// The origin that it is for.
    pub tag: &'a str,
    order: [&'a str; 3],
}

impl HttpSignature {
    /// Reads the values of `Signature-Input`, `Signature` and `Content-Digest` of a request for a path.
    ///
    /// # Errors
    /// [`SignatureError`]: everything but the closed form.
    pub fn read(path: &str, input: &str, signature: &str, content_digest: &str) -> Result<Self, SignatureError> {
        let digest = content_digest.strip_prefix("sha-256=").and_then(bytes).ok_or(SignatureError::Digest)?;
        let digest = Hash(digest.try_into().map_err(|_| SignatureError::Digest)?);
        let (label, params) = input.split_once('=').ok_or(SignatureError::Input)?;
        if !is_key(label) {
            return Err(SignatureError::Input);
        }
        let (signed_label, signature) = signature.split_once('=').ok_or(SignatureError::Signature)?;
        let signature = bytes(signature).filter(|_| signed_label == label).ok_or(SignatureError::Signature)?;
        let signature = signature.try_into().map_err(|_| SignatureError::Signature)?;
        let read = Self { path: path.to_owned(), params: params.to_owned(), digest, signature };
        read.params()?;
        Ok(read)
    }

    /// What the parameters say.
    ///
    /// # Errors
    /// [`SignatureError`]: everything but the closed form.
    pub fn params(&self) -> Result<Params<'_>, SignatureError> {
        Params::parse(&self.params)
    }

    /// Whether it is this key's.
    ///
    /// # Errors
    /// [`SignatureError`]: everything but the closed form.
    pub fn is_by(&self, key: &VerifierKey) -> Result<bool, SignatureError> {
        let digest = format!("sha-256=:{}:", b64(&self.digest.0));
        let components = self.params()?.order.map(|name| {
            let value = match name {
                "@method" => METHOD,
                "@path" => self.path.as_str(),
                _ => digest.as_str(),
            };
            (name, value)
        });
        Ok(key.verify(base(&components, &self.params).as_bytes(), &self.signature))
    }
}

/// The signature base (RFC 9421 §2.5): a line for each component, then the parameters.
#[must_use]
pub fn base(components: &[(&str, &str)], params: &str) -> String {
    let lines = components.iter().map(|(name, value)| format!("\"{name}\": {value}\n"));
    lines.collect::<String>() + "\"@signature-params\": " + params
}

impl<'a> Params<'a> {
    fn parse(text: &'a str) -> Result<Self, SignatureError> {
        if text.len() > MAX_PARAMS {
            return Err(SignatureError::TooLong);
        }
        let (list, parameters) =
            text.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or(SignatureError::Input)?;
        let (mut items, mut order) = (list.split(' '), [""; 3]);
        for slot in &mut order {
            *slot = items.next().and_then(string).ok_or(SignatureError::Components)?;
        }
        if items.next().is_some() || !COMPONENTS.iter().all(|name| order.contains(name)) {
            return Err(SignatureError::Components);
        }
        let (mut created, mut expires, mut nonce, mut key_id, mut tag, mut alg) = (None, None, None, None, None, None);
        let mut rest = parameters;
        while !rest.is_empty() {
            let parameter = rest.strip_prefix(';').ok_or(SignatureError::Input)?;
            let (name, value) = parameter.split_once('=').ok_or(SignatureError::Parameter)?;
            let (value, behind) = bare(value).ok_or(SignatureError::Parameter)?;
            rest = behind;
            let twice = match name {
                "created" => created.replace(value.number()?).is_some(),
                "expires" => expires.replace(value.number()?).is_some(),
                "nonce" => nonce.replace(value.text(MAX_NONCE)?).is_some(),
                "keyid" => key_id.replace(value.text(MAX_KEY_ID)?).is_some(),
                "tag" => tag.replace(value.text(MAX_PARAMS)?).is_some(),
                "alg" if value.text(ALGORITHM.len())? == ALGORITHM => alg.replace(()).is_some(),
                _ => true,
            };
            if twice {
                return Err(SignatureError::Parameter);
            }
        }
        match (created, expires, nonce, key_id, tag) {
            (Some(created), Some(expires), Some(nonce), Some(key_id), Some(tag)) => {
                Ok(Self { created, expires, nonce, key_id, tag, order })
            }
            (_, _, _, _, _) => Err(SignatureError::Missing),
        }
    }
}

/// A bare item (RFC 8941 §3.3): an integer or a string.
enum Bare<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> Bare<'a> {
    fn number(&self) -> Result<u64, SignatureError> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(_) => Err(SignatureError::Parameter),
        }
    }

    fn text(&self, most: usize) -> Result<&'a str, SignatureError> {
        match self {
            Self::Text(text) if !text.is_empty() && text.len() <= most => Ok(text),
            Self::Text(_) | Self::Number(_) => Err(SignatureError::Parameter),
        }
    }
}

/// The bare item in front, and what follows it.
fn bare(text: &str) -> Option<(Bare<'_>, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"')?;
        let (text, rest) = quoted.split_at_checked(end)?;
        return is_plain(text).then_some((Bare::Text(text), rest.strip_prefix('"')?));
    }
    let end = text.find(';').unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    // An integer has at most 15 digits (RFC 8941 §3.3.1).
    (digits.len() <= 15).then(|| decimal(digits).ok()).flatten().map(|number| (Bare::Number(number), rest))
}

/// A whole quoted string.
fn string(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"').filter(|text| is_plain(text))
}

/// Characters of a string (RFC 8941 §3.3.3) that need no escape.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'"' | b'\\'))
}

/// A key of a dictionary (RFC 8941 §3.1.2).
fn is_key(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*');
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
    first && text.len() <= MAX_KEY_ID && text.bytes().all(rest)
}

/// A byte sequence (RFC 8941 §3.3.5).
fn bytes(text: &str) -> Option<Vec<u8>> {
    unb64(text.strip_prefix(':')?.strip_suffix(':')?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, base64: &str) -> VerifierKey {
        VerifierKey::new(name, &unb64(base64).unwrap().try_into().unwrap()).unwrap()
    }

    /// RFC 9421, appendix B.2.6: its base and its signature, under its key `test-key-ed25519`.
    #[test]
    fn the_base_is_that_of_the_specification() {
        let params = "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
                      ;created=1618884473;keyid=\"test-key-ed25519\"";
        let components = [
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@method", "POST"),
            ("@path", "/foo"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
            ("content-length", "18"),
        ];
        let signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
        let key = key("test-key-ed25519", "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
        assert!(key.verify(base(&components, params).as_bytes(), &unb64(signature).unwrap()));
        // And it is not of the form that is taken here.
        let label = |value: &str| format!("sig-b26={value}");
        let read = HttpSignature::read("/foo", &label(params), &label(&format!(":{signature}:")), DIGEST);
        assert_eq!(read, Err(SignatureError::Components));
    }

    // Made by the Python package http-message-signatures 2.0.1 with the Ed25519 seed 07 × 32: another reading of the same specification.
    const INPUT: &str = "sig1=(\"@method\" \"@path\" \"content-digest\");created=1800000000;keyid=\"alice-1\";alg=\"ed25519\"\
                         ;expires=1800000060;nonce=\"n-1\";tag=\"test.example/log\"";
    const SIGNATURE: &str =
        "sig1=:F/HFHZ04sLrw2aIXAHL9CSp6v02L4SzizQyuw210HH6kYkMtIpcEWppTBCmlWP/ZvGbEjV2OM9V51Kxx3yfHAw==:";
    const DIGEST: &str = "sha-256=:gnLO+vYKn3RqQm1C56jx0XcaOZzYJda6QtXGMOREjBo=:";
    const KEY: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    const PATH: &str = "/v1/decisions";

    #[test]
    fn a_signature_of_another_implementation_holds_and_none_of_its_parts_can_be_changed() {
        let good = HttpSignature::read(PATH, INPUT, SIGNATURE, DIGEST).unwrap();
        let said = good.params().unwrap();
        assert_eq!((said.created, said.expires), (1_800_000_000, 1_800_000_060));
        assert_eq!((said.nonce, said.key_id, said.tag), ("n-1", "alice-1", "test.example/log"));
        let key = key("alice-1", KEY);
        assert_eq!(good.is_by(&key), Ok(true));
        let others = [
            HttpSignature { path: "/access/v1/evaluation".into(), ..good.clone() },
            HttpSignature { digest: Hash([0; 32]), ..good.clone() },
            HttpSignature { params: good.params.replace("n-1", "n-2"), ..good.clone() },
            HttpSignature { params: good.params.replace("000060", "000061"), ..good.clone() },
            HttpSignature { signature: [0; 64], ..good },
        ];
        others.iter().for_each(|other| assert_eq!(other.is_by(&key), Ok(false), "{other:?}"));
    }

    #[test]
    fn what_is_not_of_the_closed_form_is_refused_with_its_reason() {
        let input = |from: &str, to: &str| {
            let changed = INPUT.replace(from, to);
            assert_ne!(changed, INPUT);
            HttpSignature::read(PATH, &changed, SIGNATURE, DIGEST).err()
        };
        for (from, to, why) in [
            ("sig1=", "", SignatureError::Input),
            ("sig1=", "Sig1=", SignatureError::Input),
            ("sig1=(", "sig1=", SignatureError::Input),
            ("\"@method\" ", "", SignatureError::Components),
            ("\"@method\" ", "\"@method\"  ", SignatureError::Components),
            ("\"@method\"", "\"@method\";req", SignatureError::Components),
            ("\"@method\"", "\"@path\"", SignatureError::Components),
            ("\"content-digest\"", "\"content-digest\" \"date\"", SignatureError::Components),
            (";created=1800000000", "", SignatureError::Missing),
            (";nonce=\"n-1\"", "", SignatureError::Missing),
            (";tag=\"test.example/log\"", "", SignatureError::Missing),
            ("created=1800000000", "created=01800000000", SignatureError::Parameter),
            ("created=1800000000", "created=\"1800000000\"", SignatureError::Parameter),
            ("created=1800000000", "created=1800000000000000", SignatureError::Parameter),
            ("created=1800000000", "created=1800000000.5", SignatureError::Parameter),
            ("\"n-1\"", "\"\"", SignatureError::Parameter),
            ("\"n-1\"", "\"n\\\"1\"", SignatureError::Parameter),
            ("\"n-1\"", "\"n-1\";nonce=\"n-2\"", SignatureError::Parameter),
            ("ed25519", "rsa-v1_5-sha256", SignatureError::Parameter),
            (";tag=", "; tag=", SignatureError::Parameter),
            (";tag=", ";flag=1;tag=", SignatureError::Parameter),
            ("test.example/log\"", "test.example/log\",sig2=()", SignatureError::Input),
        ] {
            assert_eq!(input(from, to), Some(why), "{from} -> {to}");
        }
        let long = input("\"n-1\"", &format!("\"{}\"", "n".repeat(MAX_NONCE + 1)));
        assert_eq!(long, Some(SignatureError::Parameter));
        let longer = input("test.example", &"t".repeat(MAX_PARAMS));
        assert_eq!(longer, Some(SignatureError::TooLong));
        for signature in ["", "sig2=:AAAA:", "sig1=AAAA", "sig1=:AAAA:", &SIGNATURE.replace("sig1", "sig2")] {
            assert_eq!(HttpSignature::read(PATH, INPUT, signature, DIGEST), Err(SignatureError::Signature));
        }
        for digest in
            ["", "sha-256=:AAAA:", "sha-512=:AAAA:", &DIGEST.replace('=', " ="), &format!("{DIGEST}, a=:AA==:")]
        {
            assert_eq!(HttpSignature::read(PATH, INPUT, SIGNATURE, digest), Err(SignatureError::Digest));
        }
    }
}
