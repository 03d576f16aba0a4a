//! `interlock demo`: a log in a temporary directory, sample policies, sample agent traffic, and one receipt verified step by step.

use std::net::{SocketAddr, TcpListener};

use authorizer::engine::split_policies;
use clap::Args;
use verifier::act::Mode;
use verifier::epoch::EpochContent;
use verifier::receipt::Receipt;
use verifier::verify::{LogKey, Said, climb};

use crate::client::{Client, block_on};
use crate::commands::trace::{Format, send, summary};
use crate::commands::{init, policy, serve};
use crate::exit::{Exit, Failure};
use crate::house::{Addresses, Admin, House, Words};
use crate::output::{self, say};

const ORIGIN: &str = "ledger.example/demo";
const POLICIES: &str = include_str!("../../../testdata/policies/airline/policies.cedar");
const SCHEMA: &str = include_str!("../../../testdata/policies/airline/schema.cedarschema");
const TRAFFIC: &str = include_str!("../../../testdata/traffic/airline-sample.ndjson");

/// A request for the reader's own hand: compensation for somebody who is neither silver nor gold.
const TO_TRY: &str = r#"{"subject":{"type":"Session","id":"s1","properties":{"customer":"ada","membership":"regular","payment_methods":[]}},"action":{"name":"send_certificate","properties":{"user_id":"ada","amount":100}},"resource":{"type":"Customer","id":"ada"},"context":{"now":"2026-03-10T09:00:00Z"}}"#;

/// See it work: decide sample traffic, verify one receipt, serve until Ctrl-C.
#[derive(Debug, Args)]
pub struct Demo {
    /// End when everything has been shown
    #[arg(long)]
    exit: bool,
}

impl Demo {
    /// Runs the demo.
    pub fn run(&self) -> Result<Exit, Failure> {
        let directory = tempfile::tempdir().map_err(Failure::unavailable)?;
        let data = directory.path().join("log");
        let made = init::make(&data, ORIGIN, |_| Ok(()))?;
        let house = House::open(&data, &addresses(), &Words::default())?;
        let shown = show(&house, &made);
        if shown.is_ok() && !self.exit {
            say!("\nServing until Ctrl-C; the log is then deleted.")?;
            serve::until_signal()?;
        }
        house.stop();
        shown
    }
}

/// The usual ports where they are free.
fn addresses() -> Addresses {
    let free = Addresses::anywhere_on_loopback();
    let usual = |port: u16, otherwise: SocketAddr| {
        let address = SocketAddr::new(otherwise.ip(), port);
        if TcpListener::bind(address).is_ok() { address } else { otherwise }
    };
    Addresses { listen: usual(7411, free.listen), public: usual(7410, free.public) }
}

fn show(house: &House, made: &init::Made) -> Result<Exit, Failure> {
    say!("An append-only log, origin {ORIGIN}\n  verification key {}\n", made.vkey)?;
    let admin = Admin::new(&made.admin_key)?;
    let policies = split_policies(POLICIES).map_err(Failure::refused)?;
    let content = EpochContent { policies, schema: Some(SCHEMA.to_owned()), entities: None, trust: None };
    let published = block_on(async {
        policy::publish(&admin, &admin.client(&house.decision_url())?, (Mode::Live, &content), None).await
    })?;
    let index = published.get("index").and_then(serde_json::Value::as_u64).unwrap_or_default();
    say!("Epoch 1 at index {index}: {} policies, the written rules of an airline", content.policies.len())?;

    let client = Client::new(&house.decision_url(), Some(made.api_key.clone()))?;
    say!("\nAn agent's calls, each decided and recorded before it would run:")?;
    let decided = block_on(send(&client, TRAFFIC, Format::TauAirline, |_| Ok(())))?;
    output::print(summary(&decided))?;

    let denied = decided.iter().find(|call| !call.allowed()).ok_or_else(|| Failure::refused("no call was denied"))?;
    let text = |field: &str| denied.answer.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    say!("\nThe receipt of one denial, `{}` of session {}:\n", denied.tool, denied.session)?;
    let receipt = block_on(async {
        let public = Client::new(&house.public_url(), None)?;
        public.get(&format!("/v1/receipts/{}", text("permit"))).await?.success()
    })?;
    output::print(receipt.text()?)?;
    say!("\nVerified offline, with the key alone:\n")?;
    let receipt = Receipt::parse(receipt.text()?).map_err(Failure::undecidable)?;
    let climb = climb(&receipt, None, &[LogKey::unlimited(made.vkey.parse().map_err(Failure::undecidable)?)]);
    output::print(Said::leaf(&climb).text("receipt"))?;
    climb.verdict.map_err(|refusal| Failure::refused(format!("the demo's own receipt does not verify: {refusal}")))?;

    let (decisions, public) = (house.decision_url(), house.public_url());
    say!("\nDecision API     {decisions}\nPublic read API  {public}")?;
    say!("\nIn a browser:\n  {public}/      this log: its key, its head, how to check it")?;
    say!("  {public}/demo  your own policies and requests, decided, verified and broken in the page\n\nTry:")?;
    say!("  curl -s {public}/checkpoint")?;
    say!("  curl -s {public}/v1/receipts/{}", text("permit"))?;
    say!(
        "  curl -s {decisions}/v1/decisions -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' -d '{}'",
        made.api_key,
        TO_TRY
    )?;
    Ok(Exit::Ok)
}
