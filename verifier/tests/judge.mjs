// Judges a file of cases, one JSON object a line, by the pages' verifier, and prints one JSON object a line for each.
//
// usage: node judge.mjs FILE [own]      with `own` by our own arithmetic instead of WebCrypto's
// The first line says which arithmetic ran. See `it/corpus.rs` for the cases.

import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";

import { engines, preferOwnArithmetic } from "../site/engines.js";
import { Fault } from "../site/fault.js";
import { parseKey } from "../site/note.js";
import { parsePolicy } from "../site/policy.js";
import { decodeRecord } from "../site/record.js";
import { toUtf8, unb64 } from "../site/text.js";
import { judge } from "../site/verify.js";

// Node 18 has it, but not under the name that browsers have.
globalThis.crypto ??= webcrypto;

const [file, own] = process.argv.slice(2);
if (own === "own") preferOwnArithmetic();

// Integers stay integers: numbers of 64 bits do not fit a JavaScript number.
function json(value) {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return `[${value.map(json).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, field]) => `${JSON.stringify(key)}:${json(field)}`).join(",")}}`;
}

const limit = (text) => (text === null ? undefined : BigInt(text));
const parsed = new Map();

async function keyOf({ vkey, not_before, not_after, max_size }) {
  if (!parsed.has(vkey)) parsed.set(vkey, await parseKey(vkey));
  return { key: parsed.get(vkey), notBefore: limit(not_before), notAfter: limit(not_after), maxSize: limit(max_size) };
}

async function read(code, run) {
  try {
    await run();
    return { verdict: { verified: true } };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { verdict: { verified: false, code, reason: error.message } };
  }
}

async function verdict({ kind, input, input_b64, leaves, kept, policy, keys }) {
  const bytes = input === undefined ? unb64(input_b64) : toUtf8(input);
  if (kind === "record") return read("malformed_record", () => decodeRecord(bytes));
  if (kind === "key") return read("bad_key", () => parseKey(input));
  if (kind === "policy") return read("bad_policy", () => parsePolicy(bytes));
  const beside = { leaves: leaves.map(unb64), kept, policy: policy === undefined ? null : await parsePolicy(toUtf8(policy)) };
  return judge(bytes, beside, await Promise.all(keys.map(keyOf)));
}

console.log(json(await engines()));
for (const line of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
  // Limits are 64-bit numbers too: in quotes they survive JSON.parse. Nothing else in a case is a number outside of a string.
  const quoted = line.replace(/"(not_before|not_after|max_size)":(\d+)/g, '"$1":"$2"');
  console.log(json(await verdict(JSON.parse(quoted))));
}
