//! Trouble told to an address: a small JSON by POST.
//!
//! Guarantees: the watch never waits for it but at its own end, and then as long as one call may take; so many calls are under way at most,
//! and what is told beyond them is said on standard error instead. Nobody's answer is read.

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::exit::Failure;
use crate::output::note;

/// A call takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Calls under way at once.
const AT_ONCE: usize = 4;

/// Where trouble is told.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    under_way: JoinSet<()>,
}

impl Webhook {
    /// At this address.
    pub fn new(url: &str) -> Result<Self, Failure> {
        Ok(Self { client: Client::patient(url, PATIENCE)?, under_way: JoinSet::new() })
    }

    /// Tells something, and does not wait.
    pub fn tell(&mut self, what: &Value) {
        while self.under_way.try_join_next().is_some() {}
        if self.under_way.len() >= AT_ONCE {
            note!("the webhook does not keep up: this was not told");
            return;
        }
        let (client, body) = (self.client.clone(), what.to_string().into_bytes());
        self.under_way.spawn(async move {
            match client.post_within("application/json", body).await {
                Ok(status) if status.is_success() => {}
                Ok(status) => note!("the webhook answered {status}"),
                Err(failure) => note!("the webhook: {failure}"),
            }
        });
    }

    /// Waits for what is under way.
    pub async fn finish(mut self) {
        while self.under_way.join_next().await.is_some() {}
    }
}
