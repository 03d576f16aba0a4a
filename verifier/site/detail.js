// The private detail of a decision, as `detail.cddl` lays it out: who asked for what, why it was denied, which policies said so.
//
// Guarantees: what it answers stands in these bytes, in their only encoding. Whether the bytes are those that the leaf commits to is for
// the caller to check first.

import { Decoder } from "./cbor.js";
import { Fault, worded } from "./fault.js";
import { hex } from "./text.js";
import { CONDITIONS } from "./record.js";

// A detail is a part of a record's frame; the server refuses what is larger.
const MAX_DETAIL = 65_535;

// {subject: [type, id], action, resource: [type, id], parent?, key, codes: {condition: code}, policies?, policy_errors?, …}; names of
// policies come as {count, names}, of which at most 32 are there.
export function decodeDetail(bytes) {
  if (bytes.length > MAX_DETAIL) throw new Fault("too_long", `detail has ${bytes.length} bytes, more than 65,535`);
  return worded(() => read(new Decoder(bytes)), (fault) => new Fault("malformed", `detail is malformed: ${fault.message}`));
}

function read(d) {
  const map = d.map();
  const detail = {};
  map.required(d, 0);
  if (d.uint() !== 1n) throw new Fault("unknown_version", "its version is not known");
  for (const [key, name, field] of FIELDS) {
    if (!name.endsWith("?")) {
      map.required(d, key);
      detail[name] = field(d);
    } else if (map.optional(d, key)) {
      detail[name.slice(0, -1)] = field(d);
    }
  }
  map.finish(d);
  d.finish();
  return detail;
}

const text = (d) => d.text().text;
const permit = (d) => hex(d.bytesOf(16));
const bytes = (length) => (d) => d.bytesOf(length);
const list = (item) => (d) => Array.from({ length: d.array() }, () => item(d));

function entity(d) {
  d.arrayOf(2);
  return [text(d), text(d)];
}

function codes(d) {
  const found = {};
  for (let left = d.array(); left > 0; left -= 1) {
    d.arrayOf(2);
    const condition = d.uint();
    if (condition >= BigInt(CONDITIONS.length)) throw new Fault("out_of_range", "a condition is not known");
    found[CONDITIONS[Number(condition)]] = text(d);
  }
  return found;
}

function named(d) {
  d.arrayOf(3);
  const count = d.uint();
  d.bytesOf(32);
  return { count, names: list(text)(d) };
}

const one = (d) => {
  if (d.uint() !== 1n) throw new Fault("out_of_range", "a mark is not 1");
  return true;
};

function counted(d) {
  d.arrayOf(3);
  const kind = d.uint();
  if (kind > 2n) throw new Fault("out_of_range", "a counter is not known");
  return { kind: ["rate", "budget", "concurrency"][Number(kind)], limit: text(d), amount: d.uint() };
}

function signed(d) {
  d.arrayOf(6);
  return { path: text(d), parameters: text(d), body: d.bytesOf(32), signature: d.bytesOf(64), random: d.bytesOf(16), place: d.uint() };
}

function evidence(d) {
  const length = d.array();
  if (length !== 1 && length !== 3) throw new Fault("out_of_range", "evidence has one or three parts");
  const issuers = list(text)(d);
  return length === 1 ? { issuers } : { issuers, nonce: d.bytesOf(32), until: d.uint() };
}

const FIELDS = [
  [1, "subject", entity], [2, "action", text], [3, "resource", entity], [4, "parent?", permit], [5, "key", text], [6, "codes", codes],
  [7, "policies?", named], [8, "policy_errors?", named], [9, "idempotency?", bytes(32)], [10, "retry_of?", permit], [11, "authzen?", one],
  [12, "counted?", list(counted)], [13, "scopes?", list(text)], [14, "delegates?", list(text)], [15, "signed?", signed],
  [16, "retry_salt?", bytes(16)], [17, "evidence?", evidence],
];
