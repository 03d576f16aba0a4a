//! `interlock policy`: checks, publishes and shows epochs.

use std::path::{Path, PathBuf};

use authorizer::engine::{Finding, Published};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use verifier::act::{Deed, Mode};
use verifier::epoch::EpochContent;

use crate::client::block_on;
use crate::exit::{Exit, Failure};
use crate::house::{self, Admin, House};
use crate::output::{note, say};
use crate::{client::Client, files};

/// Check, publish or show policies.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Validate an epoch's content without publishing it
    Check {
        #[command(flatten)]
        content: Content,
    },
    /// Publish an epoch: in a directory that no server has open, or on a running server
    Publish {
        #[command(flatten)]
        content: Content,
        /// The log's directory
        #[arg(long, conflicts_with = "url")]
        data: Option<PathBuf>,
        /// A running server's decision API
        #[arg(long, required_unless_present = "data")]
        url: Option<String>,
        /// For a log's first epoch: a file with the final checkpoint of the frozen log that it succeeds
        #[arg(long, value_name = "CHECKPOINT")]
        predecessor: Option<PathBuf>,
        /// Try it in the live epoch's shadow: every decision records its verdict too, and nothing of it is enforced
        #[arg(long)]
        shadow: bool,
        /// The file with the admin key
        #[arg(long, env = "INTERLOCK_KEY_FILE")]
        key_file: PathBuf,
    },
    /// Show the epoch in force
    Show {
        /// The public read API
        #[arg(long, env = "INTERLOCK_PUBLIC_URL", default_value = "http://127.0.0.1:7410")]
        url: String,
    },
}

/// What an epoch is made of.
#[derive(Debug, Args)]
pub struct Content {
    /// A Cedar file, or a folder of them; every policy has a unique `@id`
    #[arg(long)]
    policies: PathBuf,
    /// The schema in Cedar syntax
    #[arg(long)]
    schema: Option<PathBuf>,
    /// Registered entities in Cedar's JSON entity format
    #[arg(long)]
    entities: Option<PathBuf>,
    /// Trust configuration, TOML
    #[arg(long)]
    trust: Option<PathBuf>,
}

impl Content {
    /// Reads the files and checks them as publishing does.
    pub fn read(&self) -> Result<EpochContent, Failure> {
        let read = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| files::read_text(path, files::MAX_EPOCH_FILE)).transpose()
        };
        let mut policies = Vec::new();
        for file in files::policy_files(&self.policies)? {
            let text = files::read_text(&file, files::MAX_EPOCH_FILE)?;
            let split = authorizer::engine::split_policies(&text);
            policies.extend(split.map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?);
        }
        policies.sort();
        let content = EpochContent {
            policies,
            schema: read(&self.schema)?,
            entities: read(&self.entities)?,
            trust: read(&self.trust)?,
        };
        // Told before anything is signed; the server that publishes says the same again.
        check(&content)?.iter().for_each(|warning| note!("warning: {warning}"));
        Ok(content)
    }
}

/// Refuses what publishing would refuse, finding by finding; gives what it would warn of.
fn check(content: &EpochContent) -> Result<Vec<Finding>, Failure> {
    Published::new(content.clone()).map(|published| published.warnings().to_vec()).map_err(|refused| {
        let lines: Vec<String> = refused.findings.iter().map(ToString::to_string).collect();
        Failure::refused(format!("the epoch is refused:\n{}", lines.join("\n")))
    })
}

impl Policy {
    /// Runs the subcommand.
    pub fn run(&self) -> Result<Exit, Failure> {
        match self {
            Self::Check { content } => {
                let content = content.read()?;
                say!("valid: {} policies, content digest {}", content.policies.len(), content.digest())?;
            }
            Self::Publish { content, data, url, predecessor, shadow, key_file } => {
                let mode = if *shadow { Mode::Shadow } else { Mode::Live };
                let (content, admin) = (content.read()?, Admin::read(key_file)?);
                let read = |path: &PathBuf| files::read_text(path, verifier::record::MAX_NOTE);
                let predecessor = predecessor.as_ref().map(read).transpose()?;
                let answer = match (data, url) {
                    (Some(data), _) => publish_in_directory(data, &admin, (mode, &content), predecessor)?,
                    (None, Some(url)) => block_on(publish(&admin, &admin.client(url)?, (mode, &content), predecessor))?,
                    (None, None) => return Err(Failure::usage("either --data or --url")),
                };
                say!("{answer}")?;
            }
            Self::Show { url } => {
                let client = Client::new(url, None)?;
                let answer = block_on(async { client.get("/v1/epochs/current").await?.success() })?;
                say!("{}", answer.text()?)?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// Opens the directory as a server on ports of its own, so that there is one way to publish.
fn publish_in_directory(
    data: &Path,
    admin: &Admin,
    epoch: (Mode, &EpochContent),
    predecessor: Option<String>,
) -> Result<Value, Failure> {
    let house = House::open(data, &house::Addresses::anywhere_on_loopback(), &house::Words::default())?;
    let published = block_on(publish(admin, &admin.client(&house.decision_url())?, epoch, predecessor));
    house.stop();
    published
}

/// Signs and posts the act; gives what the server answers.
pub async fn publish(
    admin: &Admin,
    client: &Client,
    (mode, content): (Mode, &EpochContent),
    predecessor: Option<String>,
) -> Result<Value, Failure> {
    let state = admin.state(client).await?;
    let deed = Deed::Epoch { number: state.newest_epoch + 1, content: content.digest(), mode };
    let policies: Vec<_> = content.policies.iter().map(|(id, text)| json!({"id": id, "text": text})).collect();
    let mut body = json!({"policies": policies, "note": admin.sign(state.governance, deed)});
    let parts = [
        ("schema", &content.schema),
        ("entities", &content.entities),
        ("trust", &content.trust),
        ("predecessor", &predecessor),
    ];
    for (name, text) in parts {
        if let (Some(text), Some(object)) = (text, body.as_object_mut()) {
            object.insert(name.to_owned(), json!(text));
        }
    }
    client.post("/v1/epochs", "application/json", body.to_string().into_bytes()).await?.success()?.json()
}
