// Inclusion, consistency and range proofs (RFC 6962 §2.1.1, §2.1.2; RFC 9162 §2.1.3, §2.1.4). Indexes and sizes are BigInts.
//
// Guarantees: a root that these functions answer is that of a tree of this size with that leaf, prefix or run of leaves at that place,
// unless SHA-256 has a collision. The length of a proof is computed first and must be exact.
// Each function takes `seen`, which is told every node that is computed, for whoever shows the arithmetic.

import { Fault } from "./fault.js";
import { nodeHash } from "./sha2.js";
import { DECIMAL_LIMIT, equal } from "./text.js";

export const MAX_PATH = 63;
export const MAX_CONSISTENCY = MAX_PATH + 1;

const bounds = () => new Fault("bounds", "index, range or size out of bounds");
const wrongLength = () => new Fault("length", "proof of the wrong length");
export const rootMismatch = () => new Fault("root", "root mismatch");
const nothing = () => {};

async function node(left, right, seen) {
  const parent = await nodeHash(left, right);
  seen({ left, right, parent });
  return parent;
}

// The root to which a path leads from the leaf with this hash at `index` of `size` leaves.
export async function rootOfInclusion(leaf, index, size, path, seen = nothing) {
  if (index >= size || size >= DECIMAL_LIMIT) throw bounds();
  const [inner, border] = parts(index, size);
  if (path.length !== inner + border) throw wrongLength();
  return chain(leaf, path, inner, index, seen);
}

// The root of the first `index` + 1 leaves, which a path from leaf `index` gives beside the root of all: what stands left of it.
// The path must have been checked.
export async function rootOfPrefix(leaf, index, size, path) {
  const [inner] = parts(index, size);
  let hash = leaf;
  for (const [level, sibling] of path.entries()) {
    if (level >= inner || ((index >> BigInt(level)) & 1n) === 1n) hash = await nodeHash(sibling, hash);
  }
  return hash;
}

// The root of `to` leaves to which a consistency proof leads from the root of the first `from`, 0 < from < to.
export async function rootOfConsistency(from, to, proof, fromRoot, seen = nothing) {
  if (from === 0n || from >= to || to >= DECIMAL_LIMIT) throw bounds();
  // The proof hangs on the last complete subtree of the old tree: `shift` levels up, at index `last`.
  let shift = 0n;
  while (((from >> shift) & 1n) === 0n) shift += 1n;
  const last = (from - 1n) >> shift;
  const [inner, border] = parts(last, ((to - 1n) >> shift) + 1n);
  // If that subtree is the whole old tree its hash is the old root, which the reader has.
  const whole = from === 1n << shift;
  if (!whole && proof.length === 0) throw wrongLength();
  const [seed, rest] = whole ? [fromRoot, proof] : [proof[0], proof.slice(1)];
  if (rest.length !== inner + border) throw wrongLength();
  let old = seed;
  for (const [level, sibling] of rest.entries()) {
    if (level >= inner || ((last >> BigInt(level)) & 1n) === 1n) old = await node(sibling, old, seen);
  }
  const root = await chain(seed, rest, inner, last, seen);
  if (!equal(old, fromRoot)) throw rootMismatch();
  return root;
}

// The root of `size` leaves of which `leaves` stand at `first`, `first` + 1, …; `proof` has the hashes of the maximal subtrees outside,
// depth first, left to right.
export async function rootOfRange(first, leaves, size, proof, seen = nothing) {
  const end = first + BigInt(leaves.length);
  if (leaves.length === 0 || end > size || size >= DECIMAL_LIMIT) throw bounds();
  const outside = (low, high) => high <= first || end <= low;
  const count = (low, high) => {
    if (outside(low, high)) return 1;
    if (first <= low && high <= end) return 0;
    const middle = low + split(high - low);
    return count(low, middle) + count(middle, high);
  };
  if (proof.length !== count(0n, size)) throw wrongLength();
  let used = 0;
  const fold = async (low, high) => {
    if (outside(low, high)) {
      used += 1;
      return proof[used - 1];
    }
    if (high - low === 1n) return leaves[Number(low - first)];
    const middle = low + split(high - low);
    const left = await fold(low, middle);
    return node(left, await fold(middle, high), seen);
  };
  return fold(0n, size);
}

// The root of `size` leaves of which `leaves` stand at `indexes`, strictly ascending; `proof` has the hashes of the maximal subtrees that
// hold none of them, depth first, left to right.
export async function rootOfMany(indexes, leaves, size, proof, seen = nothing) {
  const ascending = indexes.every((index, i) => i === 0 || indexes[i - 1] < index);
  if (indexes.length === 0 || !ascending || indexes.at(-1) >= size || size >= DECIMAL_LIMIT) throw bounds();
  // The first of the places from..to whose index is not below `middle`.
  const cut = (from, to, middle) => {
    let [low, high] = [from, to];
    while (low < high) {
      const half = (low + high) >> 1;
      if (indexes[half] < middle) low = half + 1;
      else high = half;
    }
    return low;
  };
  const count = (from, to, low, high) => {
    if (from === to) return 1;
    if (BigInt(to - from) === high - low) return 0;
    const middle = low + split(high - low);
    const at = cut(from, to, middle);
    return count(from, at, low, middle) + count(at, to, middle, high);
  };
  if (proof.length !== count(0, indexes.length, 0n, size)) throw wrongLength();
  let used = 0;
  const fold = async (from, to, low, high) => {
    if (from === to) {
      used += 1;
      return proof[used - 1];
    }
    if (high - low === 1n) return leaves[from];
    const middle = low + split(high - low);
    const at = cut(from, to, middle);
    const left = await fold(from, at, low, middle);
    return node(left, await fold(at, to, middle, high), seen);
  };
  return fold(0, indexes.length, 0n, size);
}

// Largest power of two below n, which is at least 2.
export function split(n) {
  return 1n << BigInt((n - 1n).toString(2).length - 1);
}

// Path hashes at the levels where the way up has siblings on both sides, and at those where it follows the right edge.
function parts(index, size) {
  const differ = index ^ (size - 1n);
  const inner = differ === 0n ? 0 : differ.toString(2).length;
  const border = (index >> BigInt(inner)).toString(2).replaceAll("0", "").length;
  return [inner, border];
}

async function chain(seed, siblings, inner, index, seen) {
  let hash = seed;
  for (const [level, sibling] of siblings.entries()) {
    const isLeft = level < inner && ((index >> BigInt(level)) & 1n) === 0n;
    hash = isLeft ? await node(hash, sibling, seen) : await node(sibling, hash, seen);
  }
  return hash;
}
