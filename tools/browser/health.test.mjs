// The page `/health` as its readers meet it.

import assert from "node:assert/strict";

import { decide, request } from "./descent.mjs";
import { withEmptyLog } from "./empty.mjs";
import { site, test } from "./harness.mjs";

// The first begins some seconds after the start.
async function audited() {
  while ((await (await fetch(`${site}/v1/health`)).json()).self_audit.last?.result !== "passed") await new Promise((done) => setTimeout(done, 200));
}

test("the dashboard shows figures, curves and readiness, and follows the service", async ({ page, visit, shot, accessible }) => {
  await decide(Array.from({ length: 40 }, (_, at) => request("clerk", 5_000 + at, { context: { amount: at % 4 === 0 ? 600 : 100 } })));
  await audited();
  await visit("/health");
  await page.locator("#charts svg").first().waitFor();
  await page.waitForFunction(() => document.querySelectorAll("#charts svg").length >= 6);
  assert.equal(await page.locator("#state .tag").textContent(), "ready");
  assert.match(await page.locator("#p99").textContent(), /^[\d.]+ ms$/);
  await page.getByText(/passed \d+ entries are what the signed head of size \d+ says, \d+ \w+ ago/).waitFor();
  await page.locator("#uptime-words").getByText(/Ready at/).waitFor();
  const label = await page.locator("#charts svg").first().getAttribute("aria-label");
  assert.match(label, /^Decisions a second\. allowed: now .*; denied: now /);
  await accessible();
  await shot("health-desktop");
  const { head } = await (await fetch(`${site}/v1/health`)).json();
  await decide([request("clerk", 6_000, {})]);
  await page.waitForFunction((size) => Number(document.getElementById("size").textContent.replaceAll(",", "")) > size, head.size);
});

test("a chart tells its values to the keyboard, and a day is a link away", async ({ page, visit }) => {
  await visit("/health");
  const chart = page.locator("#charts svg").first();
  await chart.waitFor();
  await chart.focus();
  await page.keyboard.press("Home");
  assert.match(await page.locator(".readout").first().textContent(), /^\d\d:\d\d:\d\d allowed [\d.,]+denied [\d.,]+$/);
  await page.locator("h1").click();
  await page.getByRole("link", { name: "Last 24 hours" }).click();
  await page.waitForURL(/range=day/);
  await page.waitForFunction(() => document.querySelector("#ranges [data-range=day]").getAttribute("aria-current") === "true");
});

test("without JavaScript the figures are there", { script: false }, async ({ page, visit, shot }) => {
  await visit("/health");
  assert.equal(await page.locator("#state .tag").textContent(), "ready");
  assert.match(await page.locator("#counts").textContent(), /Allowed\d+\d+Denied/);
  assert.match(await page.locator("#facts").textContent(), /Canarydenied.*Last self-auditpassed \d+ entries are what the signed head/s);
  assert.match(await page.locator("#age").textContent(), /^\d+ \w+$/);
  assert.match(await (await fetch(`${site}/health`)).text(), /<noscript>.*Without scripts.*<\/noscript>/s);
  await shot("health-no-script");
});

test("the dashboard fits a phone and the dark", { size: "phone", dark: true }, async ({ page, visit, shot, accessible }) => {
  await visit("/health");
  await page.waitForFunction(() => document.querySelectorAll("#charts svg").length >= 6);
  await accessible();
  await shot("health-phone-dark");
});

test("the dashboard is dark on a desk", { dark: true }, async ({ page, visit, shot, accessible }) => {
  await visit("/health?range=day");
  await page.locator("#charts .chart").first().waitFor();
  await accessible();
  await shot("health-dark");
});

test("over an empty log it says that the service is not ready, and why", async ({ page, visit, accessible }) => {
  await withEmptyLog(async (address) => {
    await visit(`${address}/health`);
    await page.locator("#charts .chart").first().waitFor();
    await page.locator("#state").getByText("no epoch is published").waitFor();
    await accessible();
  });
});
