// The records of the log, as `record.cddl` lays them out: from leaf bytes to values. Times are Unix milliseconds; integers are BigInts.
//
// Guarantees: only the one encoding of a known kind is read: unknown versions, kinds and keys are refused.

import { Decoder, outOfRange } from "./cbor.js";
import { Fault, worded } from "./fault.js";
import { hex } from "./text.js";

// The limits of `record.rs`.
const MAX_RECORD = 65_535;
const MAX_BODY = 60_000;
const MAX_NOTE = 16_384;
const MAX_NAME = 255;

export const CONDITIONS = [
  "policy", "identity", "trust", "runtime", "scopes", "operational", "environment", "attestation", "permissions",
];
const CLASSES = ["pass", "not_required", "fail", "unknown"];
const EXECUTION = ["started", "completed", "failed", "aborted", "missing"];
const LEASE = ["renewed", "halted", "expired"];

// The fields of each kind behind version, kind and time, under the keys 3, 4, …: [name, how it is read]; a name that ends with `?` may
// be absent. The number of a kind is its place, from 1.
const KINDS = [
  ["epoch-part", [["epoch", uint], ["part", uint], ["bytes", body]]],
  ["epoch", [["governance", uint], ["first_part", uint], ["parts", uint], ["note", note], ["predecessor?", note]]],
  ["decision", [
    ["governance", uint], ["epoch", uint], ["permit", permit], ["realm", name], ["evaluated_at", uint], ["allow", outcome],
    ["classes", classes], ["request", hash], ["detail", hash], ["expires_at?", uint], ["uses?", uses], ["lease_ends_at?", uint],
    ["audience?", name], ["shadow?", shadow],
  ]],
  ["closure", [["permit", permit], ["event", oneOf(EXECUTION)], ["executed?", hash], ["note?", note]]],
  ["lease", [["permit", permit], ["event", oneOf(LEASE)], ["ends_at?", uint], ["cause?", name]]],
  ["approval", [["decision", permit], ["note", note]]],
  ["revocation", [["governance", uint], ["note", note]]],
  ["switch", [["governance", uint], ["note", note]]],
  ["statement", [["realm", name], ["media_type", name], ["body", body]]],
  ["state", [["decisions", uint], ["digest", hash]]],
  ["anchor", [["size", uint], ["root", hash], ["instance", name], ["entry", body]]],
  ["erasure", [["index", uint], ["parts", parts], ["note", note]]],
  ["freeze", [["governance", uint], ["note", note]]],
  ["recovery", [["size", uint], ["cause", name]]],
  ["system-switch", [["governance", uint], ["cause", name]]],
];

// {kind, recorded_at, …the fields of the kind}
export function decodeRecord(bytes) {
  if (bytes.length > MAX_RECORD) throw new Fault("too_long", `record has ${bytes.length} bytes, more than 65,535`);
  const own = (fault) => fault.kind === "unknown_version" || fault.kind === "unknown_kind";
  return worded(
    () => read(new Decoder(bytes)),
    (fault) => (own(fault) ? fault : new Fault("malformed", `record is malformed: ${fault.message}`)),
  );
}

function read(d) {
  const map = d.map();
  map.required(d, 0);
  const version = d.uint();
  if (version !== 1n) throw new Fault("unknown_version", `record version ${version} is not known`);
  map.required(d, 1);
  const number = d.uint();
  map.required(d, 2);
  const recorded_at = d.uint();
  const known = number >= 1n && number <= BigInt(KINDS.length);
  if (!known) throw new Fault("unknown_kind", `record kind ${number} is not known`);
  const [kind, fields] = KINDS[Number(number) - 1];
  const record = { kind, recorded_at };
  for (const [i, [field, readField]] of fields.entries()) {
    const key = 3 + i;
    if (!field.endsWith("?")) {
      map.required(d, key);
      record[field] = readField(d, key);
    } else if (map.optional(d, key)) {
      record[field.slice(0, -1)] = readField(d, key);
    }
  }
  if (kind === "decision") checkGrant(record);
  map.finish(d);
  d.finish();
  return record;
}

// An allowing decision grants, a denial grants nothing: neither half may be missing.
function checkGrant({ allow, expires_at, uses: times, lease_ends_at }) {
  const whole = allow
    ? expires_at !== undefined && times !== undefined
    : expires_at === undefined && times === undefined && lease_ends_at === undefined;
  if (!whole) throw outOfRange(8);
}

function uint(d) {
  return d.uint();
}

function permit(d) {
  return hex(d.bytesOf(16));
}

function hash(d) {
  return d.bytesOf(32);
}

function body(d, key) {
  const bytes = d.bytes();
  if (bytes.length > MAX_BODY) throw outOfRange(key);
  return bytes;
}

function bounded(d, key, most) {
  const { text, length } = d.text();
  if (length > most) throw outOfRange(key);
  return text;
}

function note(d, key) {
  return bounded(d, key, MAX_NOTE);
}

function name(d, key) {
  return bounded(d, key, MAX_NAME);
}

function oneOf(names) {
  return (d, key) => {
    const value = d.uint();
    if (value >= BigInt(names.length)) throw outOfRange(key);
    return names[Number(value)];
  };
}

function outcome(d, key) {
  return oneOf([false, true])(d, key);
}

function within(d, key, least, most) {
  const value = d.uint();
  if (value < least || value > most) throw outOfRange(key);
  return value;
}

function uses(d, key) {
  return within(d, key, 1n, 0xffff_ffffn);
}

function parts(d, key) {
  return within(d, key, 1n, 3n);
}

function classes(d, key) {
  const bytes = d.bytesOf(CONDITIONS.length);
  if (bytes.some((byte) => byte >= CLASSES.length)) throw outOfRange(key);
  return Object.fromEntries(CONDITIONS.map((condition, i) => [condition, CLASSES[bytes[i]]]));
}

function shadow(d, key) {
  d.arrayOf(3);
  return { epoch: d.uint(), allow: outcome(d, key), classes: classes(d, key) };
}
