// From evidence to a verdict: the ladder, rung by rung, in the words and with the codes of the Rust verifier (`verify.rs`).
//
// Guarantees: each rung rests on the one below; a verdict that says `verified: true` has passed every rung of its form, and ends with what
// was not checked. Whatever is thrown that is no refusal is a defect, and no verdict.

import { checkEpochs, checkParts, decodeBundle, namedEpochs } from "./bundle.js";
import { openCheckpoint, parseCheckpoint } from "./checkpoint.js";
import { verifyConsistencyReceipt, verifyInclusionReceipt } from "./cose.js";
import { Fault } from "./fault.js";
import { contradicts, isFork, readFork } from "./fork.js";
import { parseKey, parseNote } from "./note.js";
import { witnessing } from "./policy.js";
import { rootMismatch, rootOfInclusion, rootOfMany, rootOfPrefix, rootOfRange } from "./proof.js";
import { decodeRecord } from "./record.js";
import { readForm } from "./receipt.js";
import { leafHash } from "./sha2.js";
import { b64, equal, hex, rfc3339 } from "./text.js";

export const SCHEMA = "interlock/verdict/v1";

const RUNGS = {
  decoded: "decoded: the leaf is one record in its only encoding",
  included: "included: the path leads from the leaf's hash to the root of the head",
  signed: "signed: the trusted key signed that head",
  disclosed: "disclosed: each private part that is here is what its record commits to; each erased one has its record",
  governed: "governed: each epoch that a decision names is here whole, by the digest in its act",
  consistent: "consistent: the tree of the head that you kept is the beginning of this one",
  witnessed: "witnessed: the quorum of your policy cosigned that head",
};

const NOT_CHECKED = [
  "policy verdict: it was not recomputed from the request",
  "identity: that the key's holder sent the request is the operator's word",
  "order of events: that the decision was made before the action ran is the operator's time",
];
const NOTHING_COMPARED = "split view: no earlier head of yours was compared, nor any witness or anchor";
const NOBODY_ASKED = "split view: no witness or anchor was asked";
const OTHERS_NOT_ASKED = "split view: no anchor was asked, nor any witness beyond your policy";
const PLACE = "place: index and size of a COSE receipt are not under its signature; other places with the same path exist";
const NO_SIZE = "consistency: a COSE receipt signs no size at which your head could be compared";
const NO_RECORDS = "records: none was looked at";
const OF_BUNDLES = [
  "choice: that nothing was left out, and why a part is committed or lost, is the word of whoever made the bundle",
  "epochs: who signed their acts, and that no other epoch was in force, was not checked",
];

// What was refused: the rung that broke, the stable code, the reason, and the exit code of verifying commands (1 invalid, 3 undecidable,
// 5 not anchored in a trusted key, 6 quorum of witnesses not met, 7 fork).
class Refusal extends Error {
  constructor(rung, code, reason, exit) {
    super(reason);
    Object.assign(this, { rung, code, exit });
  }
}

const refusals = {
  unread: (error) => new Refusal("read", "malformed_receipt", error.message, 3),
  noLeaf: () => new Refusal("decoded", "no_leaf", "the receipt carries no leaf", 3),
  noHead: () => new Refusal("consistent", "no_head", "no older head was given, which the receipt continues", 3),
  leaves: (covers, given) =>
    new Refusal("decoded", "wrong_leaves", `the receipt covers ${covers} leaves, and ${given} were given`, 3),
  record: (error) => new Refusal("decoded", "malformed_record", error.message, 3),
  inclusion: (error) => new Refusal("included", "bad_proof", `inclusion: ${error.message}`, 1),
  head: (error) => new Refusal("signed", "bad_head", `head: ${error.message}`, error.kind === "bad_signature" ? 1 : 3),
  unknownKey: () => new Refusal("signed", "unknown_key", "no trusted key signed the head", 5),
  retiredKey: () =>
    new Refusal("signed", "retired_key", "the key that signed the head is not believed for this size or time", 1),
  coseProof: (error) => new Refusal("included and signed", "bad_proof", `COSE: ${error.message}`, 1),
  coseSignature: (error) => new Refusal("included and signed", "bad_signature", `COSE: ${error.message}`, 1),
  otherSize: (receipt, head) =>
    new Refusal("consistent", "other_head", `the receipt begins at size ${receipt}, the older head has ${head}`, 3),
  kept: (refusal) => new Refusal("consistent", "bad_kept_head", `the head that you kept: ${refusal.message}`, refusal.exit),
  otherLog: (head, kept) =>
    new Refusal("consistent", "other_log", `the head is of \`${head}\`, the one that you kept of \`${kept}\``, 3),
  bundle: (error) => new Refusal("read", "malformed_bundle", error.message, 3),
  parts: (index) =>
    new Refusal(
      "decoded", "malformed_bundle", `entry ${index} has private parts and is no decision, or the other way round`, 3,
    ),
  manifest: () => new Refusal("decoded", "bad_manifest", "the manifest does not say what the bundle holds", 3),
  disclosed: (error) =>
    error.kind === "commitment"
      ? new Refusal("disclosed", "bad_commitment", error.message, 1)
      : new Refusal("disclosed", "bad_erasure", error.message, 3),
  governed: (error) =>
    error.kind === "epoch"
      ? new Refusal("governed", "bad_epoch", error.message, 1)
      : new Refusal("governed", "missing_epoch", error.message, 3),
  forkProof: (error) => new Refusal("consistent", "bad_proof", `fork: ${error.message}`, 1),
  noFork: () => new Refusal("consistent", "no_fork", "the two heads do not contradict each other", 1),
  forked: (older, newer) =>
    new Refusal(
      "consistent",
      "fork",
      older === newer
        ? `fork: the key signed two trees of size ${older}`
        : `fork: the key signed a tree of size ${newer} that does not begin with the tree of size ${older} that it signed`,
      7,
    ),
  cosignature: (error) => new Refusal("witnessed", "bad_head", `head: ${error.message}`, 1),
  noQuorum: (quorum) =>
    new Refusal("witnessed", "no_quorum", `the witnesses that cosigned the head are not the quorum \`${quorum}\` of your policy`, 6),
  fork: (size) =>
    new Refusal("consistent", "fork", `fork: the key signed another tree of size ${size} than the one that you kept`, 7),
};

// Judges evidence of any form: a receipt as tlog-proof text, JSON or COSE, a range receipt, a checkpoint, or an evidence bundle.
//   bytes   the evidence
//   leaves  bytes of the leaves that it does not carry, in order
//   kept    a head that the reader kept, a signed note as a string: what a COSE receipt of consistency continues, else compared as far as
//           the evidence goes
//   policy  what the reader asks for (from parsePolicy): its logs are believed beside `keys`, its quorum must have cosigned the head
//   keys    [{key (from parseKey), notBefore, notAfter, maxSize}]: keys that are believed, limits as BigInts or undefined
export async function judge(bytes, { leaves = [], kept = null, policy = null } = {}, keys = []) {
  const held = [];
  const beside = [];
  const witnesses = [];
  const more = () => (witnesses.length > 0 ? { witnesses: witnesses[0] } : {});
  try {
    const form = isFork(bytes) ? { form: "fork", bytes } : await reading(() => readForm(bytes), refusals.unread);
    const trusted = policy === null ? keys : [...keys, ...policy.logs];
    const verdict = await LADDERS[form.form](form, { leaves, kept, keys: trusted, held, beside });
    if (policy !== null) await witnessed(policy, form.checkpoint ?? null, held, witnesses);
    return { ...said(held, { verified: true, ...verdict }, beside, 0), ...more() };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, rung, exit, message } = error;
    return { ...said(held, { verified: false, code, rung, reason: message }, beside, exit), ...more() };
  }
}

const LADDERS = {
  leaf: leafLadder, range: rangeLadder, inclusion: coseLadder, consistency: growthLadder, head: headLadder,
  bundle: bundleLadder, fork: forkLadder,
};

function said(held, verdict, beside, exit) {
  const compared = held.includes(RUNGS.consistent) ? NOBODY_ASKED : NOTHING_COMPARED;
  const splitView = held.includes(RUNGS.witnessed) ? OTHERS_NOT_ASKED : compared;
  return {
    schema: SCHEMA,
    held,
    verdict,
    exit,
    not_checked: [...beside, splitView, ...NOT_CHECKED],
  };
}

async function leafLadder(receipt, { leaves, kept, keys, held, beside }) {
  if (leaves.length > 1) throw refusals.leaves(1, leaves.length);
  const bytes = leaves[0] ?? receipt.extra;
  if (bytes === undefined) throw refusals.noLeaf();
  const record = await reading(() => decodeRecord(bytes), refusals.record);
  held.push(RUNGS.decoded);
  // The head is read before it is believed: its signature is the next rung, and nothing is verified without it.
  const leaf = await leafHash(bytes);
  const head = await reading(() => claimed(receipt.checkpoint), refusals.head);
  await leadsTo(head.root, () => rootOfInclusion(leaf, receipt.index, head.size, receipt.path));
  held.push(RUNGS.included);
  const key = await signedByAny(receipt.checkpoint, keys);
  if (!coversSize(key, head.size) || !coversTime(key, record.recorded_at)) throw refusals.retiredKey();
  held.push(RUNGS.signed);
  const prefix = { size: receipt.index + 1n, root: () => rootOfPrefix(leaf, receipt.index, head.size, receipt.path) };
  await compare(kept, keys, head, prefix, held, beside);
  return {
    kind: record.kind, index: receipt.index, size: head.size, origin: head.origin, leaf: hex(leaf),
    recorded_at: rfc3339(record.recorded_at), decision: decisionOf(record),
  };
}

async function rangeLadder(receipt, { leaves, kept, keys, held, beside }) {
  if (BigInt(leaves.length) !== receipt.count) throw refusals.leaves(receipt.count, leaves.length);
  const records = await reading(() => leaves.map(decodeRecord), refusals.record);
  held.push(RUNGS.decoded);
  const hashes = await Promise.all(leaves.map(leafHash));
  const head = await reading(() => claimed(receipt.checkpoint), refusals.head);
  await leadsTo(head.root, () => rootOfRange(receipt.first, hashes, head.size, receipt.proof));
  held.push(RUNGS.included);
  const key = await signedByAny(receipt.checkpoint, keys);
  if (!coversSize(key, head.size) || !records.every((record) => coversTime(key, record.recorded_at))) {
    throw refusals.retiredKey();
  }
  held.push(RUNGS.signed);
  await compare(kept, keys, head, null, held, beside);
  return {
    first: receipt.first, count: records.length, size: head.size, origin: head.origin,
    records: records.map((record) => ({
      kind: record.kind, recorded_at: rfc3339(record.recorded_at), decision: decisionOf(record),
    })),
  };
}

// Inclusion and signature hold together or not at all: the receipt states no root. A key with a limit of size is not believed, since the
// size is not under the signature.
async function coseLadder(receipt, { leaves, kept, keys, held, beside }) {
  beside.push(PLACE);
  if (leaves.length > 1) throw refusals.leaves(1, leaves.length);
  const [bytes] = leaves;
  if (bytes === undefined) throw refusals.noLeaf();
  if (kept !== null) beside.push(NO_SIZE);
  const record = await reading(() => decodeRecord(bytes), refusals.record);
  held.push(RUNGS.decoded);
  const leaf = await leafHash(bytes);
  const [root, key] = await firstKey(keys, (key) => verifyInclusionReceipt(receipt, leaf, key.key));
  held.push(RUNGS.included);
  if (key.maxSize !== undefined || !coversTime(key, record.recorded_at)) throw refusals.retiredKey();
  held.push(RUNGS.signed);
  return {
    kind: record.kind, origin: key.key.name, root: b64(root), leaf: hex(leaf), claimed_index: receipt.index,
    claimed_size: receipt.size, recorded_at: rfc3339(record.recorded_at), decision: decisionOf(record),
  };
}

async function growthLadder(receipt, { kept, keys, held, beside }) {
  beside.push(PLACE, NO_RECORDS);
  if (kept === null) throw refusals.noHead();
  await signedByAny(kept, keys);
  const from = claimed(kept);
  if (receipt.from !== from.size) throw refusals.otherSize(receipt.from, from.size);
  const ours = keys.filter((key) => key.key.name === from.origin);
  const [root, key] = await firstKey(ours, (key) => verifyConsistencyReceipt(receipt, from.root, key.key));
  if (key.maxSize !== undefined) throw refusals.retiredKey();
  held.push(RUNGS.signed, RUNGS.consistent);
  return { origin: from.origin, from: from.size, from_root: b64(from.root), claimed_to: receipt.to, to_root: b64(root) };
}

async function headLadder({ checkpoint }, { kept, keys, held, beside }) {
  beside.push(NO_RECORDS);
  const head = await reading(() => claimed(checkpoint), refusals.head);
  const key = await signedByAny(checkpoint, keys);
  if (!coversSize(key, head.size)) throw refusals.retiredKey();
  held.push(RUNGS.signed);
  await compare(kept, keys, head, null, held, beside);
  return { origin: head.origin, size: head.size, root: b64(head.root) };
}

// A bundle: all its records at once, their private parts, and the epochs that they were decided under.
async function bundleLadder(form, { leaves, kept, keys, held, beside }) {
  beside.push(...OF_BUNDLES);
  if (leaves.length > 0) throw refusals.leaves(0, leaves.length);
  const bundle = await reading(() => decodeBundle(form.bytes), refusals.bundle);
  const { manifest, checkpoint, entries } = bundle;
  form.checkpoint = checkpoint;
  const records = await reading(() => entries.map(({ record }) => decodeRecord(record)), refusals.record);
  const decisions = records.filter((record) => record.kind === "decision");
  const odd = entries.find(({ request }, i) => (request !== undefined) !== (records[i].kind === "decision"));
  if (odd !== undefined) throw refusals.parts(odd.index);
  const head = await reading(() => claimed(checkpoint), refusals.head);
  const named = namedEpochs(records);
  const key = await reading(() => parseKey(manifest.vkey), refusals.manifest);
  const sameEpochs = named.length === manifest.epochs.length && named.every((epoch, i) => epoch === manifest.epochs[i]);
  if (key.name !== head.origin || manifest.decisions !== BigInt(decisions.length) || !sameEpochs) throw refusals.manifest();
  held.push(RUNGS.decoded);
  const hashes = await Promise.all(entries.map(({ record }) => leafHash(record)));
  await leadsTo(head.root, () => rootOfMany(entries.map(({ index }) => index), hashes, head.size, bundle.proof));
  held.push(RUNGS.included);
  const by = await signedByAny(checkpoint, keys);
  if (!coversSize(by, head.size) || !records.every((record) => coversTime(by, record.recorded_at))) {
    throw refusals.retiredKey();
  }
  held.push(RUNGS.signed);
  await reading(() => checkParts(bundle, records), refusals.disclosed);
  held.push(RUNGS.disclosed);
  await reading(() => checkEpochs(bundle, records, head.origin, named), refusals.governed);
  held.push(RUNGS.governed);
  await compare(kept, keys, head, null, held, beside);
  const allowed = decisions.filter(({ allow }) => allow).length;
  return {
    entries: entries.length, allowed, denied: decisions.length - allowed, size: head.size, origin: head.origin,
    choice: manifest.choice, epochs: named,
    records: entries.map(({ index, request, detail }, i) => ({
      index, kind: records[i].kind, recorded_at: rfc3339(records[i].recorded_at), decision: decisionOf(records[i]),
      request: request?.state ?? null, detail: detail?.state ?? null,
    })),
  };
}

// Two heads that one key signed: never good news.
async function forkLadder({ bytes }, { keys, held, beside }) {
  beside.push(NO_RECORDS);
  const evidence = await reading(() => readFork(bytes), refusals.unread);
  const heads = [evidence.older, evidence.newer];
  const [from, to] = await reading(() => heads.map(claimed), refusals.head);
  const key = await signedByAny(evidence.older, keys);
  await signedByAny(evidence.newer, [key]);
  held.push(RUNGS.signed);
  if (!(await reading(() => contradicts(from, to, evidence), refusals.forkProof))) throw refusals.noFork();
  throw refusals.forked(from.size, to.size);
}

// Who of the policy's witnesses cosigned the head; where their quorum did not, nothing is verified.
async function witnessed(policy, checkpoint, held, witnesses) {
  const { each, met } = await reading(() => witnessing(policy, checkpoint), refusals.cosignature);
  witnesses.push(each.map(({ name, time }) => ({ name, cosigned_at: time === null ? null : rfc3339(time * 1000n) })));
  if (policy.quorum.name === null) return;
  if (!met) throw refusals.noQuorum(policy.quorum.name);
  held.push(RUNGS.witnessed);
}

// Holds a verified head against one that the reader kept, as far as the evidence goes: the same size, or the size at which the proved leaf
// was the last one.
async function compare(kept, keys, head, prefix, held, beside) {
  if (kept === null) return;
  try {
    await signedByAny(kept, keys);
  } catch (error) {
    throw error instanceof Refusal ? refusals.kept(error) : error;
  }
  const older = claimed(kept);
  if (older.origin !== head.origin) throw refusals.otherLog(head.origin, older.origin);
  let root;
  if (older.size === head.size) {
    root = head.root;
  } else if (prefix !== null && older.size === prefix.size) {
    root = await prefix.root();
  } else {
    beside.push(`consistency: the evidence has no proof between your head of size ${older.size} and its own of size ${head.size}`);
    return;
  }
  if (!equal(root, older.root)) throw refusals.fork(older.size);
  held.push(RUNGS.consistent);
}

// Runs a part that refuses with a Fault, and names the rung at which it did.
async function reading(read, refuse) {
  try {
    return await read();
  } catch (error) {
    throw error instanceof Fault ? refuse(error) : error;
  }
}

async function leadsTo(root, compute) {
  await reading(async () => {
    if (!equal(await compute(), root)) throw rootMismatch();
  }, refusals.inclusion);
}

// The head that a note states, read and not believed.
function claimed(raw) {
  return parseCheckpoint(parseNote(raw).text);
}

// The first key that signed the head of its own log.
async function signedByAny(raw, keys) {
  for (const key of keys) {
    try {
      await openCheckpoint(raw, key.key);
      return key;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (error.kind !== "no_known_key" && error.kind !== "origin") throw refusals.head(error);
    }
  }
  throw refusals.unknownKey();
}

// The first key under which something of COSE holds; else why it does not under the last.
async function firstKey(keys, verify) {
  let refusal = refusals.unknownKey();
  for (const key of keys) {
    try {
      return [await verify(key), key];
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      refusal = error.kind === "proof" ? refusals.coseProof(error) : refusals.coseSignature(error);
    }
  }
  throw refusal;
}

const coversSize = (key, size) => key.maxSize === undefined || size <= key.maxSize;
const coversTime = (key, time) =>
  (key.notBefore === undefined || key.notBefore <= time) && (key.notAfter === undefined || time < key.notAfter);

function decisionOf(record) {
  if (record.kind !== "decision") return null;
  const { permit, allow, realm, epoch, shadow, expires_at } = record;
  return {
    permit, allow, realm, epoch,
    shadow: shadow === undefined ? null : { epoch: shadow.epoch, allow: shadow.allow },
    expires_at: expires_at === undefined ? null : rfc3339(expires_at),
  };
}
