// Evidence bundles and evidence of a fork in the proof viewer: dropped, judged in the browser, kept.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

import { command, made, site, test, vkey, work } from "./harness.mjs";

const file = (name, buffer) => ({ name, mimeType: "application/octet-stream", buffer: Buffer.from(buffer) });
const bundle = async () => {
  const answer = await fetch(`${site}/v1/bundles`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify([made.allowed.index, made.denied.index, made.clinic.index]),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return Buffer.from(await answer.arrayBuffer());
};
const verdict = (page) => page.locator("#verdict .big");
const states = async (page) =>
  Object.fromEntries(await page.locator(".rung").evaluateAll((all) => all.map((one) => [one.id.slice(5), one.className.split(" ").pop()])));

test("a bundle that is dropped is verified as a whole, and lists what it holds", async ({ page, visit, shot, accessible }) => {
  await visit("/proof");
  await page.locator("#files").setInputFiles([file("some.bundle", await bundle())]);
  await verdict(page).filter({ hasText: /^Verified$/ }).waitFor();
  const now = await states(page);
  for (const id of ["decoded", "included", "signed", "disclosed", "governed"]) assert.equal(now[id], "held", id);
  const words = await page.locator("#words").textContent();
  assert.ok(words.includes("committed") && words.includes("allowed") && words.includes("denied"), words);
  assert.match(await page.locator("#verdict").textContent(), /decisions allowed/);
  await accessible();
  await shot("proof-bundle");
  // What is taken away is the same file, and the command that is shown says the same of it.
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "This evidence" }).click();
  const path = await (await download).path();
  writeFileSync(`${work}/kept.bundle`, readFileSync(path));
  const said = JSON.parse(execFileSync(command, ["verify", `${work}/kept.bundle`, "--vkey", vkey, "--json"], { encoding: "utf8" }));
  assert.equal(said.verdict.verified, true);
});

test("one bit of a bundle is noticed at its rung, as the command says", async ({ page, visit }) => {
  const bytes = await bundle();
  // The last byte belongs to the last hash of the proof, or to what stands before it: something that is checked in either case.
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(`${work}/broken.bundle`, bytes);
  let said;
  try {
    execFileSync(command, ["verify", `${work}/broken.bundle`, "--vkey", vkey, "--json"], { encoding: "utf8" });
    assert.fail("the command took it");
  } catch (error) {
    said = JSON.parse(error.stdout);
  }
  await visit("/proof");
  await page.locator("#files").setInputFiles([file("broken.bundle", bytes)]);
  await verdict(page).filter({ hasText: "Not verified" }).waitFor();
  assert.ok((await page.locator("#verdict").textContent()).includes(said.verdict.code), said.verdict.code);
});

test("evidence of a fork convinces whoever drops it", async ({ page, visit }) => {
  const line = readFileSync(new URL("../../testdata/verdicts.jsonl", import.meta.url), "utf8").split("\n").filter(Boolean).map(JSON.parse)
    .find(({ kind, expected, input }) => kind === "evidence" && expected.code === "fork" && input?.startsWith('{"schema":"interlock/fork/v1"'));
  await visit("/proof");
  const key = line.keys[0].vkey ?? line.keys[0].key ?? line.keys[0];
  await page.locator("#files").setInputFiles([file("fork.json", line.input), file("key", `${key}\n`)]);
  await verdict(page).filter({ hasText: "A fork" }).waitFor();
});
