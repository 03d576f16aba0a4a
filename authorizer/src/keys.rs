//! Why: no call decides or governs anything without a key that this service issued; what is kept of a key must be
//! useless to whoever reads the file.
//!
//! Guarantees: the file is 0600 and refused when group or world may read it; it is replaced atomically (a crash leaves
//! the old or the new file, whole); secrets are kept only as HMAC-SHA256 under the file's pepper and shown once;
//! look-up goes by the public key id, the secret is compared in constant time, and an unknown, revoked or wrong key
//! costs the same work. A revocation holds from the next call on.
//! Does not: hold a key to its quota; sign requests (condition 2 beyond API keys).

mod bearer;
mod file;
mod identity;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use verifier::text::{hex, unhex};
use zeroize::Zeroizing;

pub use bearer::admin_bearer;
use bearer::{ID_BYTES, SECRET_BYTES, admin_parts, bearer_text, keyed, parse_bearer};
use file::{read_file, write_file};
pub use identity::{Identity, KeyInfo, Role};

use crate::quota::Quota;

/// Keys in one file: each is looked up in a map and listed whole, and a service has tens, not thousands.
pub const MAX_KEYS: usize = 10_000;
/// The longest realm name: it stands in every leaf.
pub const MAX_REALM: usize = 64;

/// Why the key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The operating system refused.
    #[error("key file `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Others may read or write the file.
    #[error("key file `{path}` has mode {mode:o}; it must not be accessible to group or others (chmod 600)")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The content is not a key file.
    #[error("key file `{path}` is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any secret.
        reason: &'static str,
    },
    /// No such key, or it is revoked already.
    #[error("no live key `{0}`")]
    Unknown(String),
    /// The realm's name is not acceptable.
    #[error("realm `{0}` is not 1 to 64 characters of a-z, 0-9, `-`, `_`, `.`")]
    Realm(String),
    /// Without it nobody could throw the kill switch or publish any more.
    #[error("this is the last admin key; revoking it would end all governance of the log")]
    LastAdmin,
    /// [`MAX_KEYS`] is reached.
    #[error("there are {MAX_KEYS} keys already")]
    TooMany,
    /// The operating system has no randomness.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}

struct Entry {
    hash: [u8; 32],
    info: Arc<KeyInfo>,
}

struct Snapshot {
    // Keyed with the pepper once; a clone saves two compressions a call.
    mac: Hmac<Sha256>,
    pepper: Zeroizing<[u8; 32]>,
    entries: HashMap<[u8; ID_BYTES], Entry>,
}

/// The keys of this service: a snapshot in memory and its file.
pub struct ApiKeys {
    path: PathBuf,
    snapshot: ArcSwap<Snapshot>,
    writing: Mutex<()>,
}

impl ApiKeys {
    /// Creates an empty key file with a new pepper; it must not exist.
    ///
    /// # Errors
    /// [`KeysError::Io`] where the file exists or cannot be written.
    pub fn create_file(path: &Path) -> Result<ApiKeys, KeysError> {
        if path.exists() {
            return Err(KeysError::Io { path: path.into(), source: io::ErrorKind::AlreadyExists.into() });
        }
        let mut pepper = Zeroizing::new([0; 32]);
        getrandom::fill(pepper.as_mut()).map_err(KeysError::Randomness)?;
        let snapshot = Snapshot::new(pepper, HashMap::new());
        write_file(path, &snapshot)?;
        Ok(ApiKeys::holding(path, snapshot))
    }

    /// Opens the key file.
    ///
    /// # Errors
    /// [`KeysError::Io`], [`KeysError::Exposed`] where group or others may access it, [`KeysError::Damaged`].
    pub fn open(path: &Path) -> Result<ApiKeys, KeysError> {
        Ok(ApiKeys::holding(path, read_file(path)?))
    }

    /// One service key that stands in no file, and who holds it: for the sandbox, where nobody else asks. Nothing about it can be changed.
    ///
    /// # Errors
    /// [`KeysError::Randomness`].
    pub(crate) fn of_one(realm: &str, created: String) -> Result<(ApiKeys, Identity), KeysError> {
        let mut pepper = Zeroizing::new([0; 32]);
        let (mut id, mut secret) = ([0; ID_BYTES], Zeroizing::new([0; SECRET_BYTES]));
        for bytes in [pepper.as_mut_slice(), id.as_mut_slice(), secret.as_mut_slice()] {
            getrandom::fill(bytes).map_err(KeysError::Randomness)?;
        }
        let mut snapshot = Snapshot::new(pepper, HashMap::new());
        let (realm, quota) = (realm.to_owned(), Quota::default());
        let info = Arc::new(KeyInfo { id: hex(&id), realm, role: Role::Service, created, revoked: None, quota });
        let hash = snapshot.hash(&secret);
        snapshot.entries.insert(id, Entry { hash, info });
        let keys = ApiKeys::holding(Path::new(""), snapshot);
        let bearer = Zeroizing::new(format!("Bearer {}", bearer_text(&id, &secret).as_str()));
        let identity = keys.authenticate(bearer.as_bytes());
        // Never: it was made just now.
        let identity = identity.ok_or_else(|| KeysError::Unknown(hex(&id)))?;
        Ok((keys, identity))
    }

    fn holding(path: &Path, snapshot: Snapshot) -> ApiKeys {
        ApiKeys { path: path.into(), snapshot: ArcSwap::from_pointee(snapshot), writing: Mutex::new(()) }
    }

    /// The identity behind the value of an `Authorization` header; `None` for every reason alike.
    #[must_use]
    pub fn authenticate(&self, authorization: &[u8]) -> Option<Identity> {
        let (id, secret) = parse_bearer(authorization)?;
        let snapshot = self.snapshot.load();
        let given = snapshot.hash(&secret);
        // An unknown id is compared too, with a value that no secret hashes to except by a 2^-256 chance.
        let entry = snapshot.entries.get(&id);
        let kept = entry.map_or(&[0; 32], |entry| &entry.hash);
        let same = bool::from(given.ct_eq(kept));
        let entry = entry?;
        (same && entry.info.revoked.is_none()).then(|| Identity::of(entry.info.clone()))
    }

    /// Whether the key of this id is not revoked.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        let raw: Option<[u8; ID_BYTES]> = unhex(id).ok().and_then(|raw| raw.try_into().ok());
        let snapshot = self.snapshot.load();
        raw.and_then(|raw| snapshot.entries.get(&raw)).is_some_and(|entry| entry.info.revoked.is_none())
    }

    /// The tag under which an idempotency key stands in the log: HMAC over (realm, key id, idempotency key), so that
    /// no reader of the log can test guesses and no tenant can probe another's.
    #[must_use]
    pub fn idempotency_tag(&self, identity: &Identity, idempotency_key: &str) -> [u8; 32] {
        let mut mac = self.snapshot.load().mac.clone();
        mac.update(b"interlock idempotency v1\0");
        for part in [identity.realm(), identity.key_id(), idempotency_key] {
            // Lengths keep ("a", "bc") and ("ab", "c") apart.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Makes a key and returns its text, the only time that it is seen, and its public half. `created` is RFC 3339.
    ///
    /// # Errors
    /// [`KeysError::Realm`], [`KeysError::TooMany`], or the file cannot be replaced; then no key was made.
    pub fn create(
        &self,
        realm: &str,
        role: Role,
        created: String,
    ) -> Result<(Zeroizing<String>, Arc<KeyInfo>), KeysError> {
        self.create_limited(realm, role, Quota::default(), created)
    }

    /// As [`ApiKeys::create`], with what the key may take.
    ///
    /// # Errors
    /// As [`ApiKeys::create`].
    pub fn create_limited(
        &self,
        realm: &str,
        role: Role,
        quota: Quota,
        created: String,
    ) -> Result<(Zeroizing<String>, Arc<KeyInfo>), KeysError> {
        let mut id = [0; ID_BYTES];
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut id).map_err(KeysError::Randomness)?;
        getrandom::fill(secret.as_mut()).map_err(KeysError::Randomness)?;
        let info = self.add(id, &secret, realm, role, quota, created)?;
        Ok((bearer_text(&id, &secret), info))
    }

    /// Enters the key whose bearer is derived from an admin seed ([`admin_bearer`]), once at `init`.
    ///
    /// # Errors
    /// As [`ApiKeys::create`].
    pub fn create_admin(&self, seed: &[u8; 32], created: String) -> Result<Arc<KeyInfo>, KeysError> {
        let (id, secret) = admin_parts(seed);
        self.add(id, &secret, "main", Role::Admin, Quota::default(), created)
    }

    fn add(
        &self,
        id: [u8; ID_BYTES],
        secret: &[u8; SECRET_BYTES],
        realm: &str,
        role: Role,
        quota: Quota,
        created: String,
    ) -> Result<Arc<KeyInfo>, KeysError> {
        let well_formed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        if realm.is_empty() || realm.len() > MAX_REALM || !realm.bytes().all(well_formed) {
            return Err(KeysError::Realm(realm.chars().take(MAX_REALM).collect()));
        }
        let info = Arc::new(KeyInfo { id: hex(&id), realm: realm.into(), role, created, revoked: None, quota });
        self.change(|snapshot| {
            if snapshot.entries.len() >= MAX_KEYS {
                return Err(KeysError::TooMany);
            }
            let hash = snapshot.hash(secret);
            snapshot.entries.insert(id, Entry { hash, info: info.clone() });
            Ok(())
        })?;
        Ok(info)
    }

    /// All keys, revoked ones too, ordered by time of creation.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<KeyInfo>> {
        let mut all: Vec<_> = self.snapshot.load().entries.values().map(|entry| entry.info.clone()).collect();
        all.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        all
    }

    /// Revokes a key: refused from the next call on. `revoked` is RFC 3339.
    ///
    /// # Errors
    /// [`KeysError::Unknown`], or the file cannot be replaced; then the key still lives.
    pub fn revoke(&self, id: &str, revoked: String) -> Result<Arc<KeyInfo>, KeysError> {
        let unknown = || KeysError::Unknown(id.chars().take(64).collect());
        let raw: [u8; ID_BYTES] = unhex(id).ok().and_then(|raw| raw.try_into().ok()).ok_or_else(unknown)?;
        self.change(|snapshot| {
            let live_admin = |e: &&Entry| e.info.role == Role::Admin && e.info.revoked.is_none();
            let admins = snapshot.entries.values().filter(live_admin).count();
            let entry = snapshot.entries.get_mut(&raw).filter(|e| e.info.revoked.is_none()).ok_or_else(unknown)?;
            if entry.info.role == Role::Admin && admins == 1 {
                return Err(KeysError::LastAdmin);
            }
            entry.info = Arc::new(KeyInfo { revoked: Some(revoked), ..KeyInfo::clone(&entry.info) });
            Ok(entry.info.clone())
        })
    }

    /// File first, memory second: a crash between the two loses nothing that was promised.
    fn change<T>(&self, act: impl FnOnce(&mut Snapshot) -> Result<T, KeysError>) -> Result<T, KeysError> {
        let _writing = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // From the file, not from memory: the command line may have changed it since.
        let mut next = read_file(&self.path)?;
        let result = act(&mut next)?;
        write_file(&self.path, &next)?;
        self.snapshot.store(Arc::new(next));
        Ok(result)
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Snapshot {
    fn new(pepper: Zeroizing<[u8; 32]>, entries: HashMap<[u8; ID_BYTES], Entry>) -> Self {
        Snapshot { mac: keyed(&pepper), pepper, entries }
    }

    fn hash(&self, secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(b"interlock api key v1\0");
        mac.update(secret);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: &str = "2026-11-23T00:00:00.000Z";

    fn fresh() -> (tempfile::TempDir, PathBuf, ApiKeys) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.toml");
        let keys = ApiKeys::create_file(&path).unwrap();
        (dir, path, keys)
    }

    fn bearer(text: &str) -> Vec<u8> {
        format!("Bearer {text}").into_bytes()
    }

    #[test]
    fn a_created_key_is_known_until_it_is_revoked() {
        let (_dir, path, keys) = fresh();
        let (text, info) = keys.create("main", Role::Service, NOW.into()).unwrap();
        let identity = keys.authenticate(&bearer(&text)).unwrap();
        assert_eq!((identity.key_id(), identity.realm(), identity.is_admin()), (info.id.as_str(), "main", false));
        let again = ApiKeys::open(&path).unwrap();
        assert!(again.authenticate(&bearer(&text)).is_some());
        keys.revoke(&info.id, NOW.into()).unwrap();
        assert!(keys.authenticate(&bearer(&text)).is_none());
        assert!(ApiKeys::open(&path).unwrap().authenticate(&bearer(&text)).is_none());
        assert!(matches!(keys.revoke(&info.id, NOW.into()), Err(KeysError::Unknown(_))));
    }

    #[test]
    fn a_key_that_differs_in_one_digit_is_unknown() {
        let (_dir, _path, keys) = fresh();
        let (text, _) = keys.create("main", Role::Service, NOW.into()).unwrap();
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).unwrap();
            assert!(keys.authenticate(&bearer(&other)).is_none(), "digit {at}");
        }
        for other in ["", "ilk_", text.strip_prefix('i').unwrap(), &format!("{}0", *text), text.get(..80).unwrap()] {
            assert!(keys.authenticate(&bearer(other)).is_none());
        }
        assert!(keys.authenticate(text.as_bytes()).is_none());
        assert!(keys.authenticate(format!("Basic {}", *text).as_bytes()).is_none());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_dir, path, _keys) = fresh();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(ApiKeys::open(&path), Err(KeysError::Exposed { .. })), "{mode:o}");
        }
    }

    #[test]
    fn the_file_holds_no_secret_and_errors_quote_nothing_of_it() {
        let (_dir, path, keys) = fresh();
        let (text, _) = keys.create("main", Role::Service, NOW.into()).unwrap();
        let stored = fs::read_to_string(&path).unwrap();
        assert!(!stored.contains(text.rsplit('_').next().unwrap()));
        let pepper = stored.split('"').nth(1).unwrap().to_owned();
        fs::write(&path, stored.replace("pepper", "popper")).unwrap();
        let message = ApiKeys::open(&path).unwrap_err().to_string();
        assert!(!message.contains(&pepper), "{message}");
    }

    #[test]
    fn the_admin_bearer_follows_from_the_seed_alone() {
        let (_dir, _path, keys) = fresh();
        let seed = [7; 32];
        keys.create_admin(&seed, NOW.into()).unwrap();
        let identity = keys.authenticate(&bearer(&admin_bearer(&seed))).unwrap();
        assert!(identity.is_admin());
        assert!(keys.authenticate(&bearer(&admin_bearer(&[8; 32]))).is_none());
    }

    #[test]
    fn idempotency_tags_are_apart_by_realm_and_by_key() {
        let (_dir, _path, keys) = fresh();
        let identity = |realm: &str| {
            let (text, _) = keys.create(realm, Role::Service, NOW.into()).unwrap();
            keys.authenticate(&bearer(&text)).unwrap()
        };
        let (one, two, three) = (identity("main"), identity("main"), identity("other"));
        let tags = [
            keys.idempotency_tag(&one, "k"),
            keys.idempotency_tag(&two, "k"),
            keys.idempotency_tag(&three, "k"),
            keys.idempotency_tag(&one, "l"),
        ];
        for (n, tag) in tags.iter().enumerate() {
            assert!(!tags[..n].contains(tag));
        }
        assert_eq!(tags[0], keys.idempotency_tag(&one, "k"));
    }

    #[test]
    fn realms_have_plain_names() {
        let (_dir, _path, keys) = fresh();
        for realm in ["", "Main", "a b", "a/b", &"a".repeat(65)] {
            assert!(matches!(keys.create(realm, Role::Service, NOW.into()), Err(KeysError::Realm(_))), "{realm}");
        }
    }
}
