//! The closed list of codes that a verdict may carry: one stable snake_case name each, in the order of the conditions.
//!
//! A code says why a condition failed or could not be evaluated; it stands in the private detail of the record and in the answer's
//! `reasons`. Names never change their meaning; new ones are added, none is reused.

use std::fmt;

use verifier::decision::Condition;

macro_rules! codes {
    ($($condition:ident: $($(#[$doc:meta])+ $variant:ident = $name:literal,)+)+) => {
        /// Why a condition did not pass.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($($(#[$doc])+ $variant,)+)+
        }

        impl Code {
            /// Every code, condition by condition.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)+)+];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)+)+
                }
            }

            /// The condition that this code speaks about.
            pub const fn condition(self) -> Condition {
                match self {
                    $($(Self::$variant => Condition::$condition,)+)+
                }
            }
        }
    };
}

codes! {
    Policy:
        /// A `forbid` policy is satisfied; `policies` names it.
        Forbidden = "forbidden",
        /// No `permit` policy is satisfied: deny is the default.
        NoMatchingPermit = "no_matching_permit",
        /// A `forbid` policy whose scope matched could not be evaluated; the record names it among the erring policies.
        PolicyError = "policy_error",
        /// The epoch's schema declares no such action, or it applies to nothing.
        UnknownAction = "unknown_action",
        /// The schema declares no such entity type (or not this id of an enumerated one), or the type's name is not a Cedar name.
        UnknownType = "unknown_type",
        /// The action does not apply to a subject or a resource of this type.
        NotApplicable = "not_applicable",
        /// A native request carries a property or context key that the schema does not declare: no policy could have seen it.
        Undeclared = "undeclared",
        /// A declared property or context key that the schema requires is absent.
        Missing = "missing",
        /// A declared property or context key has a value of another type.
        IllTyped = "ill_typed",
        /// A value that Cedar cannot hold exactly: a fraction beyond four decimals, a number out of range, null in a list.
        NotRepresentable = "not_representable",
        /// An AuthZEN request carries an integer beyond ±(2^53−1), which RFC 8785 folds together with others.
        NumberRange = "number_range",
        /// Subject and resource are the same entity, and the request gives it two values for one property.
        ConflictingProperties = "conflicting_properties",
        /// The request reaches more registered entities than one decision may load.
        TooManyEntities = "too_many_entities",
        /// A policy that determines the verdict was revoked.
        PolicyRevoked = "policy_revoked",
        /// The policy engine refused its own input; never seen, and it denies.
        EngineError = "engine_error",
        /// The action is critical, and plain Cedar did not come to what the compiled policies came to; or nobody could ask it.
        EngineMismatch = "engine_mismatch",
    Identity:
        /// The key that asks, or that signed, was revoked.
        KeyRevoked = "key_revoked",
        /// The subject was revoked.
        SubjectRevoked = "subject_revoked",
        /// The epoch requires that requests for the action, or of the subject, are signed, and this one is not.
        SignatureMissing = "signature_missing",
        /// The signature names a key that is no agent key of the epoch.
        SignatureKeyUnknown = "signature_key_unknown",
        /// The signature is for another log: its `tag` is not this origin.
        SignatureOrigin = "signature_origin",
        /// The signature holds for no time, or for longer than 300 s.
        SignatureWindow = "signature_window",
        /// The signature was made in the future.
        SignatureNotYet = "signature_not_yet",
        /// The signature has run out.
        SignatureExpired = "signature_expired",
        /// The signature is not that key's over this request.
        SignatureInvalid = "signature_invalid",
        /// The key may not speak for the subject.
        SignatureSubject = "signature_subject",
        /// The nonce was used by another body.
        NonceUsed = "nonce_used",
        /// As many nonces as are kept are in use.
        TooManyNonces = "too_many_nonces",
    Trust:
        /// The action demands an assertion that the request does not bring.
        AssertionMissing = "assertion_missing",
        /// What is brought is neither a JWT nor an envelope with a statement, of the closed forms.
        AssertionMalformed = "assertion_malformed",
        /// The issuer is none of the epoch's issuers of assertions.
        AssertionIssuerUnknown = "assertion_issuer_unknown",
        /// The token names another algorithm than the issuer's key has.
        AssertionAlgorithm = "assertion_algorithm",
        /// The issuer's key did not sign it.
        AssertionSignature = "assertion_signature",
        /// It has run out.
        AssertionExpired = "assertion_expired",
        /// It does not hold yet.
        AssertionNotYet = "assertion_not_yet",
        /// It is for another audience than this origin.
        AssertionAudience = "assertion_audience",
        /// It is about nothing that the request names.
        AssertionSubject = "assertion_subject",
        /// The issuer may not make statements of this type.
        AssertionPredicate = "assertion_predicate",
        /// It is the one that is demanded, and says something else than what is demanded.
        AssertionValue = "assertion_value",
        /// Its issuer was revoked.
        AssertionRevoked = "assertion_revoked",
    Runtime:
        /// The request's deadline has passed.
        Deadline = "deadline",
        /// The epoch lists its realms, and the caller's is not among them.
        UnknownRealm = "unknown_realm",
        /// A kill switch stops something that the request concerns.
        Halted = "halted",
        /// The clock stepped: no time of this moment can be relied on.
        Clock = "clock",
        /// Governance changed, or verdicts ran out, each time that the request was evaluated.
        GovernanceRace = "governance_race",
    Scopes:
        /// A scope that the request claims is not of the language of scopes.
        ScopeMalformed = "scope_malformed",
        /// A delegate that the request names is not written as `Type::"id"`.
        DelegateMalformed = "delegate_malformed",
        /// The action requires scopes that the request does not claim.
        ScopeMissing = "scope_missing",
        /// A scope that the request claims is not granted to its subject.
        ScopeNotGranted = "scope_not_granted",
        /// The subject has grants, but none lets it act without a parent.
        ParentRequired = "parent_required",
        /// There is no such permit that holds now, in this realm; or it may not have children.
        ParentUnknown = "parent_unknown",
        /// The parent, or a permit that it descends from, was revoked.
        ParentRevoked = "parent_revoked",
        /// A kill switch stops the parent or a permit that it descends from, or its execution was halted.
        ParentHalted = "parent_halted",
        /// The execution under the parent, or under a permit that it descends from, is over.
        ParentClosed = "parent_closed",
        /// The parent does not list the subject in its `delegates`.
        NotDelegated = "not_delegated",
        /// A scope that the request claims is not among the parent's.
        ScopeExceeded = "scope_exceeded",
        /// The lifetime asked for ends after the parent's.
        OutlivesParent = "outlives_parent",
    Operational:
        /// The action requires that a limit applies, and none applies to this subject.
        Unlimited = "unlimited",
        /// A limit applies, and the subject is neither registered nor named by the trust configuration: it has no counters.
        UnregisteredSubject = "unregistered_subject",
        /// The amount that a budget sums is absent, no integer, negative, or above the cap.
        Invalid = "invalid",
        /// A rate is used up for now.
        RateExceeded = "rate_exceeded",
        /// A budget does not have that much left in its window.
        BudgetExceeded = "budget_exceeded",
        /// As many leases as the subject may have are open.
        ConcurrencyExceeded = "concurrency_exceeded",
        /// Open leases are counted here, and the request asks for none.
        LeaseRequired = "lease_required",
        /// The permit would have more ancestors than the epoch allows.
        DepthExceeded = "depth_exceeded",
        /// The parent has as many open children as the epoch allows.
        FanOutExceeded = "fan_out_exceeded",
        /// As many leases and permits with descendants as are kept are open.
        TooManyOpen = "too_many_open",
    Environment:
        /// The attestation does not name a measurement that is demanded, or there is no attestation.
        MeasurementMissing = "measurement_missing",
        /// A measurement is none of the reference values.
        MeasurementMismatch = "measurement_mismatch",
        /// What attests the environment does not hold.
        EnvironmentUnattested = "environment_unattested",
    Attestation:
        /// The action demands an attestation, and the request brings none.
        AttestationMissing = "attestation_missing",
        /// What is brought is no attestation of the closed forms.
        AttestationMalformed = "attestation_malformed",
        /// The issuer is none of those that the action takes attestations from.
        AttestationIssuerUnknown = "attestation_issuer_unknown",
        /// The token names another algorithm than the issuer's key has.
        AttestationAlgorithm = "attestation_algorithm",
        /// The issuer's key did not sign it.
        AttestationSignature = "attestation_signature",
        /// It has run out.
        AttestationExpired = "attestation_expired",
        /// It does not hold yet.
        AttestationNotYet = "attestation_not_yet",
        /// It was issued too long ago.
        AttestationStale = "attestation_stale",
        /// It is for another audience than this origin.
        AttestationAudience = "attestation_audience",
        /// It is about another subject than the request's.
        AttestationSubject = "attestation_subject",
        /// It says that the environment is not what it should be: it can be debugged, or a comparison did not succeed.
        AttestationUnsound = "attestation_unsound",
        /// It answers no challenge, and could be brought again and again.
        AttestationNonceMissing = "attestation_nonce_missing",
        /// It was brought before.
        AttestationNonceUsed = "attestation_nonce_used",
        /// As many nonces of attestations as are kept are in use.
        TooManyAttestations = "too_many_attestations",
        /// Its issuer was revoked.
        AttestationRevoked = "attestation_revoked",
    Permissions:
        /// The epoch requires approvals, and too few that count are in the log; the answer says whose.
        ApprovalMissing = "approval_missing",
        /// The request names no denied decision of this realm whose request is still kept.
        ApprovalUnknown = "approval_unknown",
        /// The approvals are for another request than this one.
        ApprovalOther = "approval_other",
        /// What must be approved holds an integer beyond ±(2^53−1): the form that is signed does not keep it apart from others.
        ApprovalNumber = "approval_number",
        /// The lease asked for is longer than the epoch allows.
        LeaseExceeded = "lease_exceeded",
        /// A lease is asked for, and the epoch names no key for the audience: nobody could renew it.
        AudienceUnknown = "audience_unknown",
        /// The permit was revoked, or something that it rests on. Only of a renewal.
        Revoked = "revoked",
        /// The lifetime asked for is zero or longer than the epoch allows.
        TtlExceeded = "ttl_exceeded",
        /// The number of uses asked for is zero or more than the epoch allows.
        UsesExceeded = "uses_exceeded",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_snake_case_name_of_its_own() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
