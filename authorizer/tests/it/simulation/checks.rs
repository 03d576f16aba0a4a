//! What is compared after a step: the log with what it was, the state in memory with the fold of the log, the log with what a power cut would leave.

use std::sync::Arc;

use authorizer::clock::{MAX_LEAD_MS, Source};
use authorizer::fold::Fold;
use ledger::{Ledger, Options};

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
        if self.chance(0.02) {
            self.check_fold();
        }
        if self.chance(0.01) {
            self.check_medium();
        }
    }

    /// The state in memory is the fold over the log.
    pub(super) fn check_fold(&self) {
        let Some(Process { shared, sequencer: Some(sequencer), .. }) = &self.process else { return };
        let again = Fold::of(&shared.reader, &self.governors, None).unwrap().fold;
        let live = sequencer.fold();
        assert_eq!((live.governance, live.epoch, live.frozen), (again.governance, again.epoch, again.frozen));
        assert_eq!((&live.epochs, &live.switches, &live.committed), (&again.epochs, &again.switches, &again.committed));
        // Time passes in one of them at each look, in the other at each record only.
        let now = self.latest_ms;
        let (mut live, mut again) = (live.state.clone(), again.state);
        live.advance(now);
        again.advance(now);
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
        self.count("power cuts tried beside");
    }
}
