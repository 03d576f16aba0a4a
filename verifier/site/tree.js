// Where the hashes of an audit path stand: which entries each one covers, and in which tile of the log (C2SP tlog-tiles) it is found.
//
// Does not verify anything: it tells places, and the hashes come from elsewhere. Indexes and sizes are BigInts.

import { split } from "./proof.js";

// The hashes of the path of `index` in a tree of `size`, from the leaf upwards: [{side: "left" | "right", first, end, tiles}]: the entries
// from `first` below `end` hang under it.
export function siblings(index, size) {
  const found = [];
  let [low, high] = [0n, size];
  while (high - low > 1n) {
    const middle = low + split(high - low);
    const goesLeft = index < middle;
    found.push(goesLeft ? { side: "right", first: middle, end: high } : { side: "left", first: low, end: middle });
    [low, high] = goesLeft ? [low, middle] : [middle, high];
  }
  return found.reverse().map((sibling) => ({ ...sibling, tiles: complete(sibling.first, sibling.end).map((part) => tile(...part, size)) }));
}

// A run that begins a subtree, cut into complete subtrees, the largest first.
function complete(first, end) {
  const parts = [];
  for (let low = first; low < end; ) {
    let width = 1n;
    while (width * 2n <= end - low) width *= 2n;
    parts.push([low, low + width]);
    low += width;
  }
  return parts;
}

// {path, from, count}: the complete subtree over these entries is the root over `count` hashes of that tile, from its `from`th on.
function tile(first, end, size) {
  const height = (end - first).toString(2).length - 1;
  const level = BigInt(Math.floor(height / 8));
  const [begin, stop] = [first >> (8n * level), end >> (8n * level)];
  const number = begin >> 8n;
  const there = (size >> (8n * level)) - number * 256n;
  const partial = there < 256n ? `.p/${there}` : "";
  return { path: `/tile/${level}/${grouped(number)}${partial}`, from: Number(begin & 255n), count: Number(stop - begin) };
}

// 1234067 is `x001/x234/067`.
function grouped(number) {
  const digits = number.toString().padStart(3, "0");
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.../g);
  return groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join("/");
}
