//! Why: whoever reads a log wants to see some of its decisions; this says which.
//!
//! Guarantees: what stands in the leaf is compared with the leaf, for every realm; what stands in the detail is compared with what is
//! disclosed, and a decision whose detail is not shown is neither taken nor passed over in silence ([`Seen::Unseen`]), so that searching
//! tells nothing of what is withheld (threat 26). Pure.

use verifier::decision::{Class, Condition, Decision, Detail, Named, Outcome};
use verifier::hash::Hash;

/// Which decisions are wanted. What is `None` wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whether it was allowed.
    pub allowed: Option<bool>,
    /// The realm of the key that asked.
    pub realm: Option<String>,
    /// A condition that failed or stayed unknown.
    pub condition: Option<Condition>,
    /// The commitment to the request or to the detail.
    pub commitment: Option<Hash>,
    /// The epoch that it was decided under.
    pub epoch: Option<u64>,
    /// Who asked: an id, or type and id as `Type::"id"`.
    pub subject: Option<String>,
    /// What was to be done.
    pub action: Option<String>,
    /// To what: an id, or type and id as `Type::"id"`.
    pub resource: Option<String>,
    /// A policy that determined the verdict, or that could not be evaluated.
    pub policy: Option<String>,
    /// The code of a condition that did not pass.
    pub reason: Option<&'static str>,
    /// A text within any of what is named by the fields above, whatever the case of its ASCII letters.
    pub text: Option<String>,
}

/// What a filter finds in a detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is wanted.
    Yes,
    /// It is not.
    No,
    /// It may be: what would tell is not shown.
    Unseen,
}

impl Filter {
    /// Whether the leaf lets the decision be wanted.
    #[must_use]
    pub fn takes(&self, decision: &Decision) -> bool {
        let denies = |condition| matches!(decision.classes.of(condition), Class::Fail | Class::Unknown);
        self.allowed.is_none_or(|allowed| allowed == (decision.outcome == Outcome::Allow))
            && self.realm.as_ref().is_none_or(|realm| *realm == decision.realm)
            && self.condition.is_none_or(denies)
            && self.commitment.is_none_or(|hash| hash == decision.request || hash == decision.detail)
            && self.epoch.is_none_or(|epoch| epoch == decision.epoch)
    }

    /// Whether anything is asked that the detail answers.
    #[must_use]
    pub fn asks_detail(&self) -> bool {
        let Self { allowed: _, realm: _, condition: _, commitment: _, epoch: _, reason, .. } = self;
        let texts = [&self.subject, &self.action, &self.resource, &self.policy, &self.text];
        reason.is_some() || texts.into_iter().any(Option::is_some)
    }

    /// Whether the detail lets the decision be wanted; `None` is a detail that is not shown.
    #[must_use]
    pub fn sees(&self, decision: &Decision, detail: Option<&Detail>) -> Seen {
        if !self.asks_detail() {
            return Seen::Yes;
        }
        let Some(detail) = detail else { return Seen::Unseen };
        let exact = self.subject.as_ref().is_none_or(|wanted| is(wanted, &detail.subject))
            && self.action.as_ref().is_none_or(|wanted| *wanted == detail.action)
            && self.resource.as_ref().is_none_or(|wanted| is(wanted, &detail.resource))
            && self.reason.is_none_or(|wanted| detail.codes.iter().any(|(_, code)| code == wanted));
        if !exact {
            return Seen::No;
        }
        let lists = || [&detail.policies, &detail.errors].into_iter().flatten();
        // Of thousands of policies a record names the first ones only.
        let cut = lists().any(|named| named.count > named.shown.len() as u64);
        let missing = if cut { Seen::Unseen } else { Seen::No };
        let named = |wanted: &String| lists().any(|named| named.shown.contains(wanted));
        if self.policy.as_ref().is_some_and(|wanted| !named(wanted)) {
            return missing;
        }
        match &self.text {
            Some(wanted) if !within(wanted, decision, detail) => missing,
            Some(_) | None => Seen::Yes,
        }
    }
}

/// `Type::"id"`, as acts and delegates write an entity.
#[must_use]
pub(crate) fn entity((kind, id): &(String, String)) -> String {
    format!("{kind}::\"{id}\"")
}

fn is(wanted: &str, given: &(String, String)) -> bool {
    wanted == given.1 || wanted == entity(given)
}

fn within(wanted: &str, decision: &Decision, detail: &Detail) -> bool {
    let wanted = wanted.to_ascii_lowercase();
    let holds = |text: &str| text.to_ascii_lowercase().contains(&wanted);
    let lists = |named: &Option<Named>| named.as_ref().is_some_and(|named| named.shown.iter().any(|name| holds(name)));
    holds(&entity(&detail.subject))
        || holds(&detail.action)
        || holds(&entity(&detail.resource))
        || detail.codes.iter().any(|(_, code)| holds(code))
        || lists(&detail.policies)
        || lists(&detail.errors)
        || holds(&decision.realm)
        || decision.audience.as_deref().is_some_and(holds)
}
