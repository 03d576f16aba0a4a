//! What a service refuses to start with.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use authorizer::keys::KeysError;
use authorizer::service::{admin_keys_path, api_keys_path};
use authorizer::{Config, Service, StartError};
use ledger::{Ledger, Options};

use crate::support::{Site, now_ms, read};

fn start(site: &Site, listen: SocketAddr) -> Result<Service, StartError> {
    let data = site.dir.path().join("data");
    let (ledger, reader) = Ledger::open(Options::new(&data), now_ms()).unwrap();
    Service::start(Config::new(&data, listen), ledger, reader)
}

#[test]
fn a_start_with_something_wrong_is_refused_and_damages_nothing() {
    let mut site = Site::new();
    site.decide(&read("1"));
    assert!(site.service.take().unwrap().stop());
    let data = site.dir.path().join("data");
    let free = "127.0.0.1:0".parse().unwrap();

    assert!(matches!(start(&site, "0.0.0.0:0".parse().unwrap()), Err(StartError::Exposed(_))));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(start(&site, taken.local_addr().unwrap()), Err(StartError::Listen { .. })));

    let api = api_keys_path(&data);
    fs::set_permissions(&api, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(start(&site, free), Err(StartError::Keys(KeysError::Exposed { .. }))));
    fs::set_permissions(&api, fs::Permissions::from_mode(0o600)).unwrap();
    let kept = fs::read(&api).unwrap();
    fs::write(&api, "pepper = 1").unwrap();
    assert!(matches!(start(&site, free), Err(StartError::Keys(KeysError::Damaged { .. }))));
    fs::write(&api, kept).unwrap();

    let admins = admin_keys_path(&data);
    let kept = fs::read_to_string(&admins).unwrap();
    fs::write(&admins, "").unwrap();
    assert!(matches!(start(&site, free), Err(StartError::Governors(_))));
    // The epoch in the log was signed by another key than this one: the fold does not take it.
    let other = ledger::Signer::generate(&verifier::act::Act::key_name(crate::support::ORIGIN)).unwrap();
    fs::write(&admins, other.verifier_key().to_string()).unwrap();
    assert!(matches!(start(&site, free), Err(StartError::Fold(_))));
    fs::write(&admins, kept).unwrap();

    drop(start(&site, free).unwrap());
    assert_eq!(site.size(), 3, "one epoch part, the epoch, one decision");
}
