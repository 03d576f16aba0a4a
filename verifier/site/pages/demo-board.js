// What was decided, in words: the nine conditions as a board, the outcome, and what stands beside it.
//
// Guarantees: shows what the answer says and nothing else; what it says is checked by the ladder, not here.

import { el, pairs, tag } from "../shell/dom.js";
import { time } from "../shell/time.js";

// Name and title of each, and what it asks.
export const CONDITIONS = [
  ["policy", "Policy", "Do the rules allow it?"],
  ["identity", "Identity", "Who asks, and may they speak for this agent?"],
  ["trust", "Trust assertions", "Who vouches for the agent, its model, its tools?"],
  ["runtime", "Runtime", "Is it now, before the deadline, with no kill switch thrown?"],
  ["scopes", "Scopes", "Was the agent granted this much?"],
  ["operational", "Operational limits", "Within its rates, budgets and open leases?"],
  ["environment", "Environment", "Does the machine run what it should?"],
  ["attestation", "Attestation", "Has the machine proved it, just now?"],
  ["permissions", "Permissions", "For how long, how often, approved by whom?"],
];

const CLASSES = {
  pass: ["passed", "good"],
  not_required: ["not required", ""],
  fail: ["failed", "bad"],
  unknown: ["unknown", "bad"],
};

// Codes that a visitor meets first, in words; the others speak for themselves.
const CODES = {
  forbidden: "a forbid applies, and a forbid always wins",
  no_matching_permit: "no rule permits it, and what is not permitted is denied",
  policy_error: "a forbid that applies could not be evaluated",
  unknown_action: "the rules know no such action",
  unknown_type: "the rules know nobody and nothing of this type",
  not_applicable: "the action does not apply to them",
  undeclared: "it brings a field that no rule could have seen",
  missing: "a field that the rules need is absent",
  ill_typed: "a field has a value of another type",
  not_representable: "a number cannot be held exactly",
  signature_missing: "the agent must sign this, and did not",
  assertion_missing: "nobody has vouched for it",
  deadline: "its deadline has passed",
  unknown_realm: "the caller's realm is not among those listed",
  scope_missing: "the request claims no scope for it",
  scope_not_granted: "the scope that it claims was never granted",
  parent_required: "it may act only under a parent's permit",
  invalid: "the amount is outside what the budget takes at all",
  budget_exceeded: "the budget is used up",
  rate_exceeded: "too often",
  unregistered_subject: "limits count for registered agents only",
  measurement_missing: "nothing was measured",
  attestation_missing: "no attestation came with it",
  approval_missing: "a second person has to approve it first",
  ttl_exceeded: "it asks for longer than permits may hold",
  uses_exceeded: "it asks for more uses than permits may have",
  lease_exceeded: "it asks for a longer lease than there is",
  audience_unknown: "nobody is known who could execute it under a lease",
};

export const words = (code) => CODES[code] ?? code.replaceAll("_", " ");

// One tile each; `conditions` is the answer's, absent before anything was decided.
export function board(conditions = {}) {
  return CONDITIONS.map(([name, title, asks]) => {
    const [kind, code] = (conditions[name] ?? "").split(":");
    const [word, colour] = CLASSES[kind] ?? ["not told", ""];
    const why = code === undefined ? asks : words(code);
    return el("li", { class: `tile ${colour}`.trim(), data: { condition: name, verdict: kind } },
      el("span", { class: "tile-head" }, el("b", {}, title), tag(word, colour)),
      el("span", { class: "tile-why" }, why),
      code !== undefined && el("code", {}, code));
  });
}

// The verdict in one line.
export function outcome({ decision, reasons }, ms) {
  const took = `Decided, recorded and signed in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms.`;
  if (decision) {
    return el("div", { class: "notice good outcome" },
      el("p", { class: "big good" }, "Allowed"), el("p", {}, `The permit was released once its record stood in the log. ${took}`));
  }
  const why = reasons.map(words).join("; ");
  return el("div", { class: "notice bad outcome" },
    el("p", { class: "big bad" }, "Denied"), el("p", {}, `${why.slice(0, 1).toUpperCase()}${why.slice(1)}. The denial stands in the log too. ${took}`));
}

// The text of one policy, from its id to the next one's; null where there is none of that id.
function textOf(id, policies) {
  const begin = policies.indexOf(`@id(${JSON.stringify(id)})`);
  if (begin < 0) return null;
  const rest = policies.slice(begin);
  const end = rest.slice(1).search(/\n\s*(@id\(|\/\/)/);
  return (end < 0 ? rest : rest.slice(0, end + 1)).trim();
}

// What stands beside the verdicts; `policies` is the text that was sent.
export function facts({ answer, errors, epoch, size }, policies) {
  const deciding = answer.policies.map((id) => textOf(id, policies)).filter((text) => text !== null);
  const names = (list) => list.map((id, n) => [n > 0 && ", ", el("code", {}, id)]);
  const approvals = answer.approval?.rules.map(({ count, approvers }) => el("div", {}, `${count} of `, names(approvers))) ?? null;
  const wanted = Object.entries(answer.evidence ?? {}).map(([kind, list]) => el("div", {}, `${kind.replaceAll("_", " ")}: `, names(list)));
  return pairs([
    ["Reasons", answer.reasons.length > 0 ? names(answer.reasons) : null],
    ["Deciding rules", answer.policies.length === 0 ? el("span", { class: "quiet" }, "none applied")
      : deciding.length === answer.policies.length ? el("pre", { class: "rule", tabindex: "0", "aria-label": "Deciding rules" }, deciding.join("\n\n")) : names(answer.policies)],
    ["Rules in error", errors.length > 0 ? names(errors) : null],
    ["Approvals that would change it", approvals],
    ["Evidence that would change it", wanted.length > 0 ? wanted : null],
    [answer.decision ? "Permit" : "Decision", el("code", {}, answer.permit)],
    ["Permit runs out", answer.expires_at === null ? null : time(answer.expires_at)],
    ["Place in the log", `entry ${answer.index} of ${size}, under epoch ${epoch.number}`],
    ["Warnings", epoch.warnings.length > 0 ? epoch.warnings.map((finding) => el("div", {}, finding.message)) : null],
  ]);
}
