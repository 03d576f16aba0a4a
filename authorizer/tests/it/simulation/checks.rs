//! What is compared after a step: the log with what it was, the state in memory with the fold of the log, the log with what a power cut would leave.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use authorizer::clock::{MAX_LEAD_MS, Source};
use authorizer::fold::Fold;
use authorizer::replay::Report;
use ledger::{Ledger, Options, Reader};

use super::process::{LOG, Process};
use super::world::World;

impl World {
    /// After every step.
    pub(super) fn check(&mut self) {
        let Some(process) = &self.process else { return };
        let (wall, monotonic) = process.began;
        let expected = wall + (self.clock.monotonic_ms() - monotonic);
        self.latest_ms = self.latest_ms.max(expected + MAX_LEAD_MS);
        if process.sequencer.is_none() {
            // The machine may be gone, and reads with it.
            return;
        }
        self.model.read(&process.shared.reader, self.latest_ms);
        for resource in std::mem::take(&mut self.callers.borrow_mut().refused) {
            self.model.refused(&resource);
        }
        if self.chance(0.02) {
            self.check_fold();
        }
        if self.chance(0.01) {
            self.check_medium();
        }
        if self.chance(0.01) {
            self.check_erased();
        }
    }

    /// The state in memory is the fold over the log.
    pub(super) fn check_fold(&self) {
        let Some(Process { shared, sequencer: Some(sequencer), .. }) = &self.process else { return };
        let again = Fold::of(&shared.reader, &self.governors, None).unwrap().fold;
        let live = sequencer.fold();
        let governed = |fold: &Fold| (fold.governance, fold.epoch, fold.candidate, fold.frozen);
        assert_eq!(governed(live), governed(&again));
        assert_eq!((&live.epochs, &live.switches, &live.committed), (&again.epochs, &again.switches, &again.committed));
        // Time passes in one of them at each look, in the other at each record only; and what was erased was idle, and is not counted there.
        let now = self.latest_ms;
        let (mut live, mut again) = (live.state.clone(), again.state);
        live.settle_by(now);
        again.settle_by(now);
        assert_eq!(live, again, "the fold of the log is another state than the one in memory");
        self.count("folds compared");
    }

    /// If power were lost now, all that was published and answered would be there.
    pub(super) fn check_medium(&self) {
        let Some(Process { shared, .. }) = &self.process else { return };
        let published = shared.reader.head();
        let after = self.ram.fork();
        after.power_loss();
        let options = Options { seal: false, ..Options::new(LOG) };
        let opened = Ledger::open_in(Arc::new(after.process()), options, self.clock.wall_ms());
        let (_ledger, reader) = opened.unwrap_or_else(|error| panic!("after a power cut: {error}"));
        let size = published.checkpoint.size;
        assert!(reader.size() >= size, "{size} were published, and {} survive", reader.size());
        assert_eq!(reader.root_at(size).unwrap(), published.checkpoint.root, "another history survives");
        for kept in &self.callers.borrow().kept {
            assert_eq!(reader.entry(kept.index).unwrap(), kept.leaf, "entry {} was answered", kept.index);
        }
        self.gone(&reader, &after.snapshot(), |index| {
            let erased = &self.callers.borrow().erased;
            erased.iter().filter(|(of, _)| *of == index).fold(0, |all, (_, parts)| all | parts)
        });
        self.count("power cuts tried beside");
    }

    /// What is erased is gone, nothing else is.
    pub(super) fn check_erased(&self) {
        let Some(Process { shared, .. }) = &self.process else { return };
        for permit in self.model.permits.values() {
            let index = permit.index;
            assert_eq!(shared.reader.erased(index).unwrap(), permit.erased, "what is erased of entry {index}");
            if permit.erased == 0 {
                let private = shared.reader.private(index).unwrap();
                assert!(private == permit.private, "entry {index} has other private parts than it had");
            }
        }
        let of = self.model.permits.values().map(|permit| (permit.index, permit.erased)).collect::<HashMap<_, _>>();
        self.gone(&shared.reader, &self.ram.snapshot(), |index| of[&index]);
        self.count("erasures looked for");
    }

    /// No file has the salt of a part that is erased: without it nobody can try what the part may have been.
    fn gone(&self, reader: &Reader, files: &BTreeMap<PathBuf, Vec<u8>>, erased: impl Fn(u64) -> u64) {
        let mut salts = HashMap::new();
        for permit in self.model.permits.values() {
            let bits = erased(permit.index);
            assert!(bits == 0 || reader.erased(permit.index).unwrap() & bits == bits, "entry {} is back", permit.index);
            let parts = [(1, permit.private.request_salt), (2, permit.private.detail_salt)];
            salts.extend(parts.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, salt)| (salt, permit.index)));
        }
        // A retry's detail has the salt of what it tries again, for replay; it is there until that detail is erased too.
        for permit in self.model.permits.values().filter(|permit| erased(permit.index) & 2 == 0) {
            permit.detail.retry_salt.iter().for_each(|salt| _ = salts.remove(salt));
        }
        // Most places are passed by after a look at two bytes.
        let mut begins = vec![false; 1 << 16];
        salts.keys().for_each(|salt| begins[usize::from(u16::from_be_bytes([salt[0], salt[1]]))] = true);
        for (path, bytes) in files.iter().filter(|_| !salts.is_empty()) {
            let begun = |at: &usize| begins[usize::from(u16::from_be_bytes([bytes[*at], bytes[*at + 1]]))];
            for at in (0..bytes.len().saturating_sub(15)).filter(begun) {
                let found = salts.get(&bytes[at..at + 16]);
                assert!(found.is_none(), "{} has what was erased of entry {found:?}", path.display());
            }
        }
    }

    /// Replay counts what is erased, by outcome and never as the same, and everything else comes out.
    pub(super) fn check_replay(&self, report: &Report) {
        let erased = self.model.permits.values().filter(|permit| permit.erased != 0).count() as u64;
        assert_eq!(report.erased.values().sum::<u64>(), erased, "{report:?}");
        let counted = |of: &[&str]| of.iter().filter_map(|name| report.not_recomputable.get(name)).sum::<u64>();
        let resting = counted(&[
            "allow, resting on others",
            "deny, resting on others",
            "allow, its nonce perhaps used unseen",
            "deny, its nonce perhaps used unseen",
        ]);
        assert_eq!(counted(&["allow", "deny"]), erased, "{report:?}");
        assert_eq!(report.same + erased + resting, report.decisions, "{report:?}");
        assert_eq!(report.executions_same + counted(&["execution"]), report.executions, "{report:?}");
        assert_eq!(report.states_same + counted(&["state"]), report.states, "{report:?}");
        // A renewal is computed again from its permit's request; everything else rests on details alone.
        let details = self.model.permits.values().any(|permit| permit.erased & 2 != 0);
        assert!(details || resting + counted(&["state"]) == 0, "{report:?}");
    }
}
