//! Who calls, and what is shown of a key.
//!
//! Guarantees: an [`Identity`] has one birthplace, a valid key. Does not: hold a secret.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::quota::Quota;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Ask for decisions and read own permits.
    Service,
    /// Read the requests and details of its realm's decisions, also where the realm is `committed`; nothing else.
    Read,
    /// Publish epochs, throw switches and manage keys; asks for decisions too.
    Admin,
}

/// A key as it may be shown: everything but the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Twelve lower-case hex digits.
    pub id: String,
    /// The realm that every decision of this key belongs to.
    pub realm: String,
    /// What the key may do.
    pub role: Role,
    /// RFC 3339, UTC.
    pub created: String,
    /// RFC 3339, UTC; a revoked key is refused like an unknown one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// What the key may take.
    #[serde(flatten)]
    pub quota: Quota,
}

/// Who calls. Exists only for a valid key: [`super::ApiKeys::authenticate`] is its one birthplace.
///
/// ```compile_fail,E0423
/// fn forged(info: std::sync::Arc<authorizer::keys::KeyInfo>) -> authorizer::keys::Identity {
///     authorizer::keys::Identity(info)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Identity(Arc<KeyInfo>);

impl Identity {
    /// For [`super::ApiKeys::authenticate`], once the key is found to be valid.
    pub(super) fn of(info: Arc<KeyInfo>) -> Self {
        Identity(info)
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.0.id
    }

    /// The key's realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.0.realm
    }

    /// What the key may take.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.0.quota
    }

    /// What the key may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Whether the key may govern.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.0.role == Role::Admin
    }
}
