// The audit path as a picture: the leaf at the bottom, the root on top, and beside each step upwards the hash that was needed for it. And
// the same as equations, for reading and for checking by hand.

import { siblings } from "../tree.js";
import { el, svg } from "./dom.js";
import { hash } from "./links.js";
import { SAVED } from "./api.js";
import { hex } from "../text.js";

// One row of the picture, in its own units: three columns, of which the middle one is the way up.
const [WIDTH, ROW, BOX, TALL] = [360, 78, 104, 40];
const CENTRE = { left: 62, spine: WIDTH / 2, right: WIDTH - 62 };

// {steps, index, size, root}: as `ladder.js` answers the rung; `good`: whether the root is the head's.
export function drawing({ steps, index, size, root }, leaf, good) {
  const beside = siblings(index, size);
  const height = (steps.length + 1) * ROW + 34;
  const y = (level) => height - 48 - level * ROW;
  const parts = [];
  steps.forEach(({ left, right }, level) => {
    const { side, first, end } = beside[level];
    const sibling = side === "left" ? left : right;
    parts.push(
      svg("path", { class: "edge way", d: `M${CENTRE.spine} ${y(level) - TALL / 2}V${y(level + 1) + TALL / 2}` }),
      svg("path", { class: "edge", d: `M${CENTRE[side]} ${y(level) - TALL / 2}v-10L${CENTRE.spine} ${y(level + 1) + TALL / 2}` }),
      box(CENTRE[side], y(level), sibling, entries(first, end), "sibling"),
      end - first > 1n && svg("path", { class: "under", d: under(CENTRE[side], y(level)) }),
    );
  });
  const hashes = [leaf, ...steps.map(({ parent }) => parent)];
  hashes.forEach((value, level) => {
    const name = level === 0 ? `entry ${index}` : level === steps.length ? `root of ${size}` : `level ${level}`;
    const kind = level === steps.length ? (good ? "root" : "root broken") : level === 0 ? "leaf" : "way";
    parts.push(box(CENTRE.spine, y(level), value, name, kind));
  });
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", class: "tree", "aria-labelledby": "tree-title tree-words" },
    svg("title", { id: "tree-title" }, `The way from entry ${index} to the root`),
    svg("desc", { id: "tree-words" }, `${steps.length} steps; at each one the hash so far and the one beside it are hashed. Root: ${hex(root)}.`),
    parts.filter(Boolean),
  );
}

function box(x, y, value, name, kind) {
  return svg(
    "g",
    { class: `node ${kind}` },
    svg("title", {}, hex(value)),
    svg("rect", { x: x - BOX / 2, y: y - TALL / 2, width: BOX, height: TALL, rx: 8 }),
    svg("text", { x, y: y - 4, class: "digits" }, `${hex(value).slice(0, 10)}…`),
    svg("text", { x, y: y + 12, class: "name" }, name),
  );
}

// A small triangle: more hangs under this hash.
const under = (x, y) => `M${x} ${y + TALL / 2}l-9 12h18z`;

const entries = (first, end) => (end - first === 1n ? `entry ${first}` : `${first}–${end - 1n}`);

// Each `SHA-256(0x01 ‖ L ‖ R)`, with the tile in which the hash beside the way is found.
export function equations({ steps, index, size }, leaf) {
  const beside = siblings(index, size);
  const rows = steps.map(({ left, right, parent }, level) => {
    const { side, first, end, tiles } = beside[level];
    const [l, r] = [left, right].map((value, i) => {
      const ours = (i === 0) !== (side === "left");
      return el("span", { class: ours ? "ours" : "theirs" }, hash(value, { brief: true }));
    });
    return el(
      "li",
      {},
      equation(["SHA-256(0x01 ‖ ", l, " ‖ ", r, ") = "], parent),
      el("div", { class: "hint" }, `beside the way: ${entries(first, end)}, from `, tiles.map((tile, i) => [i > 0 && " and ", tileLink(tile)])),
    );
  });
  return el("ol", { class: "equations", start: 0 }, el("li", {}, equation(["SHA-256(0x00 ‖ record) = "], leaf)), rows);
}

function equation(parts, result) {
  const shown = parts.map((part) => (typeof part === "string" ? el("code", {}, part) : part));
  return el("div", { class: "equation" }, shown, el("span", { class: "ours" }, hash(result, { brief: true })));
}

function tileLink({ path, from, count }) {
  const which = count === 1 ? `hash ${from}` : `hashes ${from}–${from + count - 1}`;
  return [SAVED ? el("code", {}, path) : el("a", { href: path }, el("code", {}, path)), `, ${which}`];
}
