//! The signature over a body: three header fields, read before the body is parsed.
//!
//! Guarantees: what is not one signature of the closed form is refused and nothing is decided, also where no signature was asked for; the
//! body has the digest that was signed. No key is asked here: that costs an asymmetric check, is part of the verdict, and needs an API key
//! first, which every caller of this file has checked.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use rand::Rng;
use sha2::{Digest, Sha256};
use verifier::decision::Signed;
use verifier::http_signature::{HttpSignature, SignatureError};

use super::problem::{Code, Problem};

const INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// A body's signature.
#[derive(Clone, Debug)]
pub struct SignedBody {
    signature: Arc<HttpSignature>,
    body: [u8; 16],
}

impl SignedBody {
    /// The signature of a body, if it has one.
    ///
    /// # Errors
    /// [`Code::SignatureMalformed`], [`Code::ContentDigest`].
    pub fn of(request: &HttpRequest, body: &[u8]) -> Result<Option<Self>, Problem> {
        let (input, signature) = (field(request, &INPUT)?, field(request, &SIGNATURE)?);
        if input.is_none() && signature.is_none() {
            return Ok(None);
        }
        let malformed = |why: SignatureError| Problem::from(Code::SignatureMalformed).because(why.to_string());
        let input = input.ok_or_else(|| malformed(SignatureError::Input))?;
        let signature = signature.ok_or_else(|| malformed(SignatureError::Signature))?;
        let digest = field(request, &DIGEST)?.ok_or_else(|| malformed(SignatureError::Digest))?;
        let signature = HttpSignature::read(request.uri().path(), input, signature, digest).map_err(malformed)?;
        let computed: [u8; 32] = Sha256::digest(body).into();
        if computed != signature.digest.0 {
            return Err(Code::ContentDigest.into());
        }
        let mut body = [0; 16];
        rand::rng().fill_bytes(&mut body);
        Ok(Some(Self { signature: Arc::new(signature), body }))
    }

    /// As it stands in the record of one request of the body.
    pub fn item(&self, item: usize) -> Signed {
        Signed { signature: self.signature.clone(), body: self.body, item: item as u64 }
    }
}

/// The value of a field that stands at most once.
fn field<'a>(request: &'a HttpRequest, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut given = request.headers().get_all(name);
    let twice = || Problem::from(Code::SignatureMalformed).because(format!("`{name}` must stand once, in ASCII"));
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| twice()),
        (Some(_), Some(_)) => Err(twice()),
    }
}
