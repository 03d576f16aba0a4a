//! An enforcement point's trust file: whose permits it takes, for whom, and how long they may hold.

use std::collections::BTreeSet;

use serde::Deserialize;
use thiserror::Error;

use crate::decision::Condition;
use crate::note::VerifierKey;
use crate::verify::LogKey;

/// The longest lifetime that is accepted where the trust file names none: an hour.
pub const DEFAULT_MAX_LIFETIME_MS: u64 = 3_600_000;
/// The longest lifetime that a trust file may accept: a year, as an epoch may at most grant. A larger number is a slip, and would let a use
/// store forget what may still be used.
pub const LONGEST_MAX_LIFETIME_MS: u64 = 366 * 24 * 3_600_000;

/// Whom an enforcement point trusts, and with what. Read from TOML by [`Trust::parse`]:
///
/// ```
/// let trust = verifier::guard::Trust::parse(r#"
/// realm = "main"
/// audience = "booking-gateway"          # omit if permits name none
/// require = ["runtime"]                 # beside policy, identity and permissions
/// max_lifetime_ms = 60000
///
/// [[log_key]]
/// vkey = "ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
/// not_after = "2027-01-01T00:00:00Z"    # also: not_before, max_size
/// "#).unwrap();
/// assert_eq!(trust.keys.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The log's keys; a key's name is the origin that it speaks for.
    pub keys: Vec<LogKey>,
    /// The one realm whose permits are accepted.
    pub realm: String,
    /// The audience that a permit must name; without one it must name none.
    pub audience: Option<String>,
    /// Conditions that must be `pass`, beside [`super::ALWAYS_REQUIRED`].
    pub require: BTreeSet<Condition>,
    /// A permit that holds longer is refused, milliseconds; never taken for more than [`LONGEST_MAX_LIFETIME_MS`].
    pub max_lifetime_ms: u64,
}

/// Why text is not a trust file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustError {
    /// Not TOML of this shape; unknown fields are refused.
    #[error("trust file: {0}")]
    Malformed(String),
    /// Without a key nothing can be verified.
    #[error("trust file names no `log_key`")]
    NoKey,
    /// A verification key cannot be read.
    #[error("trust file: `{0}` is not a verification key")]
    Key(String),
    /// A time is not RFC 3339.
    #[error("trust file: `{0}` is not an RFC 3339 time after 1970")]
    Time(String),
    /// There is no such condition.
    #[error("trust file: `{0}` is not a condition")]
    Condition(String),
    /// A key stands there twice: which of its limits hold could only be guessed.
    #[error("trust file names the key `{0}` twice")]
    DuplicateKey(String),
    /// The lifetime is outside 1 to [`LONGEST_MAX_LIFETIME_MS`].
    #[error("trust file: `max_lifetime_ms` is {0}, outside 1..={LONGEST_MAX_LIFETIME_MS}")]
    Lifetime(u64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    realm: String,
    audience: Option<String>,
    #[serde(default)]
    require: Vec<String>,
    max_lifetime_ms: Option<u64>,
    #[serde(default)]
    log_key: Vec<KeyFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    vkey: String,
    not_before: Option<String>,
    not_after: Option<String>,
    max_size: Option<u64>,
}

impl Trust {
    /// Reads a trust file.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let file: TrustFile =
            toml::from_str(text).map_err(|error| TrustError::Malformed(error.message().to_owned()))?;
        if file.log_key.is_empty() {
            return Err(TrustError::NoKey);
        }
        let max_lifetime_ms = file.max_lifetime_ms.unwrap_or(DEFAULT_MAX_LIFETIME_MS);
        if !(1..=LONGEST_MAX_LIFETIME_MS).contains(&max_lifetime_ms) {
            return Err(TrustError::Lifetime(max_lifetime_ms));
        }
        let mut keys: Vec<LogKey> = Vec::with_capacity(file.log_key.len());
        for key in file.log_key.into_iter().map(log_key) {
            let key = key?;
            if keys.iter().any(|earlier| earlier.key == key.key) {
                return Err(TrustError::DuplicateKey(key.key.to_string()));
            }
            keys.push(key);
        }
        let condition = |name: String| Condition::named(&name).ok_or(TrustError::Condition(name));
        Ok(Self {
            keys,
            realm: file.realm,
            audience: file.audience,
            require: file.require.into_iter().map(condition).collect::<Result<_, _>>()?,
            max_lifetime_ms,
        })
    }
}

fn log_key(file: KeyFile) -> Result<LogKey, TrustError> {
    let time = |text: Option<String>| match text {
        None => Ok(None),
        Some(text) => {
            let time = text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
            time.map(Some).ok_or(TrustError::Time(text))
        }
    };
    let key: VerifierKey = file.vkey.parse().map_err(|_| TrustError::Key(file.vkey.clone()))?;
    Ok(LogKey { key, not_before: time(file.not_before)?, not_after: time(file.not_after)?, max_size: file.max_size })
}
