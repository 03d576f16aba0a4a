// A record in plain words, and raw. What is told from the request or the detail is told only if they are those that the record commits to:
// the caller gives them only then.

import { decodeDetail } from "../detail.js";
import { Fault } from "../fault.js";
import { b64, hex, rfc3339, utf8 } from "../text.js";
import { el, pairs, tag } from "./dom.js";
import { epochLink, hash, lineageLink, permitLink } from "./links.js";
import { time } from "./time.js";

const COLOURS = { pass: "good", not_required: "", fail: "bad", unknown: "open" };
const WORDS = { pass: "pass", not_required: "not required", fail: "fail", unknown: "unknown" };

const KINDS = {
  "epoch-part": "A piece of an epoch: policies, schema, entities or trust.",
  epoch: "A new epoch begins: from here on its policies decide.",
  closure: "An executor reports about an action.",
  lease: "A lease was renewed, halted or has run out.",
  approval: "A person approved what a denial had asked for.",
  revocation: "A permit, key, issuer, subject or policy was taken back.",
  switch: "A kill switch was thrown, or released.",
  statement: "Evidence that a service submitted; the log keeps it, and vouches for nothing in it.",
  state: "The digest of all counters and open permits, so that a restart can be checked.",
  anchor: "A head of this log was written into another log.",
  erasure: "The request or detail of a decision was erased; its proof stays valid.",
  freeze: "The log ends here: nothing is appended behind.",
  recovery: "An operator accepted the loss of the remembered head, or a gap of the clock.",
  "system-switch": "The service itself switched something off.",
};

// One sentence, behind the outcome's tag; `parts` as in `ladder.js`, or null.
export function sentence(record, parts = null) {
  if (record.kind !== "decision") return KINDS[record.kind];
  const detail = detailOf(parts);
  if (detail === null) return `a request in the realm ${record.realm}, whose content is not shown here.`;
  const { subject, action, resource } = detail;
  const [who, what] = [subject, resource].map(([type, id]) => `${type} ${quoted(id)}`);
  return `${who} asked for ${quoted(action)} on ${what}.`;
}

// A detail of a later version is none that this page can tell; the record is what it is.
function detailOf(parts) {
  if (parts === null) return null;
  try {
    return decodeDetail(parts.detail.bytes);
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
}

const quoted = (id) => `“${id}”`;

// The decision's nine verdicts, with the codes where the detail tells them.
export function conditions(classes, codes = {}) {
  return el("ul", { class: "conditions" }, Object.entries(classes).map(([name, verdict]) => {
    const code = codes[name] === undefined ? null : el("code", {}, ` ${codes[name]}`);
    return el("li", {}, el("span", {}, name), el("span", {}, tag(WORDS[verdict], COLOURS[verdict]), code));
  }));
}

// Everything that the record says, by name. `index` may be null.
export function facts(record, index, parts = null) {
  if (record.kind !== "decision") return pairs([["Kind", record.kind], ...others(record, index)]);
  const detail = detailOf(parts);
  const policies = detail?.policies;
  return [
    pairs([
      ["Permit", [permitLink(record.permit), " ", lineageLink(record.permit)]],
      ["Entry", index === null ? null : String(index)],
      ["Recorded", time(rfc3339(record.recorded_at))],
      ["Evaluated", time(rfc3339(record.evaluated_at))],
      ["Valid until", record.allow ? [time(rfc3339(record.expires_at)), `, for ${record.uses} use${record.uses === 1n ? "" : "s"}`] : null],
      ["Lease ends", record.lease_ends_at === undefined ? null : time(rfc3339(record.lease_ends_at))],
      ["For executor", record.audience],
      ["Realm", record.realm],
      ["Epoch", [epochLink(record.epoch), ` · governance version ${record.governance}`]],
      ["Parent", detail?.parent === undefined ? null : permitLink(detail.parent)],
      ["Policies", policies === undefined ? null : list(policies)],
      ["Policy errors", detail?.policy_errors === undefined ? null : list(detail.policy_errors)],
      ["Request", hash(record.request)],
      ["Detail", hash(record.detail)],
      ["In shadow", shadowed(record.shadow)],
    ]),
    el("h3", {}, "The nine conditions"),
    conditions(record.classes, detail?.codes),
  ];
}

const shadowed = (shadow) => (shadow === undefined ? null : `${shadow.allow ? "allowed" : "denied"} by the candidate, epoch ${shadow.epoch}`);

const list = ({ count, names }) => [
  names.map((name, i) => [i > 0 ? ", " : "", el("code", {}, name)]),
  count > BigInt(names.length) ? ` and ${count - BigInt(names.length)} more` : null,
];

function others(record, index) {
  const { kind, recorded_at, ...fields } = record;
  return [
    ["Entry", index === null ? null : String(index)],
    ["Recorded", time(rfc3339(recorded_at))],
    ...Object.entries(fields).map(([name, value]) => [name.replaceAll("_", " "), shownValue(name, value)]),
  ];
}

function shownValue(name, value) {
  if (name === "permit" || name === "decision") return permitLink(value);
  if (name === "ends_at") return time(rfc3339(value));
  if (name.endsWith("note") || name === "predecessor") return el("pre", { tabindex: 0, "aria-label": name }, value);
  if (value instanceof Uint8Array) return value.length === 32 ? hash(value) : bytes(value, name);
  return String(value);
}

// Bytes as text where they are, else as hex; at most 4 KiB of them, what is beyond is counted.
export function bytes(value, label) {
  const most = 4_096;
  const text = utf8(value.subarray(0, most));
  const printable = text !== null && !/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text);
  const more = value.length > most ? `\n… and ${value.length - most} bytes more` : "";
  return el("pre", { tabindex: 0, "aria-label": label }, (printable ? pretty(text) : hex(value.subarray(0, most))) + more);
}

function pretty(text) {
  try {
    // Only laid out anew where that loses nothing: numbers beyond 2^53 would be others.
    const value = JSON.parse(text);
    return JSON.stringify(value) === text.replace(/\s+(?=(?:[^"\\]|\\.|"(?:[^"\\]|\\.)*")*$)/g, "") ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}

// The raw bytes: offset, hex in pairs, and which byte is not as it was (`bit`).
export function raw(value, bit = null) {
  const rows = [];
  const changed = bit === null ? -1 : bit >> 3;
  for (let at = 0; at < value.length; at += 16) {
    const cells = [...value.subarray(at, at + 16)].map((byte, i) => {
      const digits = byte.toString(16).padStart(2, "0");
      return at + i === changed ? el("mark", {}, digits) : digits;
    });
    rows.push(`${at.toString(16).padStart(4, "0")}  `, cells.map((cell) => [cell, " "]), "\n");
  }
  return [
    el("pre", { tabindex: 0, class: "hex", "aria-label": "The record's bytes in hex" }, rows),
    el("p", { class: "hint" }, `${value.length} bytes of deterministic CBOR. As base64:`),
    el("code", { class: "block" }, b64(value)),
  ];
}
