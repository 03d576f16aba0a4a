// The private detail of a decision, as `detail.cddl` lays it out: who, what and why, where its realm discloses it.
//
// Guarantees: what is read stands in the bytes under its key; the bytes as a whole are what the leaf commits to, which the caller checks.
// Does not read what comes behind the delegates: signatures and evidence are not for pages.

import { Decoder, outOfRange } from "./cbor.js";
import { sha256 } from "./sha2.js";
import { concat, equal, hex } from "./text.js";

// Whether salt and bytes are what a leaf commits to: SHA-256(salt ‖ bytes).
export async function commitsTo(commitment, salt, bytes) {
  return salt.length === 16 && equal(await sha256(concat(salt, bytes)), commitment);
}

// {subject: {type, id}, action, resource: {type, id}, parent (hex or null), codes: [[condition, code]], scopes, delegates}
export function decodeDetail(bytes) {
  const d = new Decoder(bytes);
  const map = d.map();
  map.required(d, 0);
  if (d.uint() !== 1n) throw outOfRange(0);
  map.required(d, 1);
  const subject = pair(d);
  map.required(d, 2);
  const action = d.text().text;
  map.required(d, 3);
  const resource = pair(d);
  const parent = map.optional(d, 4) ? hex(d.bytesOf(16)) : null;
  map.required(d, 5);
  d.text();
  map.required(d, 6);
  const codes = list(d, () => (d.arrayOf(2), [Number(d.uint()), d.text().text]));
  const policies = map.optional(d, 7) ? named(d) : [];
  if (map.optional(d, 8)) named(d);
  if (map.optional(d, 9)) d.bytesOf(32);
  if (map.optional(d, 10)) d.bytesOf(16);
  if (map.optional(d, 11)) d.uint();
  if (map.optional(d, 12)) list(d, () => (d.arrayOf(3), d.uint(), d.text(), d.uint()));
  const scopes = map.optional(d, 13) ? texts(d) : [];
  const delegates = map.optional(d, 14) ? texts(d) : [];
  return { subject, action, resource, parent, codes, policies, scopes, delegates };
}

function pair(d) {
  d.arrayOf(2);
  return { type: d.text().text, id: d.text().text };
}

function named(d) {
  d.arrayOf(3);
  d.uint();
  d.bytesOf(32);
  return texts(d);
}

const list = (d, one) => Array.from({ length: d.array() }, one);
const texts = (d) => list(d, () => d.text().text);
