// The proof viewer as its readers meet it: by link, by id, by files, broken, pinned, saved.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { command, made, site, test, vkey, work } from "./harness.mjs";

const get = async (path, accept = "*/*") => {
  const answer = await fetch(site + path, { headers: { accept } });
  assert.equal(answer.status, 200, path);
  return Buffer.from(await answer.arrayBuffer());
};
const file = (name, buffer) => ({ name, mimeType: "application/octet-stream", buffer: Buffer.from(buffer) });
const verdict = (page) => page.locator("#verdict .big");
const rung = (page, id) => page.locator(`#rung-${id}`);
const verified = (page) => verdict(page).filter({ hasText: /^Verified$/ }).waitFor();
const states = async (page) =>
  Object.fromEntries(await page.locator(".rung").evaluateAll((all) => all.map((one) => [one.id.slice(5), one.className.split(" ").pop()])));
const WHOLE = {
  decoded: "held", leaf: "held", included: "held", signed: "held", consistent: "open", witnessed: "open", recomputable: "held",
};

test("without parameters the page says what it shows and how to begin", async ({ page, visit, shot, accessible }) => {
  await visit("/proof");
  await page.getByRole("link", { name: /Look at the newest entry/ }).waitFor();
  assert.ok(await page.locator("#result").isHidden());
  assert.deepEqual(await page.locator("h1").allTextContents(), ["Check one decision yourself"]);
  await accessible();
  await shot("proof-begin");
});

test("a link to a permit shows the record in words and every rung", async ({ page, visit, shot, accessible }) => {
  const { permit, index } = made.denied;
  await visit(`/proof?permit=${permit}`);
  await verified(page);
  assert.deepEqual(await states(page), WHOLE);
  assert.equal(await page.locator(".sentence").textContent(), "denied Agent “clerk” asked for “refund” on Order “17”.");
  assert.match(await page.locator("#verdict").textContent(), new RegExp(`entry ${index} of ledger.example/browser`));
  assert.match(await page.locator("#verdict").textContent(), /hashes by WebCrypto, signatures by WebCrypto/);
  const { path } = JSON.parse(await get(`/v1/receipts/${index}`, "application/json"));
  assert.equal(await page.locator(".equations li").count(), path.length + 1);
  assert.equal(await page.locator(".tree .sibling").count(), path.length);
  for (const link of await page.locator(".equations a").evaluateAll((links) => links.map((link) => link.getAttribute("href")))) await get(link);
  await accessible();
  await shot("proof-verified");
});

test("index and leaf hash lead to the same record", async ({ page, visit }) => {
  const { index, permit, leaf } = made.allowed;
  for (const query of [`index=${index}`, `leaf=${Buffer.from(leaf, "base64").toString("hex")}`, `leaf=${Buffer.from(leaf, "base64").toString("base64url")}`]) {
    await visit(`/proof?${query}`);
    await verified(page);
    assert.ok((await page.locator("#words").textContent()).includes(permit), query);
  }
});

test("an id that is typed becomes a link that can be shared, and goes back", async ({ page, visit }) => {
  await visit("/proof");
  await page.getByLabel("Permit, index or leaf hash").fill(` ${made.allowed.permit} `);
  await page.keyboard.press("Enter");
  await verified(page);
  assert.equal(new URL(page.url()).search, `?permit=${made.allowed.permit}`);
  await page.goBack();
  await page.locator("#intro").waitFor();
  assert.equal(new URL(page.url()).search, "");
});

test("what is no id, and what is not there, is said in words", { errors: [/404/] }, async ({ page, visit }) => {
  await visit("/proof");
  await page.getByLabel("Permit, index or leaf hash").fill("not an id");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("malformed_id").waitFor();
  await visit(`/proof?permit=${"0".repeat(32)}`);
  await page.getByRole("alert").getByText("unknown_id").waitFor();
  assert.ok(await page.locator("#result").isHidden());
  for (const query of ["x=1", "index=1&permit=2", "index=01", "permit=%3Cscript%3E"]) {
    await visit(`/proof?${query}`);
    await page.getByRole("alert").getByText(/(unknown|malformed)_parameter/).waitFor();
  }
});

test("every way to break a receipt fails at the rung that notices, and nothing else changes", async ({ page, visit, shot, accessible }) => {
  await visit(`/proof?index=${made.denied.index}`);
  await verified(page);
  for (const [label, failed, code] of [
    ["Flip one bit of the record", "included", "bad_proof"],
    ["Turn the verdict around", "decoded", "malformed_record"],
    ["Swap the root", "included", "bad_proof"],
    ["Forge record and head", "signed", "bad_head"],
    ["Use another key", "signed", "unknown_key"],
    ["Claim another place", "included", "bad_proof"],
    ["Leave a hash out", "included", "bad_proof"],
    ["Alter the disclosed request", "recomputable", "commitment"],
  ]) {
    await page.getByRole("button", { name: label }).click();
    await verdict(page).filter({ hasText: "Not verified" }).waitFor();
    const button = page.getByRole("button", { name: label });
    await page.locator(`#break button[aria-pressed="true"]`, { hasText: label }).waitFor();
    assert.equal(await button.getAttribute("aria-pressed"), "true", label);
    const now = await states(page);
    assert.deepEqual(Object.keys(now).filter((id) => now[id] === "failed"), [failed], label);
    const order = Object.keys(WHOLE);
    for (const id of order) {
      const expected = order.indexOf(id) < order.indexOf(failed) ? WHOLE[id] : id === failed ? "failed" : "below";
      assert.equal(now[id], expected, `${label}: ${id}`);
    }
    assert.ok((await rung(page, failed).textContent()).includes(code), label);
    assert.ok((await page.locator("#verdict").textContent()).includes(code), label);
    if (label === "Forge record and head") {
      await accessible();
      await shot("proof-broken");
    }
  }
  await page.getByRole("button", { name: "Put it right again" }).click();
  await verified(page);
  assert.deepEqual(await states(page), WHOLE);
});

test("an allowed decision cannot be turned around either", async ({ page, visit }) => {
  await visit(`/proof?permit=${made.allowed.permit}`);
  await verified(page);
  await page.getByRole("button", { name: "Turn the verdict around" }).click();
  await rung(page, "decoded").getByText("malformed_record").waitFor();
});

test("of a committed realm the record is proved and nothing is told", { errors: [/404/] }, async ({ page, visit, shot }) => {
  await visit(`/proof?permit=${made.clinic.permit}`);
  await verified(page);
  assert.deepEqual(await states(page), { ...WHOLE, recomputable: "open" });
  assert.match(await page.locator(".sentence").textContent(), /a request in the realm clinic, whose content is not shown here/);
  await rung(page, "recomputable").getByText("The realm is committed").waitFor();
  assert.ok(!(await page.locator("main").textContent()).includes("clerk"));
  await shot("proof-committed");
});

test("a governance record is shown too", async ({ page, visit }) => {
  await visit("/proof?index=1");
  await verified(page);
  assert.match(await page.locator("#words").textContent(), /A new epoch begins/);
  await page.getByRole("button", { name: "Flip one bit of the record" }).click();
  await verdict(page).filter({ hasText: "Not verified" }).waitFor();
});

test("files are told by their content: receipts in every form, a key, a head, a request, a proof", async ({ page, visit }) => {
  const { index } = made.denied;
  const receipts = {
    text: await get(`/v1/receipts/${index}`, "text/plain"),
    json: await get(`/v1/receipts/${index}`, "application/json"),
    cose: await get(`/v1/receipts/${index}`, "application/scitt-receipt+cose"),
    answer: JSON.stringify(made.denied),
  };
  const record = await get(`/v1/entries/${index}`, "application/cbor");
  for (const [name, bytes] of Object.entries(receipts)) {
    await visit("/proof");
    await page.locator("#files").setInputFiles([file(name, bytes), ...(name === "cose" ? [file("record", record)] : [])]);
    await verified(page);
  }
  await visit("/proof");
  const size = index + 2;
  const head = (await get(`/v1/checkpoints?size=${size}`)).toString();
  const newest = JSON.parse(await get(`/v1/receipts/${index}`, "application/json")).size;
  const parts = [
    file("head", head), file("receipt", receipts.text), file("key", vkey), file("request", await get(`/v1/requests/${index}`)),
    file("growth", await get(`/v1/proofs/consistency?from=${size}&to=${newest}`)),
  ];
  await page.locator("#files").setInputFiles(parts);
  await verified(page);
  assert.deepEqual(await states(page), { ...WHOLE, consistent: "held" });
  await page.getByText(`You pinned a head of size ${size}`).waitFor();
});

test("a head alone is checked, and held against the pinned one", async ({ page, visit }) => {
  const [older, newer] = await Promise.all([5, 9].map(async (size) => (await get(`/v1/checkpoints?size=${size}`)).toString()));
  await visit("/proof");
  await page.locator("#files").setInputFiles([file("older", older)]);
  await verified(page);
  assert.deepEqual(await states(page), { signed: "held", consistent: "open", witnessed: "open" });
  await page.getByRole("button", { name: "Pin this head of 5 entries" }).click();
  await visit("/proof");
  await page.locator("#files").setInputFiles([file("newer", newer)]);
  await rung(page, "consistent").getByText("You pinned a head of size 5.").waitFor();
  await verified(page);
});

test("a file that is dropped on the page is taken; one that is nothing is refused", async ({ page, visit }) => {
  await visit("/proof");
  const drop = (name, text) => page.evaluate(([name, text]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name));
    document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  }, [name, text]);
  await drop("holiday.txt", "not a receipt");
  await page.getByRole("alert").getByText("holiday.txt").waitFor();
  await drop("one.tlog-proof", (await get(`/v1/receipts/${made.allowed.index}`, "text/plain")).toString());
  await verified(page);
  assert.equal(await page.locator("#trouble").textContent(), "");
});

test("a receipt of another log is not verified by this log's key", async ({ page, visit }) => {
  const receipt = (await get(`/v1/receipts/${made.allowed.index}`, "text/plain")).toString().replaceAll("ledger.example/browser", "ledger.example/other");
  await visit("/proof");
  await page.locator("#files").setInputFiles([file("other.tlog-proof", receipt)]);
  await verdict(page).filter({ hasText: "Not verified" }).waitFor();
  await rung(page, "signed").getByText("unknown_key").waitFor();
});

test("a head that was pinned is held against every later one", async ({ page, context, visit, shot }) => {
  const { index } = made.allowed;
  const size = index + 3;
  await visit("/proof");
  const head = (await get(`/v1/checkpoints?size=${size}`)).toString();
  await page.locator("#files").setInputFiles([file("receipt", await get(`/v1/receipts/${index}?size=${size}`, "text/plain"))]);
  await verified(page);
  await page.getByRole("button", { name: `Pin this head of ${size} entries` }).click();
  await rung(page, "consistent").getByText(`You pinned a head of the same size, ${size}`).waitFor();
  await visit(`/proof?index=${index}`);
  await rung(page, "consistent").getByText(`You pinned a head of size ${size}. A proof of`).waitFor();
  await shot("proof-pinned");
  // A server that answers another proof is found out.
  await context.route("**/v1/proofs/consistency*", async (route) => {
    const answer = await route.fetch();
    const body = await answer.json();
    body.proof[0] = made.denied.leaf;
    await route.fulfill({ json: body });
  });
  await visit(`/proof?index=${index}`);
  await verdict(page).filter({ hasText: "Not verified" }).waitFor();
  assert.equal((await states(page)).consistent, "failed");
  await context.unroute("**/v1/proofs/consistency*");
  // And so is one that shows another key than the one that was pinned.
  await context.route("**/v1/log", async (route) => {
    const body = await (await route.fetch()).json();
    await route.fulfill({ json: { ...body, vkey: "ledger.example/browser+00000000+AQ==" } });
  });
  await visit(`/proof?index=${index}`);
  await verified(page);
  assert.match(await page.locator("#key-source").textContent(), /You pinned it/);
  assert.match(await page.locator("#verdict").textContent(), /This server now shows another key/);
  await context.unroute("**/v1/log");
  await visit(`/proof?index=${index}`);
  await page.getByRole("button", { name: "Forget the pin" }).click();
  await rung(page, "consistent").getByText("You have pinned no head").waitFor();
  assert.ok(head.startsWith("ledger.example/browser\n"));
});

test("another key that the reader names is believed, and then nothing of this log", async ({ page, visit }) => {
  await visit(`/proof?index=${made.allowed.index}`);
  await verified(page);
  await page.getByText("Which key is believed").click();
  await page.getByLabel("The log's verification key").fill("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  await page.getByRole("button", { name: "Believe this key" }).click();
  await rung(page, "signed").getByText("unknown_key").waitFor();
  await page.getByLabel("The log's verification key").fill("nonsense");
  await page.getByRole("button", { name: "Believe this key" }).click();
  await page.getByRole("alert").getByText("malformed verification key").waitFor();
});

test("what can be taken away verifies by the command that the page shows", async ({ page, visit }) => {
  const { index } = made.denied;
  await visit(`/proof?index=${index}`);
  await verified(page);
  const saved = async (button) => {
    const download = page.waitForEvent("download");
    await button.click();
    const path = `${work}/${(await download).suggestedFilename()}`;
    await (await download).saveAs(path);
    return path;
  };
  const text = await saved(page.getByRole("link", { name: "Receipt (tlog-proof)" }));
  const cose = await saved(page.getByRole("button", { name: "COSE" }));
  const json = await saved(page.getByRole("button", { name: "JSON" }));
  assert.deepEqual(readFileSync(text), await get(`/v1/receipts/${index}`, "text/plain"));
  assert.equal(readFileSync(cose)[0], 0xd2);
  for (const path of [text, json]) execFileSync(command, ["verify", path, "--vkey", vkey]);
  const shown = await page.locator("#take pre").textContent();
  assert.deepEqual(shown.split("\n"), [`curl -sS ${site}/v1/receipts/${index} -o ${index}.tlog-proof`, `interlock verify ${index}.tlog-proof --vkey '${vkey}'`]);
  execFileSync("bash", ["-c", shown], { cwd: work, env: { PATH: `${command.replace(/\/[^/]*$/, "")}:${process.env.PATH}` } });
});

test("the page that is saved works from a disk, with files dropped into it", async ({ page, visit, shot, accessible }) => {
  const path = `${work}/interlock-proof.html`;
  writeFileSync(path, await get("/proof.html"));
  await visit(pathToFileURL(path).href);
  assert.equal(await page.locator("#intro").isVisible(), true);
  const { index } = made.denied;
  await page.locator("#files").setInputFiles([file("receipt", await get(`/v1/receipts/${index}`, "text/plain"))]);
  await rung(page, "signed").getByText("unknown_key").waitFor();
  await page.locator("#files").setInputFiles([file("vkey", vkey), file("request", await get(`/v1/requests/${index}`))]);
  await verified(page);
  assert.deepEqual(await states(page), WHOLE);
  assert.match(await page.locator("#verdict").textContent(), /hashes by/);
  await page.getByRole("button", { name: "Swap the root" }).click();
  await rung(page, "included").getByText("bad_proof").waitFor();
  await accessible();
  await shot("proof-saved");
});

test("the page that is saved with its evidence checks it again by itself, and asks nobody", async ({ page, visit }) => {
  await visit(`/proof?index=${made.denied.index}`);
  await verified(page);
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "This page with this evidence" }).click();
  const path = `${work}/with-evidence.html`;
  await (await download).saveAs(path);
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await visit(pathToFileURL(path).href);
  await verified(page);
  assert.deepEqual(await states(page), WHOLE);
  assert.deepEqual(asked.filter((url) => /^https?:/.test(url)), []);
  // What was saved is checked, not believed.
  const text = readFileSync(path, "utf8");
  const receipt = /"receipt":"([^"]+)"/.exec(text)[1];
  const forged = Buffer.from(Buffer.from(receipt, "base64").toString().replace(/\nindex (\d+)\n/, (_, index) => `\nindex ${Number(index) ^ 1}\n`)).toString("base64");
  writeFileSync(path, text.replace(receipt, forged));
  await visit(pathToFileURL(path).href);
  await verdict(page).filter({ hasText: "Not verified" }).waitFor();
});

test("without WebCrypto our own arithmetic runs, and the page says so", async ({ page, context, visit }) => {
  await context.addInitScript(() => Object.defineProperty(globalThis.crypto, "subtle", { value: undefined }));
  await visit(`/proof?index=${made.denied.index}`);
  await verified(page);
  assert.match(await page.locator("#verdict").textContent(), /hashes by our own arithmetic, signatures by our own arithmetic/);
});

test("the viewer fits a phone and the dark", { size: "phone", dark: true }, async ({ page, visit, shot, accessible }) => {
  await visit(`/proof?permit=${made.allowed.permit}`);
  await verified(page);
  await accessible();
  await shot("proof-phone-dark");
});

test("the viewer is dark on a desk, light on a phone", { dark: true }, async ({ page, visit, shot, accessible }) => {
  await visit(`/proof?permit=${made.allowed.permit}`);
  await verified(page);
  await accessible();
  await shot("proof-dark");
});

test("the whole way goes by the keyboard", async ({ page, visit }) => {
  await visit("/proof");
  await page.getByLabel("Permit, index or leaf hash").focus();
  await page.keyboard.type(String(made.denied.index));
  await page.keyboard.press("Enter");
  await verified(page);
  await page.getByRole("button", { name: "Swap the root" }).focus();
  await page.keyboard.press("Enter");
  await verdict(page).filter({ hasText: "Not verified" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Swap the root");
  assert.match(await page.locator("#said").textContent(), /Broken: fails at Included/);
  await page.keyboard.press("Enter");
});
