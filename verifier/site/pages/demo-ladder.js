// From a receipt to an action: the verifier's rungs, then those of an executor's guard, and ways to break each.
//
// Guarantees: the first three rungs are `verify.js`'s own, with its codes; the executor's stand in the order and carry the codes of the Rust
// guard (`guard.rs`), as far as a page can ask them: realm, audience, conditions that a guard demands and uses are its own configuration.
// Does not: act. A page that climbs all of it has shown that an executor would.

import { parseCheckpoint } from "../checkpoint.js";
import { Fault } from "../fault.js";
import { parseKey, parseNote } from "../note.js";
import { rootOfInclusion } from "../proof.js";
import { parseReceipt } from "../receipt.js";
import { decodeRecord } from "../record.js";
import { leafHash, sha256 } from "../sha2.js";
import { flipped, receiptText, withRoot } from "../tamper.js";
import { b64, concat, equal, rfc3339, toUtf8, unhex } from "../text.js";
import { judge } from "../verify.js";

// Name, title, and what it proves when it holds.
export const RUNGS = [
  ["decoded", "The record reads", "It is one decision, in the only encoding that there is."],
  ["included", "It stands in the tree", "Hashed upward along the path, the record leads to the root that the head names."],
  ["signed", "The head is signed", "The sandbox's key signed that root: nothing under it can be changed any more."],
  ["allowed", "It is an allowance", "All nine conditions stand, so an executor may act on it."],
  ["in-time", "It has not run out", "Permits live for a minute unless asked otherwise."],
  ["bound", "It is for this action", "The bytes about to be acted on are those that were decided."],
];

// Evidence: {receipt (text), request (bytes), salt (16 bytes), vkey (text), now (ms)}. Answers {rungs: [{name, title, proves, state, code, reason,
// facts}], verified, notChecked}; state is "held", "failed" or "below" (not reached).
export async function climb(evidence) {
  const { verdict, notChecked } = await verified(evidence);
  const held = verdict.verified ? ["decoded", "included", "signed"] : RUNGS.slice(0, rungOf(verdict.rung)).map(([name]) => name);
  const rungs = RUNGS.map(([name, title, proves]) => ({ name, title, proves, state: held.includes(name) ? "held" : "below", facts: [] }));
  const rung = (name) => rungs.find((rung) => rung.name === name);
  const fail = (name, code, reason) => Object.assign(rung(name), { state: "failed", code, reason });
  await explain(evidence, rungs);
  if (!verdict.verified) {
    fail(RUNGS[rungOf(verdict.rung)][0], verdict.code, verdict.reason);
    return { rungs, verified: false, notChecked };
  }
  const record = decodeRecord(parseReceipt(evidence.receipt).extra);
  const steps = [
    ["allowed", async () => record.allow || ["denied", "The decision is a denial: there is nothing to act on."]],
    ["in-time", async () => BigInt(evidence.now) < record.expires_at || ["expired", `It ran out at ${rfc3339(record.expires_at)}.`]],
    ["bound", async () => equal(await commitment(evidence), record.request) || ["wrong_request", "The permit is for other bytes than these."]],
  ];
  for (const [name, holds] of steps) {
    const found = await holds();
    if (found !== true) {
      fail(name, ...found);
      break;
    }
    rung(name).state = "held";
  }
  return { rungs, verified: true, notChecked };
}

const commitment = ({ salt, request }) => sha256(concat(salt, request));

// Where `verify.js` says that it broke; a file that cannot be read at all breaks at the first rung.
const rungOf = (rung) => Math.max(0, RUNGS.findIndex(([name]) => name === rung));

async function verified({ receipt, vkey }) {
  const keys = [{ key: await parseKey(vkey) }];
  const { verdict, not_checked: notChecked } = await judge(toUtf8(receipt), {}, keys);
  return { verdict, notChecked };
}

// What each rung looked at, as far as the evidence can be read.
async function explain(evidence, rungs) {
  const facts = Object.fromEntries(rungs.map((rung) => [rung.name, rung.facts]));
  try {
    const receipt = parseReceipt(evidence.receipt);
    const leaf = await leafHash(receipt.extra);
    facts.included.push(["leaf hash", b64(leaf)]);
    const head = parseCheckpoint(parseNote(receipt.checkpoint).text);
    const steps = [];
    const root = await rootOfInclusion(leaf, receipt.index, head.size, receipt.path, (step) => steps.push(step));
    rungs.find((rung) => rung.name === "included").way = { steps, index: receipt.index, size: head.size, root, leaf, good: equal(root, head.root) };
    facts.included.push([`path of ${receipt.path.length}, leads to`, b64(root)], [`root of ${head.size}, says the head`, b64(head.root)]);
    facts.signed.push(["key", evidence.vkey]);
    const record = decodeRecord(receipt.extra);
    facts.decoded.push(["permit", record.permit], ["recorded", rfc3339(record.recorded_at)]);
    facts.allowed.push(["outcome", record.allow ? "allow" : "deny"]);
    if (record.expires_at !== undefined) {
      facts["in-time"].push(["runs out", rfc3339(record.expires_at)], ["it is now", rfc3339(BigInt(evidence.now))]);
    }
    facts.bound.push(["hash of salt and request", b64(await commitment(evidence))], ["committed to in the record", b64(record.request)]);
  } catch (error) {
    // What cannot be read is said by the rung that needs it.
    if (!(error instanceof Fault)) throw error;
  }
}

// The ways to break it: [name, label, break(evidence, {otherKey}) → [evidence, what was done], needs an allowance].
export const BREAKS = [
  ["flip", "Flip a bit", flip, false],
  ["root", "Swap the root", swapRoot, false],
  ["key", "Use another key", otherKey, false],
  ["replay", "Replay for another request", replay, true],
  ["expired", "Wait until it has run out", wait, true],
];

// One bit of the permit's name, inside the record: it stays well formed, so what notices is the tree.
function flip(evidence) {
  const { extra, ...rest } = parseReceipt(evidence.receipt);
  const at = find(extra, unhex(decodeRecord(extra).permit));
  const receipt = receiptText({ ...rest, extra: flipped(extra, 8 * at) });
  return [{ ...evidence, receipt }, `One bit of the record's ${extra.length * 8} is another, in byte ${at}. So its hash is another, and the path leads elsewhere.`];
}

// The same bit, and then a head with the root that the forged record leads to.
async function swapRoot(evidence) {
  const receipt = parseReceipt(flip(evidence)[0].receipt);
  const { size } = parseCheckpoint(parseNote(receipt.checkpoint).text);
  const root = await rootOfInclusion(await leafHash(receipt.extra), receipt.index, size, receipt.path);
  const forged = receiptText({ ...receipt, checkpoint: withRoot(receipt.checkpoint, root) });
  return [{ ...evidence, receipt: forged }, "The record was changed, and the head's root swapped for the one that follows from it: the arithmetic holds again. Only nobody signed that root."];
}

// The real log's key: what the sandbox signs is no evidence there.
function otherKey(evidence, { otherKey }) {
  return [{ ...evidence, vkey: otherKey }, "The receipt is as it was, and is held against the key of the real log beside this sandbox, which never signed it."];
}

// The permit is genuine; what is about to be done is something else.
function replay(evidence) {
  const text = new TextDecoder().decode(evidence.request);
  const changed = text.replace(/("resource"\s*:\s*\{[^{}]*?"id"\s*:\s*")([^"]*)(")/, (_, before, id, after) => `${before}${id}-other${after}`);
  const request = toUtf8(changed === text ? `${text} ` : changed);
  return [{ ...evidence, request }, "The permit is genuine, and is brought for another resource: its id has `-other` behind it now."];
}

function wait(evidence) {
  const { expires_at: end } = decodeRecord(parseReceipt(evidence.receipt).extra);
  return [{ ...evidence, now: Number(end) + 1 }, "Nothing was changed. The clock was set to a millisecond after the permit's end."];
}

// Where `part` begins in `bytes`.
function find(bytes, part) {
  for (let at = 0; at + part.length <= bytes.length; at += 1) {
    if (equal(bytes.subarray(at, at + part.length), part)) return at;
  }
  throw new Error("the record does not hold its own permit");
}
