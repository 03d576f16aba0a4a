// The page `/` as its readers meet it.

import assert from "node:assert/strict";

import { made, site, test, vkey } from "./harness.mjs";

test("the page shows origin, key, fingerprint and head, and is usable by everybody", async ({ page, visit, shot, accessible }) => {
  await visit("/");
  assert.equal(await page.locator("h1").textContent(), "ledger.example/browser");
  assert.equal(await page.locator("#vkey").textContent(), vkey);
  assert.match(await page.locator("#fingerprint").textContent(), /^[0-9a-f]{64}$/);
  await page.locator("#signed .quiet").waitFor();
  assert.equal(await page.locator("#address").textContent(), site);
  await accessible();
  await shot("home-desktop");
});

test("the head follows the log by itself", async ({ page, visit }) => {
  await visit("/");
  const before = Number((await page.locator("#size").textContent()).replaceAll(",", ""));
  const { size } = await (await fetch(`${site}/v1/log`)).json();
  assert.ok(before <= size);
  await page.evaluate(() => (document.getElementById("size").textContent = "0"));
  await page.waitForFunction((size) => document.getElementById("size").textContent === size.toLocaleString("en"), size);
});

test("without JavaScript the page still says what it knows", { script: false }, async ({ page, visit, shot }) => {
  await visit("/");
  assert.equal(await page.locator("#vkey").textContent(), vkey);
  assert.match(await page.locator("#checkpoint").textContent(), /^ledger\.example\/browser\n\d+\n/);
  assert.match(await page.locator("#age").textContent(), /^\d+ \w+ old$/);
  await shot("home-no-script");
});

test("the page fits a phone and the dark", { size: "phone", dark: true }, async ({ visit, shot, accessible }) => {
  await visit("/");
  await accessible();
  await shot("home-phone-dark");
});

test("the page is dark on a desk", { dark: true }, async ({ visit, shot, accessible }) => {
  await visit("/");
  await accessible();
  await shot("home-dark");
});

test("the key is copied with one press", async ({ page, visit }) => {
  await visit("/");
  await page.getByRole("button", { name: "Copy verification key" }).click();
  await page.getByRole("button", { name: "Copy verification key" }).getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), vkey);
});

test("the keyboard reaches the content first and then every link", async ({ page, visit }) => {
  await visit("/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
});

test("every link of the page leads somewhere", async ({ page, visit }) => {
  await visit("/");
  const links = await page.locator("a[href]").evaluateAll((links) => links.map((link) => link.href));
  assert.ok(links.length > 10);
  for (const link of new Set(links)) assert.equal((await fetch(link)).status, 200, link);
});

test("when the server is gone the page says so and keeps what it showed", { errors: [/ERR_FAILED|Failed to load/] }, async ({ page, context, visit }) => {
  await visit("/");
  await context.route("**/v1/log", (route) => route.abort());
  await page.getByRole("alert").getByText("unreachable").waitFor();
  assert.equal(await page.locator("#vkey").textContent(), vkey);
  assert.ok(made.allowed.permit);
});
