// Evidence of a fork (`verify/fork.rs`): two heads that one key signed and that cannot both be true.
//
// Guarantees: what `checkFork` answers shows two histories under one key, to anybody; of two sizes by the consistency proof of the newer
// tree alone, with the root that it really has at the older size.

import { EMPTY_ROOT } from "./checkpoint.js";
import { Fault } from "./fault.js";
import { MAX_CONSISTENCY, rootMismatch, rootOfConsistency } from "./proof.js";
import { hash, hashes, object, string } from "./receipt.js";
import { DECIMAL_LIMIT, equal, toUtf8 } from "./text.js";

const FORK = toUtf8('{"schema":"interlock/fork/v1",');
const MAX_FORK = 128 * 1024;

const malformed = () => new Fault("fork", "malformed evidence of a fork");

export const isFork = (bytes) => equal(bytes.subarray(0, FORK.length), FORK);

// {older, newer, root?, proof?}: nothing of it is believed yet.
export function readFork(bytes) {
  if (bytes.length > MAX_FORK) throw malformed();
  let fields;
  try {
    fields = object(bytes, { schema: string, older: string, newer: string }, { root: hash, proof: hashes });
  } catch (error) {
    throw error instanceof Fault ? malformed() : error;
  }
  const { root, proof } = fields;
  if ((root === undefined) !== (proof === undefined) || (proof ?? []).length > MAX_CONSISTENCY) throw malformed();
  return fields;
}

// Whether two signed heads, {size, root} each, contradict each other by this evidence. Throws where its proof does not hold.
export async function contradicts(from, to, { root = to.root, proof = [] }) {
  await verifyConsistency(from.size, to.size, proof, root, to.root);
  return !equal(root, from.root);
}

// That the tree of `from` leaves with one root is the beginning of the tree of `to` leaves with the other.
async function verifyConsistency(from, to, proof, fromRoot, toRoot) {
  if (from > to || to >= DECIMAL_LIMIT) throw new Fault("bounds", "index, range or size out of bounds");
  if (from === 0n || from === to) {
    if (proof.length > 0) throw new Fault("length", "proof of the wrong length");
    const empty = (from !== 0n || equal(fromRoot, EMPTY_ROOT)) && (to !== 0n || equal(toRoot, EMPTY_ROOT));
    if (!empty || (from !== 0n && !equal(fromRoot, toRoot))) throw rootMismatch();
    return;
  }
  if (!equal(await rootOfConsistency(from, to, proof, fromRoot), toRoot)) throw rootMismatch();
}
