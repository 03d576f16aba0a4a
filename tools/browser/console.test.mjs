// The page `/console` as its readers meet it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { withEmptyLog } from "./empty.mjs";
import { made, site, test } from "./harness.mjs";

const results = (page) => page.locator("#results > li");
const found = async (page, count) => {
  await page.waitForFunction((count) => document.querySelectorAll("#results > li").length === count, count);
};

test("decisions stand newest first, each opens, and every value in it leads on", async ({ page, visit, shot, accessible }) => {
  await visit("/console");
  await results(page).first().waitFor();
  await page.locator("#summary").getByText("newest first").waitFor();
  const indexes = await page.locator("#results details").evaluateAll((all) => all.map(({ dataset }) => Number(dataset.index)));
  assert.deepEqual(indexes, [...indexes].sort((a, b) => b - a));
  assert.ok(indexes.length >= 27, "all of them on one page");
  await accessible();
  await shot("console-desktop");
  await visit(`/console?q=${made.denied.permit}`);
  await page.getByText("has this permit").waitFor();
  await page.locator(".inside").getByRole("link", { name: "Verify it" }).waitFor();
  assert.equal(await page.locator(".nine li").count(), 9);
  const links = await page.locator(".inside a").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  for (const wanted of [`/proof?index=${made.denied.index}`, `/lineage?permit=${made.denied.permit}`, "/console?subject=Agent%3A%3A%22clerk%22", "/console?action=refund", "/console?realm=main", "/console?epoch=1"]) {
    assert.ok(links.includes(wanted), `${wanted} is not among ${links.join(" ")}`);
  }
  await accessible();
  await shot("console-decision");
});

// A hash that is no leaf is asked for as one first, and found as a commitment then.
test("one box understands permits, indexes, hashes, commitments and words, and the address keeps it", { errors: [/404/] }, async ({ page, visit }) => {
  await visit("/console");
  const { index, permit, leaf } = made.denied;
  const one = await (await fetch(`${site}/v1/decisions/${index}`)).json();
  const search = async (text) => {
    await page.locator("#q").fill(text);
    await page.locator("#q").press("Enter");
  };
  for (const text of [String(index), permit, leaf, Buffer.from(leaf, "base64").toString("hex"), one.request, Buffer.from(one.detail, "base64").toString("hex")]) {
    await search(text);
    await found(page, 1);
    assert.equal(await page.locator("#results details").getAttribute("data-index"), String(index), text);
    const again = page.url();
    await page.reload();
    await found(page, 1);
    assert.equal(page.url(), again);
    await page.locator("#views").getByText("Decisions").click();
    await page.waitForFunction(() => document.querySelectorAll("#results > li").length > 20);
  }
  await search("deny");
  await page.waitForURL(/outcome=deny/);
  await page.waitForFunction(() => document.querySelectorAll("#results > li").length > 3);
  assert.ok((await results(page).locator(".tag").allTextContents()).every((word) => word === "denied"));
  await search("no such thing anywhere");
  await page.getByText("Nothing found").waitFor();
  await page.goBack();
  await page.waitForURL(/outcome=deny/);
  await page.waitForFunction(() => document.querySelectorAll("#results > li").length > 3);
});

test("filters narrow, their chips take them away, and older ones are a page further", async ({ page, visit, shot }) => {
  await visit("/console");
  await results(page).first().waitFor();
  await page.getByText("Filters").click();
  await page.locator("#f-policy").fill("refund-what-was-paid");
  await page.locator("#f-outcome").selectOption("allow");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL(/outcome=allow&policy=refund-what-was-paid|policy=refund-what-was-paid&outcome=allow/);
  await page.locator("#summary").getByText("withheld").waitFor();
  await shot("console-filters");
  await page.getByRole("link", { name: "Remove: Outcome allow" }).click();
  await page.waitForURL((url) => !url.search.includes("outcome"));
  await visit(`/console?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z`);
  await page.getByText("Nothing found").waitFor();
  await visit(`/console?before=${made.allowed.index + 1}`);
  await results(page).first().waitFor();
  assert.equal(await page.locator("#results details").first().getAttribute("data-index"), String(made.allowed.index));
  await page.getByRole("link", { name: "Newest" }).click();
  await page.waitForURL((url) => url.search === "");
});

test("of a committed realm there are commitments only", async ({ page, visit }) => {
  await visit("/console?realm=clinic");
  await found(page, 3);
  await results(page).first().click();
  await page.getByText("discloses commitments only").waitFor();
  assert.ok(!(await page.locator("#results").textContent()).includes("clerk"));
  await visit("/console?realm=clinic&subject=clerk");
  await page.getByText("3 more could not be looked into").waitFor();
});

test("a search is exported whole, as CSV and as JSON", async ({ page, visit }) => {
  await visit("/console?outcome=deny");
  await results(page).first().waitFor();
  const shown = await results(page).count();
  for (const format of ["CSV", "JSON"]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `Export as ${format}` }).click()]);
    const text = readFileSync(await download.path(), "utf8");
    if (format === "CSV") assert.equal(text.trimEnd().split("\r\n").length, shown + 1);
    else assert.equal(JSON.parse(text).results.length, shown);
    await page.getByText("all that there are").waitFor();
  }
});

test("who governs stands there: what is in force, the acts as signed, the policies as text", async ({ page, visit, shot, accessible }) => {
  await visit("/console?view=governance");
  await page.getByRole("heading", { name: "refund-what-was-paid" }).waitFor();
  assert.match(await page.getByLabel("Policy refund-what-was-paid").textContent(), /permit \(principal is Agent/);
  await page.getByText("No kill switch is thrown").waitFor();
  await page.locator("#acts").getByText("The signed act").click();
  assert.match(await page.locator("#acts pre").first().textContent(), /^interlock\/epoch\/v1\nledger\.example\/browser\n/);
  await page.getByText("Trust: realms").click();
  assert.match(await page.getByLabel("Trust: realms, limits, conditions, grants").textContent(), /clinic = "committed"/);
  await accessible();
  await shot("console-governance");
  await page.getByRole("link", { name: "Decisions that it determined" }).first().click();
  await page.waitForURL(/policy=/);
  await results(page).first().waitFor();
});

test("an epoch that is not there is said to be none", { errors: [/404/] }, async ({ page, visit }) => {
  await visit("/console?epoch=77");
  await page.getByText("There is no epoch 77").waitFor();
});

test("what the server does not take is said with its code", { errors: [/400/] }, async ({ page, visit }) => {
  await visit("/console?reason=because");
  await page.getByRole("alert").getByText("malformed_parameter").waitFor();
});

test("the console fits a phone and the dark", { size: "phone", dark: true }, async ({ page, visit, shot, accessible }) => {
  await visit("/console?outcome=deny");
  await results(page).first().waitFor();
  await results(page).first().click();
  await page.locator(".nine").waitFor();
  await accessible();
  await shot("console-phone-dark");
  await visit("/console?view=governance");
  await page.getByRole("heading", { name: "refund-what-was-paid" }).waitFor();
  await accessible();
  await shot("console-governance-phone-dark");
});

test("over an empty log the console says how it begins", async ({ page, visit, shot, accessible }) => {
  await withEmptyLog(async (address) => {
    await visit(`${address}/console`);
    await page.getByText("The log is empty").waitFor();
    await visit(`${address}/console?view=governance`);
    await page.getByText("Nothing is in force yet").waitFor();
    await accessible();
    await shot("console-empty");
  });
});

test("without JavaScript the console leads to the same as JSON and CSV", { script: false }, async ({ page, visit }) => {
  await visit("/console");
  assert.equal(await page.locator("h1").count(), 1);
  // A browser that is told by its debugger to run no script still reads <noscript> as if it did.
  const html = await (await fetch(`${site}/console`)).text();
  assert.match(html, /<noscript>.*This page needs its scripts.*<a href="\/v1\/decisions\?format=csv">as CSV<\/a>.*<\/noscript>/s);
});
