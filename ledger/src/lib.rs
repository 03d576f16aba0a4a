//! What is kept: the append-only Merkle log of Interlock, and its only writer.
//!
//! The way of a batch: [`Batch`] → [`Ledger::append`] (stage: vault, tree → commit: frame → sign → memory → publish) → [`Reader`].
//! The way back after a crash: `recover.rs`. What is derived: `derived.rs`. All `unsafe`: `map.rs`. Every disk operation: [`storage`].

mod archive;
mod background;
mod batch;
mod bundle;
mod bytes;
mod cases;
mod check;
mod choice;
mod commit;
mod create;
mod derived;
mod erase;
#[cfg(test)]
mod format;
mod frame;
mod grow;
mod head;
pub mod http;
mod keys;
mod layout;
mod ledger;
mod levels;
mod map;
mod memory;
#[cfg(test)]
#[path = "../../testdata/mutate.rs"]
mod mutate;
#[cfg(test)]
mod mutations;
mod near;
mod open;
mod prove;
mod reader;
mod recover;
mod rows;
mod runs;
mod scan;
mod seal;
mod sealed;
mod segments;
mod signer;
#[cfg(test)]
mod small;
mod snapshots;
mod stage;
pub mod storage;
mod stored;
mod transfer;
mod tree;
mod vault;
mod vault_scan;

pub use archive::{open_archive, open_archive_in};
pub use batch::{Batch, BatchError};
pub use bundle::{BundleError, Wanted};
pub use cases::{Cases, MAX_CASE};
pub use check::{CheckError, Problem, Progress, Report, audit, audit_in, fsck, fsck_in};
pub use choice::{Choice, ChoiceError};
pub use commit::Committer;
pub use create::{CreateError, Creation, create, create_in};
pub use erase::EraseError;
pub use frame::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES};
pub use head::Head;
pub use layout::{SEGMENT_BYTES, default_memory};
pub use ledger::{AppendError, Appended, Ledger, Syncs};
pub use near::Near;
pub use open::{OpenError, Options};
pub use reader::{MAX_ENTRIES, ReadError, Reader};
pub use seal::SealError;
pub use sealed::Dictionary;
pub use signer::{Signer, SignerError};
pub use snapshots::{MAX_SNAPSHOT, Snapshots};
pub use stage::{Staged, Stager};
pub use stored::StoredBundle;
pub use transfer::{Malformed, TransferError, Transferred, backup, backup_in, export, export_in, import, import_in};
pub use vault::{MAX_BATCH_PRIVATE_BYTES, Private, PrivateOwned};
