// The page `/demo` as its visitors meet it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";

import { command, made, site, test, vkey, work } from "./harness.mjs";

// Chooses a sample and has it decided.
async function decide(page, visit, sample) {
  await visit(`/demo?sample=${sample}`);
  await page.getByRole("button", { name: "Decide" }).click();
  await page.locator("#outcome .outcome").waitFor();
}

const states = (page) => page.locator("#ladder li").evaluateAll((rungs) => rungs.map((rung) => [rung.dataset.rung, rung.dataset.state]));
const failed = async (page) => (await states(page)).filter(([, state]) => state === "failed").map(([name]) => name);
const verdict = (page) => page.locator("#verdict [data-verdict]").getAttribute("data-verdict");
const board = (page) => page.locator("#conditions li").evaluateAll((tiles) => Object.fromEntries(tiles.map((tile) => [tile.dataset.condition, tile.dataset.verdict])));

// Presses a button that breaks the evidence, and waits for the ladder.
async function breaks(page, name) {
  await page.locator(`#breaks [data-break="${name}"]`).click();
  await page.locator(`#breaks [data-break="${name}"][aria-pressed="true"]`).waitFor();
}

test("a visitor sees first what it is about, and can begin at once", async ({ page, visit, shot, accessible }) => {
  await visit("/demo");
  await page.locator("#ask").waitFor();
  assert.equal(await page.locator(".flow li").count(), 5);
  assert.equal(await page.locator("#sets input:checked").inputValue(), "hello");
  assert.match(await page.locator("#policies").inputValue(), /no-refund-above-500/);
  assert.match(await page.locator("#origin").textContent(), /^ledger\.example\/browser\/demo$/);
  await accessible();
  await shot("demo-begin");
});

test("an allowed request is decided, verified in the page, and by the command without it", async ({ page, visit, shot, accessible }) => {
  await decide(page, visit, "hello/what-was-paid");
  assert.match(await page.locator("#outcome").textContent(), /Allowed/);
  const verdicts = await board(page);
  assert.equal(Object.keys(verdicts).length, 9);
  assert.equal(verdicts.policy, "pass");
  assert.match(await page.locator("#facts").textContent(), /refund-what-was-paid/);
  await page.getByRole("button", { name: "Verify", exact: true }).click();
  await page.locator("#verdict [data-verdict]").waitFor();
  assert.equal(await verdict(page), "verified");
  assert.deepEqual((await states(page)).map(([, state]) => state), Array(6).fill("held"));
  await accessible();
  await shot("demo-allowed");
  // The same receipt, offline: nothing but the file and the key that the page names.
  const file = `${work}/demo.tlog-proof`;
  writeFileSync(file, await page.locator("#receipt").textContent());
  const key = /--vkey '([^']+)'/.exec(await page.locator("#command").textContent())[1];
  assert.notEqual(key, vkey);
  execFileSync(command, ["verify", file, "--vkey", key]);
  assert.throws(() => execFileSync(command, ["verify", file, "--vkey", vkey], { stdio: "pipe" }), ({ status }) => status === 5);
});

test("each way to break it fails at its own step, and can be put back", async ({ page, visit, shot, accessible }) => {
  await decide(page, visit, "hello/what-was-paid");
  await page.getByRole("button", { name: "Verify", exact: true }).click();
  await page.locator("#breaking").waitFor();
  for (const [name, rung, code] of [
    ["flip", "included", "bad_proof"],
    ["root", "signed", "bad_head"],
    ["key", "signed", "unknown_key"],
    ["replay", "bound", "wrong_request"],
    ["expired", "in-time", "expired"],
  ]) {
    await breaks(page, name);
    assert.deepEqual([await failed(page), await verdict(page)], [[rung], code], name);
    // What stands before it holds, what stands behind was not reached.
    const all = (await states(page)).map(([, state]) => state);
    const at = all.indexOf("failed");
    assert.deepEqual(all, [...Array(at).fill("held"), "failed", ...Array(5 - at).fill("below")], name);
    assert.equal(await page.locator("#breaks [aria-pressed='true']").count(), 1);
    await accessible();
    await shot(`demo-broken-${name}`);
  }
  await page.locator("#breaks [data-break='expired']").click();
  await page.locator("#verdict [data-verdict='verified']").waitFor();
  assert.equal(await page.locator("#breaks [aria-pressed='true']").count(), 0);
});

test("what the page refuses, the command refuses with the same code", async ({ page, visit }) => {
  await decide(page, visit, "hello/what-was-paid");
  await page.getByRole("button", { name: "Verify", exact: true }).click();
  await page.locator("#breaking").waitFor();
  const key = /--vkey '([^']+)'/.exec(await page.locator("#command").textContent())[1];
  for (const name of ["flip", "root"]) {
    await breaks(page, name);
    const file = `${work}/broken-${name}.tlog-proof`;
    writeFileSync(file, await page.locator("#receipt").textContent());
    const refused = (error) => {
      assert.equal(error.status, 1);
      assert.equal(JSON.parse(error.stdout).verdict?.code ?? JSON.parse(error.stdout)[0]?.verdict.code, name === "flip" ? "bad_proof" : "bad_head");
      return true;
    };
    assert.throws(() => execFileSync(command, ["verify", file, "--vkey", key, "--json"], { stdio: "pipe" }), refused);
  }
});

test("a denial names the condition, the rule and the code, and verifies as a denial", async ({ page, visit, shot, accessible }) => {
  await decide(page, visit, "treasury/not-attested");
  assert.match(await page.locator("#outcome").textContent(), /Denied/);
  const verdicts = await board(page);
  assert.deepEqual([verdicts.trust, verdicts.environment, verdicts.attestation, verdicts.policy], ["fail", "fail", "fail", "pass"]);
  assert.match(await page.locator("#conditions").textContent(), /attestation_missing/);
  await page.getByRole("button", { name: "Verify", exact: true }).click();
  await page.locator("#verdict [data-verdict]").waitFor();
  assert.equal(await verdict(page), "denied");
  assert.match(await page.locator("#verdict").textContent(), /genuine denial/);
  assert.deepEqual([await page.locator("#breaks [data-break='replay']").isDisabled(), await page.locator("#breaks [data-break='flip']").isDisabled()], [true, false]);
  await accessible();
  await shot("demo-denied");
});

test("an injected instruction is denied, and what the user asked for is not", async ({ page, visit, shot }) => {
  await decide(page, visit, "agentdojo-banking/injected");
  assert.match(await page.locator("#outcome").textContent(), /Denied/);
  await page.getByLabel("Pay the invoice that the user asked for").check();
  await page.getByRole("button", { name: "Decide" }).click();
  await page.locator("#outcome .outcome.good").waitFor();
  assert.match(page.url(), /sample=agentdojo-banking%2Fasked/);
  await shot("demo-injected");
});

test("rules of one's own are decided, also with the keyboard alone", async ({ page, visit }) => {
  await visit("/demo");
  await page.locator("#policies").fill('@id("mine") permit (principal, action, resource);');
  await page.locator("#request").fill('{"subject":{"type":"Agent","id":"me"},"action":{"name":"try"},"resource":{"type":"Thing","id":"1"}}');
  await page.locator("#more-schema summary").click();
  await page.locator("#schema").fill("");
  await page.locator("#request").press("Control+Enter");
  await page.locator("#outcome .outcome.good").waitFor();
  assert.match(await page.locator("#facts").textContent(), /mine/);
});

test("a mistake in the rules is shown with its place, which a press leads to", { errors: [/400/] }, async ({ page, visit, shot, accessible }) => {
  await visit("/demo");
  await page.locator("#policies").fill('@id("a")\npermit (principal, action, resource)\nwhen { principal.x = 1 };');
  await page.getByRole("button", { name: "Decide" }).click();
  await page.locator("#findings li").waitFor();
  await page.getByRole("button", { name: "3:8" }).click();
  const [at, focused] = await page.evaluate(() => [document.getElementById("policies").selectionStart, document.activeElement.id]);
  assert.deepEqual([at, focused], ['@id("a")\npermit (principal, action, resource)\n'.length + 7, "policies"]);
  await accessible();
  await shot("demo-mistake");
});

test("a request that is none is said to be none", { errors: [/400/] }, async ({ page, visit }) => {
  await visit("/demo");
  await page.locator("#request").fill("{");
  await page.getByRole("button", { name: "Decide" }).click();
  await page.locator("#findings code").getByText("invalid_json").waitFor();
  assert.equal(await page.locator("#board").isHidden(), true);
});

test("where the sandbox is off the page says so", { errors: [/404/] }, async ({ page, context, visit, shot, accessible }) => {
  await context.route("**/v1/sandbox/samples", (route) => route.fulfill({
    status: 404, contentType: "application/problem+json", body: '{"code":"sandbox_off","title":"off","status":404}',
  }));
  await visit("/demo");
  await page.locator("#off").waitFor();
  assert.equal(await page.locator("#ask").isHidden(), true);
  await accessible();
  await shot("demo-off");
});

test("a sandbox that is busy is said to be, and asked again", { errors: [/503/] }, async ({ page, context, visit }) => {
  await visit("/demo");
  const busy = (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: '{"code":"sandbox_busy","title":"the sandbox is busy","status":503}' });
  await context.route("**/v1/sandbox/decisions", busy);
  await page.getByRole("button", { name: "Decide" }).click();
  await page.locator("#findings code").getByText("sandbox_busy").waitFor();
  await context.unroute("**/v1/sandbox/decisions", busy);
  await page.getByRole("button", { name: "Decide" }).click();
  await page.locator("#outcome .outcome.good").waitFor();
});

test("a permit that has run out says so, and its evidence holds", async ({ page, visit }) => {
  await visit("/demo");
  // The sample that the page begins with arrives after the page.
  const text = () => page.locator("#request").inputValue();
  while (!(await text())) await page.waitForTimeout(20);
  const request = JSON.parse(await text());
  await page.locator("#request").fill(JSON.stringify({ ...request, ttl_ms: 1 }));
  await page.getByRole("button", { name: "Decide" }).click();
  await page.locator("#outcome .outcome.good").waitFor();
  await page.waitForTimeout(50);
  await page.getByRole("button", { name: "Verify", exact: true }).click();
  await page.locator("#verdict [data-verdict='expired']").waitFor();
  assert.match(await page.locator("#verdict").textContent(), /Evidence holds for ever/);
});

test("nothing of what was tried is in the log", async ({ page, visit }) => {
  const size = async () => (await (await fetch(`${site}/v1/log`)).json()).size;
  const before = await size();
  await decide(page, visit, "airline/compensate-gold");
  assert.equal(await size(), before);
  assert.equal((await fetch(`${site}/v1/receipts/${made.allowed.permit}`)).status, 200);
});

test("the page fits a phone", { size: "phone" }, async ({ page, visit, shot, accessible }) => {
  await decide(page, visit, "treasury/within-budget");
  await page.getByRole("button", { name: "Verify", exact: true }).click();
  await page.locator("#verdict [data-verdict='verified']").waitFor();
  await breaks(page, "root");
  await accessible();
  await shot("demo-phone");
});

test("the page is dark where that is wished", { dark: true }, async ({ page, visit, shot, accessible }) => {
  await decide(page, visit, "airline/cancel-too-late");
  await page.getByRole("button", { name: "Verify", exact: true }).click();
  await page.locator("#verdict [data-verdict='denied']").waitFor();
  await breaks(page, "flip");
  await accessible();
  await shot("demo-dark");
});
