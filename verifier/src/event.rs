//! Execution events: what an enforcement point signs about an execution under a permit.
//!
//! An event is the text of a signed note (C2SP signed-note) under a key that the epoch names for the permit's audience. The whole note stands
//! in the closure record, so that whoever holds the log can check who reported. An event names its permit and is worth something once only:
//! a renewal names the end of the lease that it renews, which is another one afterwards; the others end or begin what can end or begin once.
//!
//! ```text
//! interlock/event/v1
//! <origin>
//! <permit>
//! <started|renew|completed|failed|aborted>
//! <none| lease end, Unix ms | base64 SHA-256(request salt ‖ what was executed)>
//! ```
//!
//! `started` has `none`, `renew` the lease end, `completed` the commitment; `failed` and `aborted` have the commitment or `none`.

use thiserror::Error;

use crate::decision::PermitId;
use crate::hash::Hash;
use crate::text::decimal;

/// What is reported or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Execution begins.
    Started,
    /// Execution wants to go on behind the end of its lease.
    Renew {
        /// The end of the lease, Unix milliseconds.
        ends_at: u64,
    },
    /// Execution ended.
    Completed {
        /// Commitment to what was executed, under the permit's request salt.
        executed: Hash,
    },
    /// Execution ended in an error.
    Failed {
        /// Commitment to what was executed, if anything was.
        executed: Option<Hash>,
    },
    /// Execution was given up.
    Aborted {
        /// Commitment to what was executed, if anything was.
        executed: Option<Hash>,
    },
}

/// An event, as signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The log that the permit stands in.
    pub origin: String,
    /// The permit.
    pub permit: PermitId,
    /// What happened.
    pub step: Step,
}

/// Text that is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an execution event")]
pub struct NotAnEvent;

const NONE: &str = "none";

impl Event {
    /// The text to sign, with its final line feed.
    pub fn text(&self) -> String {
        let Self { origin, permit, step } = self;
        let or_none = |hash: &Option<Hash>| hash.map_or(NONE.to_owned(), |hash| hash.to_string());
        let (name, argument) = match step {
            Step::Started => ("started", NONE.to_owned()),
            Step::Renew { ends_at } => ("renew", ends_at.to_string()),
            Step::Completed { executed } => ("completed", executed.to_string()),
            Step::Failed { executed } => ("failed", or_none(executed)),
            Step::Aborted { executed } => ("aborted", or_none(executed)),
        };
        format!("interlock/event/v1\n{origin}\n{permit}\n{name}\n{argument}\n")
    }

    /// Reads the text of an opened note.
    pub fn parse(text: &str) -> Result<Self, NotAnEvent> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(NotAnEvent)?.split('\n').collect();
        let ["interlock/event/v1", origin, permit, name, argument] = lines.as_slice() else { return Err(NotAnEvent) };
        let hash = || argument.parse::<Hash>().map_err(|_| NotAnEvent);
        let or_none = || if *argument == NONE { Ok(None) } else { hash().map(Some) };
        let step = match *name {
            "started" if *argument == NONE => Step::Started,
            "renew" => Step::Renew { ends_at: decimal(argument).map_err(|_| NotAnEvent)? },
            "completed" => Step::Completed { executed: hash()? },
            "failed" => Step::Failed { executed: or_none()? },
            "aborted" => Step::Aborted { executed: or_none()? },
            _ => return Err(NotAnEvent),
        };
        Ok(Self { origin: (*origin).to_owned(), permit: permit.parse().map_err(|_| NotAnEvent)?, step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_reads_back_as_written_and_no_other_text_is_one() {
        let executed = Hash([7; 32]);
        for step in [
            Step::Started,
            Step::Renew { ends_at: 1_795_428_000_000 },
            Step::Completed { executed },
            Step::Failed { executed: None },
            Step::Failed { executed: Some(executed) },
            Step::Aborted { executed: None },
        ] {
            let event = Event { origin: "ledger.example/log".into(), permit: PermitId([9; 16]), step };
            assert_eq!(Event::parse(&event.text()), Ok(event.clone()));
            assert_eq!(Event::parse(&format!("{}more\n", event.text())), Err(NotAnEvent));
        }
        let id = PermitId([9; 16]);
        for (name, argument) in [
            ("started", "1"),
            ("renew", "none"),
            ("renew", "01"),
            ("completed", "none"),
            ("failed", "x"),
            ("ended", "none"),
        ] {
            let text = format!("interlock/event/v1\no\n{id}\n{name}\n{argument}\n");
            assert_eq!(Event::parse(&text), Err(NotAnEvent), "{text}");
        }
    }
}
