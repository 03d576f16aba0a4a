//! `interlock keys`: API keys of a log that no server has open, or of a running server by its address; and signing keys, which no server
//! ever sees: of agents, executors and approvers, whose public halves an epoch names.

use std::num::NonZeroU32;
use std::path::PathBuf;

use authorizer::keys::{ApiKeys, Role};
use authorizer::quota::Quota;
use authorizer::service::api_keys_path;
use clap::{Args, Subcommand, ValueEnum};
use ledger::Signer;
use serde_json::{Value, json};
use verifier::text::rfc3339;

use crate::client::block_on;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::house::{self, Admin};
use crate::output::say;

/// Create, list or revoke API keys; make a signing key.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key; its text is shown this once
    Create {
        #[command(flatten)]
        at: At,
        /// The realm that every decision of the key belongs to
        #[arg(long, default_value = "main")]
        realm: String,
        /// What it may do: ask for decisions, or read its realm's requests and details
        #[arg(long, value_enum, default_value_t = Purpose::Service)]
        role: Purpose,
        #[command(flatten)]
        quota: QuotaArgs,
    },
    /// Show all keys, without their secrets
    List {
        #[command(flatten)]
        at: At,
    },
    /// Refuse a key from now on
    Revoke {
        #[command(flatten)]
        at: At,
        /// The key's id
        id: String,
    },
    /// Make a signing key for an agent, an executor or an approver; prints the public half, which an epoch's trust file names
    Signer {
        /// Its name: one line without spaces and `+`
        name: String,
        /// Where the private half goes; a file that is there is not replaced
        #[arg(short, long)]
        output: PathBuf,
    },
}

/// What a key is made for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Purpose {
    /// Ask for decisions and read own permits
    Service,
    /// Read the requests and details of its realm's decisions, also where the realm is committed; nothing else
    Read,
}

impl From<Purpose> for Role {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Service => Self::Service,
            Purpose::Read => Self::Read,
        }
    }
}

/// What a key may take; beyond it it gets 429.
#[derive(Debug, Clone, Copy, Args)]
pub struct QuotaArgs {
    /// Requests and statements a second
    #[arg(long)]
    records_per_second: Option<NonZeroU32>,
    /// Bytes of bodies a second
    #[arg(long)]
    bytes_per_second: Option<NonZeroU32>,
}

/// Where the keys are.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct At {
    /// The log's directory; no server may have it open
    #[arg(long, conflicts_with_all = ["url", "key_file"])]
    data: Option<PathBuf>,
    /// A running server's decision API
    #[arg(long, requires = "key_file")]
    url: Option<String>,
    /// The file with the admin key
    #[arg(long, requires = "url")]
    key_file: Option<PathBuf>,
    /// One JSON value instead of lines for people
    #[arg(long)]
    json: bool,
}

impl Keys {
    /// Runs the subcommand.
    pub fn run(&self) -> Result<Exit, Failure> {
        let (at, deed) = match self {
            Self::Signer { name, output } => return signer(name, output),
            Self::Create { at, realm, role, quota } => (at, Deed::Create(realm, (*role).into(), *quota)),
            Self::List { at } => (at, Deed::List),
            Self::Revoke { at, id } => (at, Deed::Revoke(id)),
        };
        let answer = at.carry_out(deed)?;
        if let Err(unseen) = print(&answer, at.json) {
            return Err(match (deed, answer.get("id").and_then(Value::as_str)) {
                // A key that nobody has seen must not live.
                (Deed::Create(..), Some(id)) => match at.carry_out(Deed::Revoke(id)) {
                    Ok(_) => unseen,
                    Err(living) => {
                        unseen.and(format!("key {id}, which nobody has seen, could not be revoked: {living}"))
                    }
                },
                (Deed::Create(..) | Deed::List | Deed::Revoke(_), _) => unseen,
            });
        }
        Ok(Exit::Ok)
    }
}

/// The private half is durable before the public one is shown.
fn signer(name: &str, output: &std::path::Path) -> Result<Exit, Failure> {
    let signer = Signer::generate(name).map_err(Failure::usage)?;
    files::write_new(output, &format!("{}\n", signer.skey().as_str()), 0o600)?;
    say!("{}", signer.verifier_key())?;
    Ok(Exit::Ok)
}

/// What is to be done with keys.
#[derive(Debug, Clone, Copy)]
enum Deed<'a> {
    /// Make one in this realm, for this.
    Create(&'a str, Role, QuotaArgs),
    List,
    /// Revoke the one with this id.
    Revoke(&'a str),
}

impl At {
    fn carry_out(&self, deed: Deed<'_>) -> Result<Value, Failure> {
        match (&self.data, &self.url, &self.key_file) {
            (Some(data), _, _) => in_directory(data, deed),
            (None, Some(url), Some(key_file)) => at_server(&Admin::read(key_file)?, url, deed),
            (None, _, _) => Err(Failure::usage("either --data, or --url with --key-file")),
        }
    }
}

fn in_directory(data: &std::path::Path, deed: Deed<'_>) -> Result<Value, Failure> {
    let (_ledger, _) = house::open(data, &house::Words::default())?; // its lock: a running server would not see the change
    let keys = ApiKeys::open(&api_keys_path(data)).map_err(Failure::unavailable)?;
    let now = rfc3339(house::now_ms());
    let as_json = |info: &authorizer::keys::KeyInfo| serde_json::to_value(info).map_err(Failure::undecidable);
    match deed {
        Deed::Create(realm, role, QuotaArgs { records_per_second, bytes_per_second }) => {
            let quota = Quota { records_per_second, bytes_per_second };
            let made = keys.create_limited(realm, role, quota, now);
            let (text, info) = made.map_err(Failure::refused)?;
            let mut answer = as_json(&info)?;
            if let Some(object) = answer.as_object_mut() {
                object.insert("key".to_owned(), json!(text.as_str()));
            }
            Ok(answer)
        }
        Deed::List => {
            let keys = keys.list().iter().map(|info| as_json(info)).collect::<Result<Vec<_>, _>>()?;
            Ok(json!({ "keys": keys }))
        }
        Deed::Revoke(id) => as_json(&*keys.revoke(id, now).map_err(Failure::refused)?),
    }
}

fn at_server(admin: &Admin, url: &str, deed: Deed<'_>) -> Result<Value, Failure> {
    let client = admin.client(url)?;
    block_on(async {
        let answer = match deed {
            Deed::Create(realm, role, QuotaArgs { records_per_second, bytes_per_second }) => {
                let body = json!({
                    "realm": realm, "role": role, "records_per_second": records_per_second, "bytes_per_second": bytes_per_second,
                });
                client.post("/v1/keys", "application/json", body.to_string().into_bytes()).await?
            }
            Deed::List => client.get("/v1/keys").await?,
            Deed::Revoke(id) => {
                if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(Failure::usage(format!("`{id}` is not a key id")));
                }
                client.delete(&format!("/v1/keys/{id}")).await?
            }
        };
        answer.success()?.json()
    })
}

fn print(answer: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return say!("{answer}");
    }
    let line = |key: &Value| {
        let field = |name| key.get(name).and_then(Value::as_str).unwrap_or("-");
        let state =
            key.get("revoked").and_then(Value::as_str).map_or("live".to_owned(), |time| format!("revoked {time}"));
        say!("{}  {:<8}{:<20}{}  {state}", field("id"), field("role"), field("realm"), field("created"))
    };
    match answer.get("keys").and_then(Value::as_array) {
        Some(keys) => keys.iter().try_for_each(line)?,
        None => line(answer)?,
    }
    match answer.get("key").and_then(Value::as_str) {
        Some(text) => say!("{text}"),
        None => Ok(()),
    }
}
