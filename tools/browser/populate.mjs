// Fills the log of `check` by its decision API: 24 decisions in the public realm, three in the committed one. What tests must find again
// is written to `$INTERLOCK_WORK/made.json`: {allowed, denied, clinic}, each an answer of the server.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";

const { INTERLOCK_DECISIONS: server, INTERLOCK_WORK: work } = process.env;
const key = (name) => readFileSync(`${work}/${name}.key`, "utf8").trim();

const request = (amount, order) => ({
  subject: { type: "Agent", id: "clerk" },
  action: { name: "refund" },
  resource: { type: "Order", id: String(order), properties: { paid: 250 } },
  context: { amount },
});

async function decide(apiKey, body) {
  const answer = await fetch(`${server}/v1/decisions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const answers = [];
for (let order = 1; order <= 24; order += 1) answers.push(await decide(key("api"), request(order * 25, order)));
const clinic = await decide(key("clinic"), [1, 2, 3].map((order) => request(100, order)));
const allowed = answers[4];
const denied = answers[16];
assert.deepEqual([allowed.decision, denied.decision, clinic[0].decision], [true, false, true]);
writeFileSync(`${work}/made.json`, JSON.stringify({ allowed, denied, clinic: clinic[0] }));
