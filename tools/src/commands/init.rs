//! `interlock init`: makes a log, its admin key and its first API key. What is secret is printed once and kept nowhere else.

use std::path::{Path, PathBuf};

use authorizer::keys::{ApiKeys, Role};
use authorizer::service::{admin_keys_path, api_keys_path};
use clap::Args;
use ledger::{CreateError, Creation, Signer, SignerError};
use serde_json::json;
use verifier::act::Act;
use verifier::text::rfc3339;

use crate::exit::{Exit, Failure};
use crate::output::{note, say};
use crate::{files, house};

/// Make a new log.
#[derive(Debug, Args)]
pub struct Init {
    /// The log's directory; must not exist, be empty or hold what an interrupted `init` left
    #[arg(long, env = "INTERLOCK_DATA_DIR")]
    data: PathBuf,
    /// The log's name for ever, such as `ledger.example/evidence`: a host that you own and a path, without scheme
    #[arg(long)]
    origin: String,
    /// One JSON object instead of lines for people
    #[arg(long)]
    json: bool,
}

/// What `init` gives, secrets included.
#[derive(Debug)]
pub struct Made {
    /// The log's verification key.
    pub vkey: String,
    /// The id of the first API key.
    pub key_id: String,
    /// The first API key.
    pub api_key: String,
    /// The administrator's signing key.
    pub admin_key: String,
}

/// Makes a log in `data`. It is one only after `show` has seen what was made: keys that nobody has are of no use, and a directory that is
/// there cannot be made again.
pub fn make(data: &Path, origin: &str, show: impl FnOnce(&Made) -> Result<(), Failure>) -> Result<Made, Failure> {
    // It cannot be changed later, so a slip is refused now.
    if origin.contains("://") || origin.ends_with('/') {
        return Err(Failure::usage(format!("origin `{origin}`: a host and a path, without scheme or trailing slash")));
    }
    let creation = Creation::begin(data, origin, house::now_ms()).map_err(refused)?;
    match furnish(data, origin, &creation).and_then(|made| show(&made).map(|()| made)) {
        Ok(made) => creation.finish().map(|_| made).map_err(refused),
        Err(failure) => Err(match creation.abandon() {
            Ok(()) => failure,
            // Whoever tries again takes it away.
            Err(left) => failure.and(format!("an unfinished log is left: {left}")),
        }),
    }
}

fn refused(error: CreateError) -> Failure {
    match error {
        CreateError::Key { source: SignerError::Unusable(_), .. } | CreateError::MemoryInside { .. } => {
            Failure::usage(error)
        }
        _ => Failure::unavailable(error),
    }
}

/// Adds the administrator and the first API key.
fn furnish(data: &Path, origin: &str, creation: &Creation) -> Result<Made, Failure> {
    let now = house::now_ms();
    let admin = Signer::generate(&Act::key_name(origin)).map_err(Failure::unavailable)?;
    files::write_new(&admin_keys_path(data), &format!("{}\n", admin.verifier_key()), 0o600)?;
    let keys = ApiKeys::create_file(&api_keys_path(data)).map_err(Failure::unavailable)?;
    keys.create_admin(&admin.seed(), rfc3339(now)).map_err(Failure::unavailable)?;
    let (api_key, info) = keys.create("main", Role::Service, rfc3339(now)).map_err(Failure::unavailable)?;
    Ok(Made {
        vkey: creation.verifier_key().to_string(),
        key_id: info.id.clone(),
        api_key: api_key.to_string(),
        admin_key: admin.skey().to_string(),
    })
}

impl Init {
    /// Makes the log and prints its keys.
    pub fn run(&self) -> Result<Exit, Failure> {
        make(&self.data, &self.origin, |made| self.show(made))?;
        if !self.json {
            note!(
                "api_key and admin_key are shown this once: keep them. vkey is public: give it to everybody who shall check."
            );
            note!(
                "{} remembers the head and must stay beside the log, never inside it.",
                ledger::default_memory(&self.data).display()
            );
        }
        Ok(Exit::Ok)
    }

    fn show(&self, Made { vkey, key_id, api_key, admin_key }: &Made) -> Result<(), Failure> {
        let origin = &self.origin;
        if self.json {
            return say!(
                "{}",
                json!({"origin": origin, "vkey": vkey, "key_id": key_id, "api_key": api_key, "admin_key": admin_key})
            );
        }
        say!(
            "origin     {origin}\nvkey       {vkey}\nkey_id     {key_id}\napi_key    {api_key}\nadmin_key  {admin_key}"
        )
    }
}
