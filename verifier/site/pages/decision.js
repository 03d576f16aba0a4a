// One decision as people read it: a line, and behind it everything that the log discloses, each value a link.

import { el, pairs, tag } from "../shell/dom.js";
import { hash, indexLink, leafLink, lineageLink, permitLink } from "../shell/links.js";
import { relative, time, utc } from "../shell/time.js";
import { hex, unb64Hash } from "../text.js";
import { write } from "./search.js";

export const entity = ({ type, id }) => `${type}::"${id}"`;

// A value that leads to all decisions that have it.
export const filterLink = (name, value, words = value) => el("a", { href: write({ [name]: value }), data: { inside: true } }, words);

const WITHHELD = {
  committed: "its realm discloses commitments only",
  erased: "request or detail were erased, by a record of this log",
  missing: "request and detail are not kept here",
};
const COLOURS = { pass: "good", not_required: "", fail: "bad", unknown: "open" };
export const WORDS = { pass: "pass", not_required: "not required", fail: "fail", unknown: "unknown" };

// An entry of the list.
export function decisionItem(decision, { open = false } = {}) {
  const allowed = decision.outcome === "allow";
  const head = el(
    "summary",
    {},
    el("span", { class: "what" }, tag(allowed ? "allowed" : "denied", allowed ? "good" : "bad"), sentence(decision)),
    el("span", { class: "why quiet" }, why(decision)),
    el("span", { class: "when quiet" }, whenShort(decision.recorded_at), ` · #${decision.index}`),
  );
  const body = el("div", { class: "inside" });
  const item = el("details", { class: "decision", open, data: { index: decision.index } }, head, body);
  // Thousands of values that nobody opens are not made.
  const fill = () => item.open && body.childElementCount === 0 && body.append(...everything(decision));
  item.addEventListener("toggle", fill);
  fill();
  return el("li", {}, item);
}

function whenShort(recorded) {
  const ms = Date.parse(recorded);
  return el("time", { datetime: recorded, title: utc(recorded) }, el("span", { data: { relative: ms } }, relative(ms)));
}

function sentence(decision) {
  if (decision.withheld) return el("span", { class: "quiet" }, `a decision of realm ${decision.realm}: ${decision.withheld}`);
  const { subject, action, resource } = decision;
  return el("span", {}, el("b", {}, subject.id), ` ${action} `, el("b", {}, resource.id), el("span", { class: "quiet" }, ` ${subject.type} → ${resource.type}`));
}

function why(decision) {
  if (decision.outcome === "allow") return decision.policies ? `by ${short(decision.policies)}` : "";
  if (decision.reasons?.length > 0) return decision.reasons.map(({ code }) => code).join(", ");
  return failed(decision).join(", ");
}

const short = ({ names, count }) => (count > 2 ? `${names[0]} and ${count - 1} more` : names.join(", "));

const failed = ({ conditions }) => Object.entries(conditions).filter(([, is]) => is === "fail" || is === "unknown").map(([name]) => name);

// Everything about it.
export function everything(decision) {
  const { index, permit, realm, withheld } = decision;
  const leads = [
    el("a", { class: "button primary", href: `/proof?index=${index}` }, "Verify it"),
    lineageLink(permit, "Lineage"),
    el("a", { href: `/v1/receipts/${index}`, download: `${index}.tlog-proof` }, "Receipt"),
    el("a", { href: `/v1/entries/${index}` }, "Entry"),
    withheld ? null : el("a", { href: `/v1/requests/${index}` }, "Request and detail"),
  ];
  return [el("p", { class: "actions" }, leads), conditions(decision), pairs([...disclosed(decision), ...leaf(decision)])];
}

function conditions({ conditions, reasons }) {
  const codes = Object.fromEntries((reasons ?? []).map(({ condition, code }) => [condition, code]));
  const one = ([name, is]) =>
    el("li", {}, tag(WORDS[is], COLOURS[is]), " ", is === "fail" || is === "unknown" ? filterLink("condition", name) : name,
      codes[name] ? [": ", filterLink("reason", codes[name])] : null);
  return el("ul", { class: "nine", "aria-label": "The nine conditions" }, Object.entries(conditions).map(one));
}

function disclosed(decision) {
  if (decision.withheld) return [["Withheld", `${decision.withheld}: ${WITHHELD[decision.withheld]}`]];
  const list = (values, link) => (values.length === 0 ? null : values.map((value, at) => [at === 0 ? null : ", ", link(value)]));
  const named = (named) => named && [list(named.names, (name) => filterLink("policy", name)), named.count > named.names.length ? ` and ${named.count - named.names.length} more` : null];
  const code = (text) => el("code", {}, text);
  return [
    ["Subject", filterLink("subject", entity(decision.subject))],
    ["Action", filterLink("action", decision.action)],
    ["Resource", filterLink("resource", entity(decision.resource))],
    ["Policies", named(decision.policies)],
    ["Policies in error", named(decision.errors)],
    ["Scopes", list(decision.scopes, code)],
    ["Delegates", list(decision.delegates, (subject) => filterLink("subject", subject))],
    ["Parent", decision.parent && permitLink(decision.parent)],
    ["Tries again", decision.retry_of && permitLink(decision.retry_of)],
  ];
}

function leaf(decision) {
  const commitment = (text) => [hash(unb64Hash(text)), " ", el("a", { href: write({ commitment: hex(unb64Hash(text)) }), data: { inside: true } }, "find")];
  return [
    ["Permit", permitLink(decision.permit)],
    ["Entry", indexLink(decision.index)],
    ["Leaf hash", leafLink(decision.leaf)],
    ["Commitment to the request", commitment(decision.request)],
    ["Commitment to the detail", commitment(decision.detail)],
    ["Realm", filterLink("realm", decision.realm)],
    ["Audience", decision.audience],
    ["Recorded", time(decision.recorded_at)],
    ["Evaluated", time(decision.evaluated_at)],
    ["Expires", decision.expires_at && time(decision.expires_at)],
    ["Uses", decision.uses],
    ["Lease ends", decision.lease_ends_at && time(decision.lease_ends_at)],
    ["Decided under", [el("a", { href: `/console?epoch=${decision.epoch}`, data: { inside: true } }, `epoch ${decision.epoch}`), `, governance version ${decision.governance}`]],
    ["In shadow", decision.shadow && `epoch ${decision.shadow.epoch} would have decided: ${decision.shadow.outcome}`],
  ];
}
