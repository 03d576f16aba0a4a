//! Why: a directory without its key, an imported log or a backup, still answers whoever wants to check what it holds.
//!
//! Guarantees: only the public read API is served, over what the last signed head covers; there is no decision API, no writer and no key.
//! Of a lineage it tells what the records tell; how permits stand that have not run out is unknown, and counted as such.
//! Does not: check acts of governance again; the archive's records are served as they are, and their readers check them.

use std::net::SocketAddr;
use std::sync::Arc;

use ledger::Reader;
use ledger::http::Public;
use verifier::record::Record;

use crate::clock::Source;
use crate::fold::FoldError;
use crate::http::{NotListening, PUBLIC_WORKERS, Rates, Room, Servers};
use crate::self_audit::{self, Auditor, Gauges, Plan, SelfAudits};
use crate::service::StartError;

/// Records that are read at a time.
const CHUNK: u64 = 1_024;

/// A running archive.
#[derive(Debug)]
pub struct Archive {
    servers: Servers,
    auditor: Auditor,
    address: SocketAddr,
}

impl Archive {
    /// Serves the public read API over an archive. Every record is read once, to find the epochs, and as often as planned to audit them.
    ///
    /// # Errors
    /// [`StartError`]: a record cannot be read, or the address cannot be bound.
    pub fn start(
        listen: SocketAddr,
        reader: Reader,
        clock: Arc<dyn Source>,
        rates: Rates,
        plan: Option<Plan>,
    ) -> Result<Archive, StartError> {
        let epochs = epochs(&reader)?;
        let audits = Arc::new(SelfAudits::default());
        let (ready, told) = (audits.clone(), audits.clone());
        let (audited, audit_clock) = (reader.clone(), clock.clone());
        // The archive is open, so its files are counted.
        let room = Room::take(1, PUBLIC_WORKERS)?;
        let now = clock.clone();
        let public = Public {
            reader,
            epochs: Box::new(move || epochs.clone()),
            // What can be read is there, unless it is no longer what was signed; nothing else is promised.
            ready: Box::new(move || if ready.failed() { Err(self_audit::FAILED.to_owned()) } else { Ok(()) }),
            // Nothing else happens to an archive that would be counted.
            metrics: Box::new(move || Gauges::alone(&told.standing())),
            now_ms: Box::new(move || now.wall_ms()),
        };
        let servers = Servers::start_public(listen, room, Arc::new(public), (clock, audits.clone()), rates)
            .map_err(|NotListening { address, source }| StartError::Listen { address, source })?;
        let (address, _) = servers.addresses();
        // Nobody decides here: there is nothing to stop.
        let auditor = Auditor::start(plan, audits, audited, move || audit_clock.wall_ms(), || {});
        Ok(Archive { servers, auditor: auditor.map_err(StartError::Thread)?, address })
    }

    /// The address of the public read API.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: requests under way are answered. Returns whether that was done in time.
    #[must_use]
    pub fn stop(self) -> bool {
        let served = self.servers.stop();
        self.auditor.stop() && served
    }
}

/// The indexes of the closing records of all epochs.
fn epochs(reader: &Reader) -> Result<Arc<[u64]>, FoldError> {
    let (size, mut first, mut found) = (reader.size(), 0, Vec::new());
    while first < size {
        let count = CHUNK.min(size - first);
        let entries = reader.entries(first, count).map_err(|source| FoldError::Read { index: first, source })?;
        for (index, leaf) in (first..).zip(&entries) {
            let record = Record::decode(leaf).map_err(|source| FoldError::Record { index, source })?;
            if matches!(record, Record::Epoch { .. }) {
                found.push(index);
            }
        }
        first += count;
    }
    Ok(found.into())
}
