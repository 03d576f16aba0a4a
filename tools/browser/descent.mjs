// A lineage for tests: one permit, four below it with fewer scopes each, and some below these; and a wide one when it is asked for.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const { INTERLOCK_DECISIONS: server, INTERLOCK_WORK: work } = process.env;
const key = () => readFileSync(`${work}/api.key`, "utf8").trim();
const TTL_MS = 600_000;

export async function decide(body) {
  const answer = await fetch(`${server}/v1/decisions?receipt=none`, {
    method: "POST",
    headers: { authorization: `Bearer ${key()}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const agents = (names) => names.map((name) => `Agent::"${name}"`);

export const request = (subject, order, more) => ({
  subject: { type: "Agent", id: subject },
  action: { name: "refund" },
  resource: { type: "Order", id: String(order), properties: { paid: 250 } },
  context: { amount: 100 },
  ...more,
});

// {root, children, grandchildren, leaf}: permits.
export async function descent() {
  const names = ["planner", "reader", "writer", "checker"];
  const [root] = await decide([request("conductor", 900, { scopes: ["orders:read", "orders:refund", "mail:send"], delegates: agents(names), ttl_ms: TTL_MS })]);
  assert.equal(root.decision, true, JSON.stringify(root));
  const below = (parent, subject, order, scopes, delegates, ttl_ms) => request(subject, order, { parent: parent.permit, scopes, ...(delegates.length > 0 ? { delegates: agents(delegates) } : {}), ttl_ms });
  const children = [];
  for (const [at, subject] of names.entries()) {
    children.push(...(await decide([below(root, subject, 901 + at, at === 3 ? ["orders:read"] : ["orders:read", "orders:refund"], at === 3 ? [] : ["clerk", "courier"], TTL_MS - 100_000 * (at + 1))])));
  }
  const grandchildren = await decide(children.slice(0, 3).flatMap((child, at) => ["clerk", "courier"].map((subject, place) => below(child, subject, 910 + 2 * at + place, ["orders:refund"], at === 0 && place === 0 ? ["helper"] : [], 120_000))));
  const [leaf] = await decide([below(grandchildren[0], "helper", 930, ["orders:refund"], [], 60_000)]);
  assert.ok([...children, ...grandchildren, leaf].every(({ decision }) => decision === true), JSON.stringify({ children, grandchildren, leaf }));
  return { root, children, grandchildren, leaf };
}

// A permit with `width` children, each with as many below it, up to `most` in all.
export async function crowd(width, most) {
  const [root] = await decide([request("conductor", 1_000, { scopes: ["a"], delegates: agents(["worker"]), ttl_ms: TTL_MS })]);
  const open = [{ ...root, depth: 0 }];
  let made = 0;
  while (made < most) {
    const parent = open.shift();
    const bodies = Array.from({ length: Math.min(width, most - made) }, (_, at) => request("worker", 2_000 + made + at, { parent: parent.permit, scopes: ["a"], delegates: agents(["worker"]), ttl_ms: TTL_MS - 60_000 * (parent.depth + 1) }));
    const answers = await decide(bodies);
    assert.ok(answers.every(({ decision }) => decision), JSON.stringify(answers[0]));
    open.push(...answers.map((answer) => ({ ...answer, depth: parent.depth + 1 })));
    made += answers.length;
  }
  return root;
}
