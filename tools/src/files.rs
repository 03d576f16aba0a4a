//! Reading and writing files for commands, with limits: nothing from outside is read without one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// A head: signed notes are far shorter.
pub const MAX_RECEIPT: usize = 256 * 1024;
/// Evidence of any form; bundles are the longest.
pub const MAX_EVIDENCE: usize = verifier::bundle::MAX_BUNDLE;
/// A leaf.
pub const MAX_LEAF: usize = verifier::tile::MAX_ENTRY;
/// A key file.
pub const MAX_KEY_FILE: usize = 4 * 1024;
/// One file of an epoch: the content document has the same limit.
pub const MAX_EPOCH_FILE: usize = verifier::epoch::MAX_CONTENT;

/// Reads UTF-8 text of at most `limit` bytes; `-` is standard input.
pub fn read_text(path: &Path, limit: usize) -> Result<String, Failure> {
    String::from_utf8(read_bytes(path, limit)?)
        .map_err(|_| Failure::undecidable(format!("{}: not valid UTF-8", path.display())))
}

/// Reads at most `limit` bytes; `-` is standard input.
pub fn read_bytes(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let name = path.display();
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::unavailable(format!("{name}: {error}")))?)
    };
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|error| Failure::unavailable(format!("{name}: {error}")))?;
    if bytes.len() > limit {
        return Err(Failure::undecidable(format!("{name}: more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads a secret key: a file that others can read is refused.
pub fn read_secret(path: &Path) -> Result<String, Failure> {
    let metadata =
        std::fs::metadata(path).map_err(|error| Failure::unavailable(format!("{}: {error}", path.display())))?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        return Err(Failure::unavailable(format!("{}: others may read it; `chmod 600` it first", path.display())));
    }
    Ok(read_text(path, MAX_KEY_FILE)?.trim().to_owned())
}

/// Writes a new file, refusing to replace one.
pub fn write_new(path: &Path, content: &str, mode: u32) -> Result<(), Failure> {
    let unavailable = |error| Failure::unavailable(format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(unavailable)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(unavailable)
}

/// Writes a file so that it is there whole or not at all, whatever happens: beside it, made durable, then renamed over what was there.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Failure> {
    let unavailable = |error: std::io::Error| Failure::unavailable(format!("{}: {error}", path.display()));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new).map_err(unavailable)?;
    file.write_all(content.as_ref()).and_then(|()| file.sync_all()).map_err(unavailable)?;
    // If we crash here the old file stands, and the new one is written over.
    std::fs::rename(&new, path).map_err(unavailable)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unavailable)
}

/// Writes a file, replacing what was there.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| Failure::unavailable(format!("{}: {error}", path.display())))
}

/// The Cedar files of a policy argument: the file itself, or every `*.cedar` of a folder in the order of their names.
pub fn policy_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unavailable = |error: std::io::Error| Failure::unavailable(format!("{}: {error}", path.display()));
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unavailable)? {
        let file = entry.map_err(unavailable)?.path();
        if file.extension().is_some_and(|extension| extension == "cedar") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        Err(Failure::usage(format!("{}: no `*.cedar` file in it", path.display())))
    } else {
        Ok(files)
    }
}
