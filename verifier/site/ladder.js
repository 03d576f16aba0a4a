// The ladder of one receipt, rung by rung, with everything that is computed on the way, for whoever shows it.
//
// Guarantees: the verdict is that of `verify.js`; the rungs are checked here a second time, and where the two should differ an error is
// thrown that is no verdict. Two rungs go further: the head that the reader pinned is compared by a consistency proof, and the disclosed
// request and detail are held against the record. What a rung does not prove stands beside it (DESIGN §7.5).

import { openCheckpoint, parseCheckpoint } from "./checkpoint.js";
import { formOf } from "./evidence.js";
import { Fault } from "./fault.js";
import { parseNote } from "./note.js";
import { rootMismatch, rootOfConsistency, rootOfInclusion } from "./proof.js";
import { decodeRecord } from "./record.js";
import { leafHash, sha256 } from "./sha2.js";
import { concat, equal } from "./text.js";
import { judge } from "./verify.js";

// How a rung stands: held, failed, open (nothing to check it by), or below: one before it failed.
export const [HELD, FAILED, OPEN, BELOW] = ["held", "failed", "open", "below"];

export const RUNGS = {
  decoded: {
    title: "Decoded",
    proves: "The bytes are one record of this log's format, in its only encoding: no two readers can read them differently.",
    not: "That what the record says is true, or that the log holds it.",
  },
  leaf: {
    title: "Leaf hash",
    proves: "This hash stands for exactly these bytes: one flipped bit gives another.",
    not: "That the hash is in any tree.",
  },
  included: {
    title: "Included",
    proves: "The record stands at this place of a tree of this size: the path leads from its hash to the root that the head states.",
    not: "That anybody signed that head.",
  },
  signed: {
    title: "Head signed",
    proves: "The holder of the key signed this root, size and origin; so it can be shown to anyone, and not be denied.",
    not: "That the key is the log's own: compare it elsewhere. That others were shown the same head.",
  },
  disclosed: {
    title: "Disclosed",
    proves: "Every request and detail that is here is the one that its record commits to; every one that was erased has its record.",
    not: "Why a part is committed or lost: that is the word of whoever made the bundle.",
  },
  governed: {
    title: "Governed",
    proves: "The policies that these decisions name are here whole: their digest is the one that the epoch's act states.",
    not: "Who signed those acts, and that the verdicts follow from them: replay does.",
  },
  consistent: {
    title: "Consistent with the head that you pinned",
    proves: "The smaller of the two trees is the beginning of the larger one: nothing that you have seen was changed or taken out.",
    not: "What others were shown, and what was appended after both.",
  },
  witnessed: {
    title: "Witnessed",
    proves: "Cosigned by witnesses, a head is the same for all of their readers.",
    not: "Anything, here: this log names no witnesses yet, so a split view can only be found by comparing heads.",
  },
  recomputable: {
    title: "Recomputable",
    proves: "The disclosed request and detail are those that the record was committed to, bit for bit.",
    not: "That the verdict follows from them: that is replay, which computes the decision again under the epoch's policies.",
  },
};

// evidence: {bytes, leaves, kept: a signed note or null, growth: hashes of a consistency proof or null, parts: {request, detail: {salt,
// bytes}}, or {code, reason} where they are not to be had, or null}; keys as in `verify.js`.
// Answers {form (of `formOf`), rungs: [{id, state, …}], verdict (of `judge`), verified, failed: the rung that failed or null, …what was read}.
export async function climb(evidence, keys) {
  const verdict = await judge(evidence.bytes, { leaves: evidence.leaves ?? [] }, keys);
  const climb = { rungs: [], verdict, failed: null };
  const rung = async (id, check) => {
    if (climb.failed !== null) return climb.rungs.push({ id, state: BELOW });
    try {
      climb.rungs.push({ id, state: HELD, ...(await check()) });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const said = verdict.verdict;
      climb.rungs.push({ id, state: FAILED, code: said.rung === id ? said.code : error.kind, reason: error.message });
      climb.failed = id;
    }
  };
  try {
    climb.form = await formOf(evidence.bytes);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { ...climb, form: null, failed: "read", verified: false };
  }
  await (climb.form.form === "leaf" ? receiptRungs : otherRungs)(climb, evidence, keys, rung);
  agree(climb);
  climb.verified = verdict.verdict.verified && climb.failed === null;
  return climb;
}

async function receiptRungs(climb, { leaves = [], kept, growth, parts }, keys, rung) {
  const { index, path, checkpoint, extra } = climb.form;
  const bytes = leaves[0] ?? extra;
  climb.bytes = bytes;
  await rung("decoded", () => {
    if (bytes === undefined) throw new Fault("no_leaf", "the receipt carries no record");
    climb.record = decodeRecord(bytes);
    return {};
  });
  await rung("leaf", async () => {
    climb.leaf = await leafHash(bytes);
    return { leaf: climb.leaf };
  });
  // A head that cannot be read has no root to arrive at; the rung that names it is the next one, as in `verify.js`.
  let unreadable = null;
  await rung("included", async () => {
    try {
      climb.head = claimed(checkpoint);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      unreadable = error;
      return { state: OPEN, why: "no_head" };
    }
    const steps = [];
    const root = await rootOfInclusion(climb.leaf, index, climb.head.size, path, (step) => steps.push(step));
    const step = { steps, index, size: climb.head.size, root };
    climb.inclusion = step;
    if (!equal(root, climb.head.root)) throw rootMismatch();
    return step;
  });
  await rung("signed", async () => {
    if (unreadable !== null) throw unreadable;
    climb.key = await signer(checkpoint, keys);
    return { key: climb.key };
  });
  await rung("consistent", () => consistency(climb.head, kept, growth, keys));
  await rung("witnessed", () => ({ state: OPEN, others: cosignatures(checkpoint, climb.head.origin) }));
  await rung("recomputable", () => recomputable(climb.record, parts));
}

// Every other form: what held is what `judge` says. A COSE receipt does not carry its record, which is shown once it is verified.
// A head is held against the one that was pinned, as a receipt's is.
async function otherRungs(climb, { leaves = [], kept, growth }, keys, rung) {
  const { held, verdict } = climb.verdict;
  if (verdict.verified && climb.form.form === "inclusion") {
    [climb.bytes] = leaves;
    climb.record = decodeRecord(climb.bytes);
  }
  for (const id of ["decoded", "included", "signed", "disclosed", "governed", "consistent"]) {
    if (held.some((said) => said.startsWith(id))) climb.rungs.push({ id, state: HELD });
    else if (!verdict.verified && verdict.rung.includes(id)) {
      climb.rungs.push({ id, state: FAILED, code: verdict.code, reason: verdict.reason });
      climb.failed ??= id;
    }
  }
  if (!verdict.verified) climb.failed ??= verdict.rung;
  if (["head", "bundle"].includes(climb.form.form) && climb.failed === null) {
    climb.head = claimed(climb.form.checkpoint);
    await rung("consistent", () => consistency(climb.head, kept, growth, keys));
    await rung("witnessed", () => ({ state: OPEN, others: cosignatures(climb.form.checkpoint, climb.head.origin) }));
  }
}

// The head that a note states, read and not believed.
function claimed(raw) {
  return parseCheckpoint(parseNote(raw).text);
}

async function signer(raw, keys) {
  for (const { key } of keys) {
    try {
      await openCheckpoint(raw, key);
      return key;
    } catch (error) {
      if (!(error instanceof Fault) || (error.kind !== "no_known_key" && error.kind !== "origin")) throw error;
    }
  }
  throw new Fault("unknown_key", "no trusted key signed the head");
}

// Two heads of one log: the smaller one's tree must be the beginning of the larger one's.
async function consistency(head, kept, growth, keys) {
  if (kept === null || kept === undefined) return { state: OPEN, why: "pin" };
  const older = claimed(kept);
  if (older.origin !== head.origin) return { state: OPEN, why: "other_log", kept: older };
  await signer(kept, keys);
  const [small, large] = older.size <= head.size ? [older, head] : [head, older];
  const steps = [];
  if (small.size === large.size) {
    if (!equal(small.root, large.root)) throw new Fault("fork", `fork: the key signed two trees of size ${large.size}`);
  } else if (small.size > 0n) {
    if (growth === null || growth === undefined) return { state: OPEN, why: "no_proof", kept: older };
    const root = await rootOfConsistency(small.size, large.size, growth, small.root, (step) => steps.push(step));
    if (!equal(root, large.root)) throw rootMismatch();
  }
  return { kept: older, from: small.size, to: large.size, proof: growth ?? [], steps };
}

// Signature lines of the head that are not under its origin's name; nothing is known of their keys.
function cosignatures(raw, origin) {
  return parseNote(raw).signatures.filter(({ name }) => name !== origin).map(({ name }) => name);
}

async function recomputable(record, parts) {
  if (record.kind !== "decision") return { state: OPEN, why: "no_request" };
  if (parts === null || parts === undefined) return { state: OPEN, why: "not_given" };
  if (parts.code !== undefined) return { state: OPEN, why: parts.code, reason: parts.reason };
  const request = await sha256(concat(parts.request.salt, parts.request.bytes));
  if (!equal(request, record.request)) throw new Fault("commitment", "the request is not the one that the record commits to");
  const detail = await sha256(concat(parts.detail.salt, parts.detail.bytes));
  if (!equal(detail, record.detail)) throw new Fault("commitment", "the detail is not the one that the record commits to");
  return { request: parts.request, detail: parts.detail };
}

// The rungs that `judge` climbs too must stand as it says.
function agree({ rungs, verdict: { verdict, held } }) {
  for (const { id, state } of rungs.filter(({ id }) => ["decoded", "included", "signed"].includes(id))) {
    if ((state === HELD) !== held.some((said) => said.startsWith(id))) throw new Error(`two checks differ about the rung \`${id}\``);
  }
  const below = rungs.some(({ id, state }) => state === FAILED && ["decoded", "leaf", "included", "signed"].includes(id));
  if (verdict.verified && below) throw new Error("two checks differ about the verdict");
}
