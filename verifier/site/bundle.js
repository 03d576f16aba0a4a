// Evidence bundles: many records of one log with what they rest on, under one signed head (`bundle.rs`, `bundle.cddl`).
//
// Guarantees: what is read is exactly one bundle within the limits of `bundle.rs`; a part that passes is what its record commits to, or has
// the record of its erasure here; an epoch that passes is whole and has the digest that its act states. Who signed that act, nobody asks.
// The ladder that calls these is in `verify.js`.

import { Decoder, outOfRange } from "./cbor.js";
import { Fault, worded } from "./fault.js";
import { MAX_NOTE, parseNote } from "./note.js";
import { sha256 } from "./sha2.js";
import { DECIMAL_LIMIT, concat, decimal, equal, unb64Hash } from "./text.js";

const MAGIC = [0xd9, 0xd9, 0xf7];
const TAG = 55_799n;
const NAME = "interlock/bundle/v1";
const MAX_ENTRIES = 16_384;
const MAX_BUNDLE = 64 << 20;
const MAX_CHOICE = 4_096;
const MAX_EPOCHS = MAX_ENTRIES / 2;
const MAX_RECORD = 65_535;
const MAX_VKEY = 335;
const MAX_PART = 1 << 20;
const STATES = ["disclosed", "committed", "erased", "lost"];

// Whether bytes begin as a bundle does, and as no other evidence.
export const isBundle = (bytes) => MAGIC.every((byte, i) => bytes[i] === byte);

// {manifest: {vkey, choice, decisions, epochs}, checkpoint, entries: [{index, record, request?, detail?}], proof}; a part is
// {state: "disclosed", salt, bytes}, {state: "committed"}, {state: "erased", by} or {state: "lost"}. Nothing is verified.
export function decodeBundle(bytes) {
  if (bytes.length > MAX_BUNDLE) throw new Fault("too_long", "bundle is too long");
  return worded(
    () => read(new Decoder(bytes)),
    (fault) => (fault.kind === "name" ? fault : new Fault("malformed", `malformed bundle: ${fault.message}`)),
  );
}

function read(d) {
  d.tag(TAG);
  const map = d.map();
  map.required(d, 0);
  if (d.text().text !== NAME) throw new Fault("name", `not an \`${NAME}\``);
  map.required(d, 1);
  const manifest = readManifest(d);
  map.required(d, 2);
  const checkpoint = bounded(d, 2, MAX_NOTE);
  map.required(d, 3);
  const entries = list(d, 3, MAX_ENTRIES, readEntry);
  map.required(d, 4);
  const hashes = d.bytes();
  if (hashes.length % 32 !== 0) throw outOfRange(4);
  const proof = Array.from({ length: hashes.length / 32 }, (_, i) => hashes.subarray(32 * i, 32 * i + 32));
  map.finish(d);
  d.finish();
  return { manifest, checkpoint, entries, proof };
}

function readManifest(d) {
  const map = d.map();
  map.required(d, 0);
  const vkey = bounded(d, 0, MAX_VKEY);
  map.required(d, 1);
  const choice = bounded(d, 1, MAX_CHOICE);
  if (/[^ -~]/.test(choice)) throw outOfRange(1);
  map.required(d, 2);
  const decisions = d.uint();
  map.required(d, 3);
  const epochs = list(d, 3, MAX_EPOCHS, () => d.uint());
  map.finish(d);
  return { vkey, choice, decisions, epochs };
}

function readEntry(d) {
  const map = d.map();
  map.required(d, 0);
  const index = readIndex(d, 0);
  map.required(d, 1);
  const record = d.bytes();
  if (record.length > MAX_RECORD) throw outOfRange(1);
  const entry = { index, record };
  if (map.optional(d, 2)) {
    entry.request = readPart(d, 2);
    map.required(d, 3);
    entry.detail = readPart(d, 3);
  }
  map.finish(d);
  return entry;
}

function readPart(d, key) {
  const items = d.array();
  const number = d.uint();
  if (number >= BigInt(STATES.length) || items !== [3, 1, 2, 1][Number(number)]) throw outOfRange(key);
  const state = STATES[Number(number)];
  if (state === "erased") return { state, by: readIndex(d, key) };
  if (state !== "disclosed") return { state };
  const [salt, bytes] = [d.bytesOf(16), d.bytes()];
  if (bytes.length > MAX_PART) throw outOfRange(key);
  return { state, salt, bytes };
}

function readIndex(d, key) {
  const index = d.uint();
  if (index >= DECIMAL_LIMIT) throw outOfRange(key);
  return index;
}

function list(d, key, most, readItem) {
  const length = d.array();
  if (length > most) throw outOfRange(key);
  return Array.from({ length }, () => readItem(d));
}

function bounded(d, key, most) {
  const { text, length } = d.text();
  if (length > most) throw outOfRange(key);
  return text;
}

// The epochs that decisions name, live and in shadow, ascending.
export function namedEpochs(records) {
  return [...new Set(records.flatMap(epochsOf))].sort((left, right) => (left < right ? -1 : 1));
}

function epochsOf(record) {
  if (record.kind !== "decision") return [];
  return record.shadow === undefined ? [record.epoch] : [record.epoch, record.shadow.epoch];
}

const commitment = (part, index) =>
  new Fault("commitment", `the ${part} of decision ${index} is not what its record commits to`);
const erasure = (part, index) => new Fault("erasure", `no record here says that the ${part} of decision ${index} was erased`);

// Every part is what its record commits to, or accounted for. The entries ascend.
export async function checkParts({ entries }, records) {
  const at = places(entries);
  for (const [i, entry] of entries.entries()) {
    if (records[i].kind !== "decision") continue;
    for (const [bit, name] of [[1n, "request"], [2n, "detail"]]) {
      const part = entry[name];
      if (part.state === "disclosed" && !equal(await sha256(concat(part.salt, part.bytes)), records[i][name])) {
        throw commitment(name, entry.index);
      }
      if (part.state === "erased") {
        const record = records[at.get(part.by)];
        const says = record?.kind === "erasure" && record.index === entry.index && (record.parts & bit) !== 0n;
        if (!says) throw erasure(name, entry.index);
      }
    }
  }
}

const missing = (epoch) => new Fault("missing", `epoch ${epoch} is named and not here whole`);
const other = (epoch) => new Fault("epoch", `epoch ${epoch} is not what its act says, or not where it must be`);

// The content of every named epoch, as a Map from its number to its document. The entries ascend.
export async function checkEpochs({ entries }, records, origin, named) {
  const at = places(entries);
  const closings = new Map();
  for (const [i, record] of records.entries()) {
    const act = record.kind === "epoch" ? epochAct(record.note) : null;
    if (act === null || act.origin !== origin || closings.has(act.number)) continue;
    closings.set(act.number, { index: entries[i].index, content: act.content, record });
  }
  const documents = new Map();
  for (const epoch of named) {
    const closing = closings.get(epoch);
    if (closing === undefined) throw missing(epoch);
    const { first_part, parts } = closing.record;
    if (first_part + parts > closing.index) throw other(epoch);
    const pieces = [];
    for (let part = 0n; part < parts; part += 1n) {
      const place = at.get(first_part + part);
      if (place === undefined) throw missing(epoch);
      const record = records[place];
      if (record.kind !== "epoch-part" || record.epoch !== epoch || record.part !== part) throw other(epoch);
      pieces.push(record.bytes);
    }
    const document = concat(...pieces);
    if (!equal(await sha256(document), closing.content)) throw other(epoch);
    documents.set(epoch, document);
  }
  for (const [i, record] of records.entries()) {
    const late = epochsOf(record).find((epoch) => closings.get(epoch).index >= entries[i].index);
    if (late !== undefined) throw other(late);
  }
  return documents;
}

const places = (entries) => new Map(entries.map(({ index }, place) => [index, place]));

// {origin, number, content} of an act that publishes an epoch, as `act.rs` reads it; null of anything else.
function epochAct(raw) {
  try {
    const { text } = parseNote(raw);
    const lines = text.slice(0, -1).split("\n");
    const [kind, origin, follows, number, content] = lines;
    if (lines.length !== 5 || !["interlock/epoch/v1", "interlock/shadow-epoch/v1"].includes(kind)) return null;
    decimal(follows);
    return { origin, number: decimal(number), content: unb64Hash(content) };
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
}
