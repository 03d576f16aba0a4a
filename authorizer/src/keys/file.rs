//! The key file: TOML, 0600, replaced as a whole.
//!
//! Guarantees: read only if nobody else may read or write it; a crash while writing leaves the old or the new file,
//! whole. Errors quote nothing of the content, which holds the pepper.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verifier::text::hex;
use zeroize::Zeroizing;

use super::bearer::{ID_BYTES, unhex_into};
use super::{Entry, KeyInfo, KeysError, MAX_KEYS, Role, Snapshot};
use crate::quota::Quota;

/// The largest key file that is read: [`MAX_KEYS`] entries of about 300 bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    pepper: String,
    #[serde(default)]
    key: Vec<StoredKey>,
}

// Its own list of fields: serde cannot refuse unknown ones through a flattened structure.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    hash: String,
    realm: String,
    role: Role,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records_per_second: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<NonZeroU32>,
}

pub(super) fn read_file(path: &Path) -> Result<Snapshot, KeysError> {
    let io_error = |source| KeysError::Io { path: path.into(), source };
    let damaged = |reason| KeysError::Damaged { path: path.into(), reason };
    let file = File::open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Exposed { path: path.into(), mode });
    }
    if metadata.len() > MAX_FILE {
        return Err(damaged("too large"));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(io_error)?;
    // The parser's own message would quote the line, and a line may hold the pepper.
    let stored: Stored = toml::from_str(&text).map_err(|_| damaged("not the expected TOML"))?;
    let pepper_text = Zeroizing::new(stored.pepper);
    let mut pepper = Zeroizing::new([0; 32]);
    unhex_into(pepper_text.as_bytes(), pepper.as_mut()).ok_or_else(|| damaged("pepper is not 64 hex digits"))?;
    if stored.key.len() > MAX_KEYS {
        return Err(damaged("too many keys"));
    }
    let mut entries = HashMap::with_capacity(stored.key.len());
    for stored in stored.key {
        let StoredKey { id, hash, realm, role, created, revoked, records_per_second, bytes_per_second } = stored;
        let quota = Quota { records_per_second, bytes_per_second };
        let (mut raw_id, mut raw_hash) = ([0; ID_BYTES], [0; 32]);
        unhex_into(id.as_bytes(), &mut raw_id).ok_or_else(|| damaged("a key id is not 12 hex digits"))?;
        unhex_into(hash.as_bytes(), &mut raw_hash).ok_or_else(|| damaged("a key hash is not 64 hex digits"))?;
        let info = Arc::new(KeyInfo { id, realm, role, created, revoked, quota });
        if entries.insert(raw_id, Entry { hash: raw_hash, info }).is_some() {
            return Err(damaged("a key id stands twice"));
        }
    }
    Ok(Snapshot::new(pepper, entries))
}

pub(super) fn write_file(path: &Path, snapshot: &Snapshot) -> Result<(), KeysError> {
    let io_error = |source| KeysError::Io { path: path.into(), source };
    let mut key: Vec<StoredKey> = snapshot
        .entries
        .values()
        .map(|entry| {
            let KeyInfo { id, realm, role, created, revoked, quota } = KeyInfo::clone(&entry.info);
            let Quota { records_per_second, bytes_per_second } = quota;
            let hash = hex(&entry.hash);
            StoredKey { id, hash, realm, role, created, revoked, records_per_second, bytes_per_second }
        })
        .collect();
    key.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
    let stored = Stored { pepper: hex(&*snapshot.pepper), key };
    let text = toml::to_string(&stored)
        .map_err(|_| KeysError::Damaged { path: path.into(), reason: "cannot be written as TOML" })?;
    let text = Zeroizing::new(text);
    let temporary = path.with_extension("toml.new");
    // A left-over of a crash: nobody reads it, the next writer replaces it.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(io_error)?;
    file.write_all(text.as_bytes()).map_err(io_error)?;
    // A crash up to here leaves the old file; after the rename, old or new; after the directory's sync, the new one.
    file.sync_all().map_err(io_error)?;
    fs::rename(&temporary, path).map_err(io_error)?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|d| d.sync_all()).map_err(io_error)
}
