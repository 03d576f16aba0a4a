//! `interlock export`, `import` and `backup`: a log taken elsewhere, as its last signed head covers it, also beside a running server; or
//! only some of its records, as an evidence bundle (`bundle.rs`).

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use ledger::{TransferError, Transferred};
use serde_json::json;

use crate::commands::bundle::{self, Chosen};
use crate::commands::verify::read_vkey;
use crate::exit::{Exit, Failure};
use crate::output::{note, say};

/// Write a log, or an evidence bundle of some decisions, into one file. Private parts only if told to; keys never leave.
#[derive(Debug, Args)]
pub struct Export {
    /// The log's directory, beside which a server may be running; for a bundle the address of its public read API, or a directory at rest
    #[arg(value_name = "DIR|URL")]
    from_log: String,
    #[command(flatten)]
    chosen: Chosen,
    /// The file to write, which must not exist; `-` is standard output
    #[arg(short, long)]
    output: PathBuf,
    /// Take private parts too: requests, details and their salts, also of committed realms
    #[arg(long)]
    with_vault: bool,
    #[command(flatten)]
    common: Common,
}

/// Make a directory of an export: an archive, which can be read, audited and served with `serve --read-only`.
#[derive(Debug, Args)]
pub struct Import {
    /// The export; `-` is standard input
    file: PathBuf,
    /// The directory to make; must not exist or be empty
    #[arg(long)]
    data: PathBuf,
    /// The log's verification key, or a file that holds it; without it the file vouches for itself
    #[arg(long)]
    vkey: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Copy a log into another directory, private parts included; checked, with everything derived.
#[derive(Debug, Args)]
pub struct Backup {
    /// The log's directory; a server may be running
    dir: PathBuf,
    /// The directory to make; must not exist or be empty
    #[arg(long)]
    to: PathBuf,
    /// Copy the log's keys too: with them, and a memory, the copy can become the log again
    #[arg(long)]
    with_keys: bool,
    #[command(flatten)]
    common: Common,
}

/// What a source needs.
#[derive(Debug, Args)]
struct Common {
    /// Where the log's head is remembered; beside the directory without
    #[arg(long)]
    memory: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Export {
    /// Exports; what failed half-way is removed.
    pub fn run(&self) -> Result<Exit, Failure> {
        let memory = self.common.memory.as_deref();
        if self.chosen.asked() {
            return self.bundle(memory);
        }
        if bundle::is_url(&self.from_log) {
            return Err(Failure::usage(
                "a whole log is exported from its directory; of a server say which --decisions",
            ));
        }
        let dir = Path::new(&self.from_log);
        let taken = self.write(|out| ledger::export(dir, memory, self.with_vault, out).map_err(outgoing))?;
        // Standard output may be the export itself.
        if self.output != Path::new("-") {
            tell(&taken, self.common.json)?;
        }
        if !taken.private_parts {
            note!("private parts were not taken: in an archive made of this they are lost (--with-vault takes them)");
        }
        Ok(Exit::Ok)
    }

    fn bundle(&self, memory: Option<&Path>) -> Result<Exit, Failure> {
        let bytes = self.chosen.bundle(&self.from_log, memory, self.with_vault)?;
        self.write(|out| out.write_all(&bytes).map_err(|error| Failure::unavailable(format!("writing: {error}"))))?;
        if self.output != Path::new("-") {
            bundle::tell(&bytes, self.common.json)?;
        }
        note!("not anchored: it verifies under the key that it names; `interlock verify --vkey KEY` takes yours");
        Ok(Exit::Ok)
    }

    /// Writes the file, which must be new; nothing remains of one that failed half-way.
    fn write<T>(&self, content: impl FnOnce(&mut dyn Write) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.output == Path::new("-") {
            return content(&mut std::io::stdout().lock());
        }
        let name = self.output.display();
        let unavailable = |error: std::io::Error| Failure::unavailable(format!("{name}: {error}"));
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.output);
        let file = open.map_err(unavailable)?;
        let mut out = BufWriter::new(&file);
        let written = content(&mut out).and_then(|taken| {
            out.flush().map_err(unavailable)?;
            file.sync_all().map_err(unavailable)?;
            Ok(taken)
        });
        written.inspect_err(|_| {
            // A part of an export is none; what cannot be removed is refused by whoever reads it.
            let _best_effort = std::fs::remove_file(&self.output);
        })
    }
}

impl Import {
    /// Imports; nothing remains of a file that does not hold.
    pub fn run(&self) -> Result<Exit, Failure> {
        let key = self.vkey.as_ref().map(|vkey| read_vkey(vkey)).transpose()?;
        let mut input: Box<dyn Read> = if self.file == Path::new("-") {
            Box::new(std::io::stdin().lock())
        } else {
            let open = File::open(&self.file);
            Box::new(BufReader::new(open.map_err(|e| Failure::unavailable(format!("{}: {e}", self.file.display())))?))
        };
        let taken = ledger::import(&mut input, &self.data, key.as_ref()).map_err(incoming)?;
        tell(&taken, self.json)?;
        if !taken.private_parts {
            note!("without private parts: those of its decisions are lost to whoever reads this archive");
        }
        if key.is_none() {
            note!("not anchored: no --vkey was given, so the log was held against the key that the file names");
        }
        Ok(Exit::Ok)
    }
}

impl Backup {
    /// Copies; nothing remains of a copy that does not hold.
    pub fn run(&self) -> Result<Exit, Failure> {
        let copied = ledger::backup(&self.dir, self.common.memory.as_deref(), &self.to, self.with_keys);
        tell(&copied.map_err(outgoing)?, self.common.json)?;
        if self.with_keys {
            note!("it has the log's keys: before it is served as the log, put the real memory beside it");
        }
        Ok(Exit::Ok)
    }
}

fn tell(taken: &Transferred, json: bool) -> Result<(), Failure> {
    let Transferred { origin, verification_key, size, root, checkpoint, private_parts } = taken;
    if json {
        say!(
            "{}",
            json!({
                "origin": origin, "vkey": verification_key, "size": size, "root": root.to_string(),
                "checkpoint": checkpoint, "private_parts": private_parts,
            })
        )
    } else {
        say!("{origin} at size {size}, root {root}\nkey {verification_key}")
    }
}

/// What is wrong with a log that should be taken.
fn outgoing(error: TransferError) -> Failure {
    match error {
        TransferError::Damaged { .. } | TransferError::DoesNotHold { .. } => Failure::refused(error),
        TransferError::Log(_)
        | TransferError::NotEmpty { .. }
        | TransferError::Malformed(_)
        | TransferError::OtherKey { .. }
        | TransferError::Stream(_)
        | TransferError::Io(_) => Failure::unavailable(error),
    }
}

/// What is wrong with a file that should become a log.
fn incoming(error: TransferError) -> Failure {
    match error {
        TransferError::Malformed(_) => Failure::undecidable(error),
        TransferError::Log(_)
        | TransferError::Damaged { .. }
        | TransferError::DoesNotHold { .. }
        | TransferError::OtherKey { .. } => Failure::refused(error),
        TransferError::NotEmpty { .. } | TransferError::Stream(_) | TransferError::Io(_) => Failure::unavailable(error),
    }
}
