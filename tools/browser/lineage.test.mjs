// The page `/lineage` as its readers meet it.

import assert from "node:assert/strict";

import { crowd, descent } from "./descent.mjs";
import { withEmptyLog } from "./empty.mjs";
import { made, test } from "./harness.mjs";

let known = null;
const family = async () => (known ??= await descent());

test("a permit's whole descent is drawn, and each node is verified in the page", async ({ page, visit, shot, accessible }) => {
  const { root, children, leaf } = await family();
  await visit(`/lineage?permit=${root.permit}`);
  await page.getByText("12 of 12 verified in this page").waitFor();
  assert.equal(await page.getByRole("treeitem").count(), 12);
  const levels = await page.getByRole("treeitem").evaluateAll((all) => all.map((one) => Number(one.getAttribute("aria-level"))));
  assert.deepEqual(levels, [1, 2, 3, 4, 3, 2, 3, 3, 2, 3, 3, 2]);
  await page.getByText("All that may descend from it was looked at").waitFor();
  // Scopes shrink along it.
  const child = page.locator(`#n${children[3].permit}`);
  assert.deepEqual((await child.locator(".scope.gone").allTextContents()).sort(), ["mail:send", "orders:refund"]);
  await accessible();
  await shot("lineage-desktop");
  await page.locator(`#n${leaf.permit}`).click();
  await page.locator("#one").getByText("signed: the trusted key signed that head").waitFor();
  assert.equal(await page.locator("#one").getByRole("link", { name: "Its proof" }).getAttribute("href"), `/proof?index=${leaf.index}`);
  await shot("lineage-node");
});

test("from within, the ancestors are there too", async ({ page, visit }) => {
  const { root, leaf } = await family();
  await visit(`/lineage?permit=${leaf.permit}`);
  await page.getByText("4 of 4 verified in this page").waitFor();
  assert.equal(await page.getByRole("treeitem").first().getAttribute("data-permit"), root.permit);
  assert.equal(await page.locator(".node.asked").getAttribute("data-permit"), leaf.permit);
});

test("the keyboard walks, folds and opens", async ({ page, visit }) => {
  const { root, children } = await family();
  await visit(`/lineage?permit=${root.permit}`);
  await page.getByText("12 of 12 verified").waitFor();
  await page.locator("#tree").focus();
  const chosen = () => page.locator('[role="treeitem"][aria-selected="true"]').getAttribute("data-permit");
  await page.keyboard.press("ArrowDown");
  assert.equal(await chosen(), children[0].permit);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.getByRole("treeitem").count(), 9, "its three descendants are folded away");
  assert.equal(await page.locator(`#n${children[0].permit}`).getAttribute("aria-expanded"), "false");
  await page.keyboard.press("ArrowDown");
  assert.equal(await chosen(), children[1].permit);
  await page.keyboard.press("End");
  assert.equal(await chosen(), children[3].permit);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await chosen(), root.permit, "left leads to the parent");
  assert.equal(await page.locator("#tree").getAttribute("aria-activedescendant"), `n${root.permit}`);
  await page.keyboard.press("Enter");
  await page.locator("#one").getByText("it is the first").waitFor();
});

test("the same stands there as a table", async ({ page, visit, accessible }) => {
  const { root } = await family();
  await visit(`/lineage?permit=${root.permit}`);
  await page.getByText("12 of 12 verified").waitFor();
  await page.getByText("The same as a table").click();
  assert.equal(await page.locator("#rows tr").count(), 12);
  await accessible();
});

test("a node whose receipt is another's does not verify", async ({ page, context, visit }) => {
  const { root, children } = await family();
  await context.route(`**/v1/receipts/${children[0].index}`, async (route) => {
    const other = await route.fetch({ url: route.request().url().replace(/\d+$/, String(children[1].index)) });
    await route.fulfill({ response: other });
  });
  await context.route(`**/v1/requests/${children[2].index}`, async (route) => {
    const other = await route.fetch({ url: route.request().url().replace(/\d+$/, String(children[1].index)) });
    await route.fulfill({ response: other });
  });
  await visit(`/lineage?permit=${root.permit}`);
  await page.getByText("10 of 12 verified in this page, 2 do not verify").waitFor();
  assert.equal(await page.locator(`#n${children[0].permit} .proof`).getAttribute("title"), "the proved leaf has another index than is shown");
  assert.equal(await page.locator(`#n${children[2].permit} .proof`).getAttribute("title"), "the detail is not the one that the leaf commits to");
});

test("what the server alters in a lineage is found by its proof", async ({ page, context, visit }) => {
  const { root, children } = await family();
  await context.route("**/v1/lineage/*", async (route) => {
    const response = await route.fetch();
    const graph = await response.json();
    for (const one of graph.descendants) if (one.permit === children[0].permit) one.scopes = ["everything"];
    await route.fulfill({ response, json: graph });
  });
  await visit(`/lineage?permit=${root.permit}`);
  await page.getByText("11 of 12 verified in this page, 1 do not verify").waitFor();
});

test("two thousand descendants stay usable", async ({ page, visit, shot }) => {
  const root = await crowd(60, 2_000);
  const begin = performance.now();
  await visit(`/lineage?permit=${root.permit}`);
  await page.getByText("All that may descend from it was looked at").waitFor();
  const took = performance.now() - begin;
  assert.equal(await page.locator("#counts dd").first().textContent(), "2,001");
  const drawn = await page.getByRole("treeitem").count();
  assert.ok(drawn < 60, `${drawn} rows are in the document`);
  await page.locator("#tree").focus();
  await page.keyboard.press("End");
  await page.waitForFunction(() => document.getElementById("tree").scrollTop > 10_000);
  await page.getByRole("button", { name: "Fold", exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll(".node").length > 1);
  await shot("lineage-crowd");
  console.log(`2,001 permits were there after ${Math.round(took)} ms, ${drawn} rows drawn`);
});

test("of a committed realm there are commitments only", async ({ page, visit }) => {
  await visit(`/lineage?permit=${made.clinic.permit}`);
  await page.getByText("1 of 1 verified in this page").waitFor();
  await page.locator("#tree").getByText("committed").waitFor();
  await page.getByText("may descend from it too").waitFor();
  assert.ok(!(await page.locator("main").textContent()).includes("clerk"));
});

test("without a permit the page says how to begin, and names some", async ({ page, visit, shot, accessible }) => {
  const { root } = await family();
  await visit("/lineage");
  await page.locator("#recent li").first().waitFor();
  await accessible();
  await shot("lineage-begin");
  await page.locator("#permit").fill(root.permit);
  await page.getByRole("button", { name: "Show its lineage" }).click();
  await page.waitForURL(/permit=/);
  await page.getByText("12 of 12 verified").waitFor();
});

test("a permit that nobody has is said to be none", { errors: [/404/] }, async ({ page, visit }) => {
  await visit(`/lineage?permit=${"0".repeat(32)}`);
  await page.getByRole("alert").getByText("not_found").waitFor();
});

test("a lineage fits a phone and the dark", { size: "phone", dark: true }, async ({ page, visit, shot, accessible }) => {
  const { root } = await family();
  await visit(`/lineage?permit=${root.permit}`);
  await page.getByText("All that may descend").waitFor();
  await page.getByText(/\d+ of 12 verified/).waitFor();
  await accessible();
  await shot("lineage-phone-dark");
});

test("over an empty log it says so", async ({ page, visit, accessible }) => {
  await withEmptyLog(async (address) => {
    await visit(`${address}/lineage`);
    await page.getByText("No permit was issued yet").waitFor();
    await accessible();
  });
});
