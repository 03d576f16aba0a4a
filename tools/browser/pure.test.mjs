// What pages compute without a document: searches, trees, curves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { dots, line, nice, stack } from "../../verifier/site/pages/chart.js";
import { joined } from "../../verifier/site/pages/health.js";
import { ask, read, understand, write } from "../../verifier/site/pages/search.js";
import { Tree } from "../../verifier/site/pages/descent.js";

test("a text is understood as the one thing that it can be", () => {
  const hash = "ab".repeat(32);
  const base64 = Buffer.from(hash, "hex").toString("base64");
  for (const [text, meant] of [
    ["", { filters: {} }],
    ["17", { id: "17" }],
    ["017", { filters: { q: "017" } }],
    [" 0123456789abcdef0123456789abcdef ", { id: "0123456789abcdef0123456789abcdef" }],
    [hash, { hash }],
    [base64, { hash }],
    [base64.replaceAll("+", "-").replaceAll("/", "_").replace("=", ""), { hash }],
    ["deny", { filters: { outcome: "deny" } }],
    ["subject: clerk", { filters: { subject: "clerk" } }],
    ["audience:gate", { filters: { q: "gate" } }],
    ['Agent::"a"', { filters: { q: 'Agent::"a"' } }],
    ["refund", { filters: { q: "refund" } }],
  ]) {
    assert.deepEqual(understand(text), meant, text);
  }
});

test("what the address says is what is asked, and back", () => {
  const filters = { subject: 'Agent::"a+b"', in_epoch: "3" };
  assert.deepEqual(read(write(filters, 9).slice("/console".length)), { view: "decisions", epoch: null, before: "9", filters });
  assert.equal(ask(filters, { before: null, limit: 5 }), "/v1/decisions?subject=Agent%3A%3A%22a%2Bb%22&epoch=3&limit=5");
  assert.equal(write({}), "/console");
  assert.equal(read("?epoch=2").view, "governance");
});

const node = (permit, parent, scopes) => ({ permit, parent, scopes, recorded_at: "2026-01-01T00:00:00.000Z", expires_at: "2026-01-01T00:01:00.000Z" });

test("a tree shows what hangs below what, folds, and tells what scopes were lost", () => {
  const tree = new Tree({ ancestors: [node("r", null, ["a", "b"])], node: node("n", "r", ["a"]), descendants: [node("x", "n", []), node("y", "n", ["a"]), node("z", "x", [])] });
  const seen = () => tree.rows().map(({ node, depth }) => `${depth}${node.permit}`);
  assert.deepEqual(seen(), ["0r", "1n", "2x", "3z", "2y"]);
  assert.deepEqual(tree.get("n").lost, ["b"]);
  assert.ok(tree.fold("x", true) && !tree.fold("x", true) && !tree.fold("y", true));
  assert.deepEqual(seen(), ["0r", "1n", "2x", "2y"]);
  tree.foldBelow(1);
  assert.deepEqual(seen(), ["0r", "1n"]);
  tree.foldBelow(null);
  tree.grow([node("w", "y", ["a"]), node("x", "n", [])]);
  assert.deepEqual(seen(), ["0r", "1n", "2x", "3z", "2y", "3w"]);
  assert.deepEqual(tree.rows()[3].rails, [false, false, true], "a line goes on beside z, since y follows x");
  const wide = new Tree({ ancestors: [], node: node("0", null, []), descendants: Array.from({ length: 50_000 }, (_, at) => node(String(at + 1), String(Math.floor(at / 3)), [])) });
  assert.equal(wide.rows().length, 50_001);
});

test("a line has gaps where nothing was measured, and layers stand upon one another", () => {
  const [x, y] = [(at) => at, (value) => value];
  assert.equal(line([0, 1, 2, 3, 20, 21], [1, null, 2, 3, 4, 5], x, y, 1), "M0.0 1.0M2.0 2.0L3.0 3.0M20.0 4.0L21.0 5.0");
  assert.equal(dots([0, 1, 2, 3, 20, 21, 40], [1, null, 2, 3, 4, 5, 6], x, y, 1), "M0.0 1.0h0.1M40.0 6.0h0.1");
  assert.deepEqual(stack([{ values: [1, 2] }, { values: [3, null] }]).map(({ top }) => top), [[1, 2], [4, 2]]);
  assert.deepEqual([0, 0.9, 1, 1.2, 2.4, 30, 99, 100].map(nice), [1, 1, 1, 2, 2.5, 50, 100, 100]);
});

test("a course is continued, and what begins late was nothing before", () => {
  const course = (at, more) => ({ now: at.at(-1), samples: { at, denied_by: more, decision_ms: { p50: at.map(() => null) } } });
  const both = joined(course([1, 2], { policy: [1, 1] }), course([3], { scopes: [5] }), 10);
  assert.deepEqual(both.samples, { at: [1, 2, 3], denied_by: { policy: [1, 1, 0], scopes: [0, 0, 5] }, decision_ms: { p50: [null, null, null] } });
  assert.deepEqual(joined(course([1, 2], {}), course([], {}), 10).samples.at, [1, 2]);
  assert.deepEqual(joined(course([1, 2], {}), course([3], {}), 2).samples.at, [2, 3]);
});
