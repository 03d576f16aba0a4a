// Receipts: one leaf's place in a signed tree as text (C2SP tlog-proof v1) or JSON, a run of leaves as JSON, and which form bytes have.
//
// Guarantees: what is read is exactly one receipt within the limits of `receipt.rs`. Verifies nothing.

import { isBundle } from "./bundle.js";
import { parseCheckpoint } from "./checkpoint.js";
import { decodeCose } from "./cose.js";
import { Fault, worded } from "./fault.js";
import { parseJson } from "./json.js";
import { MAX_NOTE, parseNote } from "./note.js";
import { MAX_PATH } from "./proof.js";
import { leafHash } from "./sha2.js";
import { DECIMAL_LIMIT, decimal, equal, unb64, unb64Hash, utf8, utf8Length } from "./text.js";

const HEADER = "c2sp.org/tlog-proof@v1";
const MAX_EXTRA = 65_535;
const MAX_RANGE_PROOF = 2 * MAX_PATH;
const MAX_JSON = 6 * MAX_NOTE + 2 * MAX_EXTRA;
const COSE = 0xd2;

const REASONS = {
  header: "not a `c2sp.org/tlog-proof@v1` receipt",
  shape: "malformed receipt",
  json: "not a receipt in JSON",
  too_long: "receipt is too long",
};
const fault = (kind) => new Fault(kind, REASONS[kind]);
const spelled = (read) => worded(read, (error) => new Fault("text", `malformed receipt: ${error.message}`));

// {form: "leaf" | "range" | "inclusion" | "consistency" | "head" | "bundle", …}: the forms begin differently. A bundle is not read yet.
export async function readForm(bytes) {
  if (isBundle(bytes)) return { form: "bundle", bytes };
  const first = bytes.find((byte) => ![0x20, 0x09, 0x0a, 0x0c, 0x0d].includes(byte));
  if (first === COSE) return decodeCose(bytes);
  if (first === 0x7b) {
    try {
      return await receiptFromJson(bytes);
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== "json") throw error;
      return rangeFromJson(bytes);
    }
  }
  const text = utf8(bytes);
  if (text === null) throw fault("header");
  // What does not begin as a receipt does and has signature lines behind an empty one is a head.
  if (!text.startsWith(HEADER) && text.includes("\n\n\u2014 ")) return { form: "head", checkpoint: text };
  return parseReceipt(text);
}

// {form: "leaf", index, path, extra?, checkpoint}
export function parseReceipt(text) {
  let rest = text;
  const line = () => {
    const end = rest.indexOf("\n");
    if (end < 0) throw fault("shape");
    const found = rest.slice(0, end);
    rest = rest.slice(end + 1);
    return found;
  };
  if (!text.startsWith(`${HEADER}\n`)) throw fault("header");
  line();
  let next = line();
  let extra;
  if (next.startsWith("extra ")) {
    const base64 = next.slice("extra ".length);
    if (utf8Length(base64) > Math.ceil(MAX_EXTRA / 3) * 4) throw fault("too_long");
    extra = spelled(() => unb64(base64));
    next = line();
  }
  if (!next.startsWith("index ")) throw fault("shape");
  const index = spelled(() => decimal(next.slice("index ".length)));
  const path = [];
  for (next = line(); next !== ""; next = line()) {
    if (path.length === MAX_PATH) throw fault("too_long");
    const hash = next;
    path.push(spelled(() => unb64Hash(hash)));
  }
  if (rest === "") throw fault("shape");
  if (utf8Length(rest) > MAX_NOTE) throw fault("too_long");
  return { form: "leaf", index, path, extra, checkpoint: rest };
}

// `size` and `leaf`, which follow from the others, are held against them.
async function receiptFromJson(bytes) {
  const fields = object(bytes, { index: uint, size: uint, path: hashes, checkpoint: string }, { leaf: hash, extra: string });
  const extra = fields.extra === undefined ? undefined : spelled(() => unb64(fields.extra));
  const { index, path, checkpoint } = fields;
  const long = path.length > MAX_PATH || utf8Length(checkpoint) > MAX_NOTE || (extra !== undefined && extra.length > MAX_EXTRA);
  if (long) throw fault("too_long");
  const leaf = extra === undefined ? undefined : await leafHash(extra);
  const sameLeaf = leaf === undefined || fields.leaf === undefined ? leaf === fields.leaf : equal(leaf, fields.leaf);
  if (index >= DECIMAL_LIMIT || claimedSize(checkpoint) !== fields.size || !sameLeaf) throw fault("shape");
  return { form: "leaf", index, path, extra, checkpoint };
}

function rangeFromJson(bytes) {
  const fields = object(bytes, { first: uint, count: uint, proof: hashes, checkpoint: string }, {});
  const { first, count, proof, checkpoint } = fields;
  if (proof.length > MAX_RANGE_PROOF || utf8Length(checkpoint) > MAX_NOTE) throw fault("too_long");
  if (count === 0n || first + count >= DECIMAL_LIMIT) throw fault("shape");
  return { form: "range", first, count, proof, checkpoint };
}

// Exactly these fields; an optional one may also be null.
export function object(bytes, required, optional) {
  if (bytes.length > MAX_JSON) throw fault("too_long");
  const value = parseJson(bytes);
  if (!(value instanceof Map)) throw fault("json");
  const fields = {};
  for (const [key, field] of value) {
    const read = Object.hasOwn(required, key) ? required[key] : Object.hasOwn(optional, key) ? optional[key] : null;
    if (read === null) throw fault("json");
    if (!(field === null && Object.hasOwn(optional, key))) fields[key] = read(field);
  }
  if (!Object.keys(required).every((key) => Object.hasOwn(fields, key))) throw fault("json");
  return fields;
}

function uint(value) {
  if (typeof value !== "bigint") throw fault("json");
  return value;
}

export function string(value) {
  if (typeof value !== "string") throw fault("json");
  return value;
}

export function hash(value) {
  return worded(() => unb64Hash(string(value)), () => fault("json"));
}

export function hashes(value) {
  if (!Array.isArray(value)) throw fault("json");
  return value.map(hash);
}

// The size that a checkpoint states; nothing is verified.
function claimedSize(checkpoint) {
  try {
    return parseCheckpoint(parseNote(checkpoint).text).size;
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
}
