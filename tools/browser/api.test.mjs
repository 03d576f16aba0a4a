// The page `/api` as its readers meet it: what the server's own description says, and links that try it.

import assert from "node:assert/strict";

import { address, limits, operations } from "../../verifier/site/pages/openapi.js";
import { site, test } from "./harness.mjs";

const described = async () => (await fetch(`${site}/openapi.json`)).json();

test("every method of every path in the description is shown, and no other", async ({ page, visit, shot, accessible }) => {
  await visit("/api");
  await page.locator(".operation").first().waitFor();
  const shown = await page.locator(".operation").evaluateAll((parts) => parts.map((part) => part.id));
  const document = await described();
  assert.deepEqual(shown, operations(document).map(({ id }) => id));
  const paths = new Set(shown.map((id) => id.replace(/^\w+-/, "")));
  assert.deepEqual([...paths].sort(), Object.keys(document.paths).sort());
  for (const id of ["get-/v1/bundles", "post-/v1/bundles", "post-/v1/sandbox/decisions", "get-/v1/decisions"]) {
    assert.ok(shown.includes(id), id);
  }
  await accessible();
  await shot("api");
});

// A text that the browser shows by itself has no icon of ours, so it asks for one.
const ICON = { errors: [/favicon\.ico/] };

test("parameters, forms and problems of an operation are there, and its link is answered", ICON, async ({ page, visit, shot, accessible }) => {
  await visit(`/api#${encodeURIComponent("get-/v1/receipts/{id}")}`);
  const part = page.locator('[id="get-/v1/receipts/{id}"]');
  await part.locator("a.try").waitFor();
  const text = await part.textContent();
  for (const word of ["HEAD answers the same", "application/scitt-receipt+cose", "unknown_id", "not_published", "size"]) assert.ok(text.includes(word), word);
  await part.getByLabel("size").fill("4");
  assert.equal(await part.locator("a.try").getAttribute("href"), "/v1/receipts/2?size=4");
  await part.getByLabel("size").fill("");
  await accessible();
  await shot("api-operation");
  await part.locator("a.try").click();
  await page.waitForURL("**/v1/receipts/2");
  assert.match(await page.locator("body").textContent(), /^c2sp\.org\/tlog-proof@v1/);
});

test("every link that needs no word from the reader is answered well", async ({ page, visit }) => {
  await visit("/api");
  await page.locator(".operation").first().waitFor();
  const links = await page.locator("a.try").evaluateAll((found) => found.map((link) => link.getAttribute("href")).filter((href) => href !== null));
  assert.ok(links.length > 15, `${links.length} links`);
  for (const link of links) {
    const { status } = await fetch(site + link);
    // A small log has no full tile and no head of size 1000, and one realm is committed.
    const absent = status === 404 && /^\/(tile|v1\/(checkpoints|proofs|requests))/.test(link);
    assert.ok(status === 200 || absent, `${link}: ${status}`);
  }
});

test("an operation that takes a body says its form and its limit", async ({ page, visit }) => {
  await visit(`/api#${encodeURIComponent("post-/v1/bundles")}`);
  const part = page.locator('[id="post-/v1/bundles"]');
  await part.getByRole("heading", { name: "Body" }).waitFor();
  assert.match(await part.textContent(), /application\/json\. At most 262144 bytes\./);
  assert.equal(await part.locator("a.try").count(), 0);
});

test("a search finds by path, parameter and code", async ({ page, visit }) => {
  await visit("/api");
  await page.locator(".operation").first().waitFor();
  await page.getByLabel("Find a path").fill("no_cose_form consistency");
  assert.deepEqual(
    await page.locator(".operation:visible").evaluateAll((parts) => parts.map((part) => part.id)),
    ["get-/v1/proofs/consistency"],
  );
  await page.locator("#found").getByText(/^1 of \d+ shown$/).waitFor();
});

test("the page fits a phone and the dark", { size: "phone", dark: true }, async ({ page, visit, shot, accessible }) => {
  await visit(`/api#${encodeURIComponent("get-/v1/decisions")}`);
  await page.locator('[id="get-/v1/decisions"] a.try').waitFor();
  await accessible();
  await shot("api-phone-dark");
});

test("without JavaScript the page says where the description is", { script: false }, async ({ visit, page }) => {
  await visit("/api");
  assert.match(await page.content(), /<noscript>.*\/openapi\.json.*<\/noscript>/s);
});

test("an address encodes what was typed, and is none while something is missing", () => {
  const [id, q] = [{ name: "id", in: "path", required: true }, { name: "q", in: "query", required: false }];
  assert.equal(address("/v1/x/{id}", [[id, ""], [q, "a"]]), null);
  assert.equal(address("/v1/x/{id}", [[id, "a/b?c"], [q, "ü&d=1"]]), "/v1/x/a%2Fb%3Fc?q=%C3%BC%26d%3D1");
  assert.equal(address("/v1/x/{id}", [[id, "1"], [q, ""]]), "/v1/x/1");
  assert.equal(limits({ $ref: "#/components/schemas/N" }, { N: { type: "integer", minimum: 0, maximum: 2 ** 62 } }), "a number from 0");
});
