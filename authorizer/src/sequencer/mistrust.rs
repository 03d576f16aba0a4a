//! The service's own switch: compiled policies were found to differ from plain Cedar.
//!
//! Guarantees: the record that says so stands before any decision that is sequenced from now on, and takes what was allowed wrongly back in
//! the same moment; what was evaluated before it is evaluated again. Does not: take anything into use; only an epoch does.

use std::sync::Arc;

use verifier::record::Record;

use super::{Fault, Sequencer};
use crate::double::Found;
use crate::fold::Mistrust;
use crate::live::Live;
use crate::notices::Notice;

impl Sequencer {
    /// Records what was found since the last turn. The batch is empty here.
    pub(super) fn mistrust(&mut self) -> Result<bool, Fault> {
        let (seen, mut found) = self.shared.doubles.take();
        if self.fold.frozen || self.fold.epoch == 0 {
            return Ok(false);
        }
        // What denied wrongly needs no word of its own once it is said.
        found.retain(|found| found.permit.is_some() || !self.fold.by_plain);
        if seen && found.is_empty() && !self.fold.by_plain {
            found.push(Found { permit: None });
        }
        if found.is_empty() {
            return Ok(false);
        }
        let recorded_at = self.shared.clock.read(self.fold.last_ms).at_ms;
        self.fold.last_ms = recorded_at;
        let found: Vec<Mistrust> = found.into_iter().map(|Found { permit }| Mistrust { permit }).collect();
        for (governance, mistrust) in (self.fold.governance.saturating_add(1)..).zip(&found) {
            self.batch.push(&Record::SystemSwitch { recorded_at, governance, cause: mistrust.text() }, None)?;
        }
        // A crash from here on: the switch stands or it does not; if it does, the next start decides by plain Cedar.
        self.append()?;
        found.iter().for_each(|mistrust| self.fold.mistrust(*mistrust));
        let live = self.shared.live.load_full();
        if let Some(engines) = &live.engines {
            engines.mistrust();
        }
        self.shared.live.store(Arc::new(Live::of(&self.fold, live.engines.clone(), live.candidate.clone())));
        for mistrust in found {
            let (version, target) = (self.fold.governance, mistrust.permit.map(|permit| format!("permit {permit}")));
            self.shared.notices.tell(Notice::Governance { version, act: "system-switch", target });
        }
        Ok(true)
    }
}
