// A browser for a test, and what holds on every page: nothing on the console, nothing asked of another host, nothing serious by axe-core.
//
//   import { opened, test } from "./harness.mjs";
//   test("a sentence", async ({ page, visit, shot, accessible }) => { await visit("/proof"); … });
//
// Each test has a fresh context (no storage of others) and fails on its own if the page said an error or asked elsewhere.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test as nodeTest } from "node:test";

import { chromium } from "playwright-core";

export const { INTERLOCK: command, INTERLOCK_PUBLIC: site, INTERLOCK_WORK: work } = process.env;
assert.ok(site, "tests of pages are run by tools/browser/check");

// What populate.mjs made: {allowed, denied, clinic}, and the log's verifier key.
export const made = JSON.parse(readFileSync(`${work}/made.json`, "utf8"));
export const vkey = readFileSync(`${work}/vkey`, "utf8").trim();

const screenshots = process.env.INTERLOCK_SCREENSHOTS;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
// A page is there in a tenth of this; a busy machine may need it.
const PATIENCE_MS = Number(process.env.INTERLOCK_PATIENCE_MS ?? 30_000);

export const SIZES = { desktop: { width: 1200, height: 900 }, phone: { width: 360, height: 740 } };

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGUMENTS });
});
after(() => browser.close());

// Options: size ("desktop", "phone"), dark, script (false: a reader without JavaScript), errors (patterns of console errors that the test
// provokes: what it asks of the server and does not get).
export function test(name, options, run) {
  if (run === undefined) return test(name, {}, options);
  return nodeTest(name, async () => {
    const { wrong, foreign } = await observed(options, run);
    assert.deepEqual(wrong, [], "what the console said");
    assert.deepEqual(foreign, [], "what was asked of others");
  });
}

// Runs in a context of its own; answers {wrong: what the console said, foreign: what was asked of others}.
export async function observed({ size = "desktop", dark = false, script = true, errors = [] }, run) {
  const context = await browser.newContext({
    viewport: SIZES[size], colorScheme: dark ? "dark" : "light", javaScriptEnabled: script, acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"], reducedMotion: "reduce",
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  const asked = new Set();
  const own = new Set([site]);
  context.on("page", (page) => watch(page, wrong, asked, errors));
  try {
    const page = await context.newPage();
    await run(tools(page, context, own));
  } finally {
    await context.close();
  }
  return { wrong, foreign: [...asked].filter((url) => !own.has(new URL(url).origin) && !/^(data|blob|file|about):/.test(url)) };
}

function watch(page, wrong, asked, errors) {
  const expected = (text) => errors.some((pattern) => pattern.test(text));
  page.on("console", (message) => {
    const text = `${message.type()}: ${message.text()} ${message.location().url}`;
    if (["error", "warning"].includes(message.type()) && !expected(text)) wrong.push(text);
  });
  page.on("pageerror", (error) => wrong.push(`thrown: ${error.stack}`));
  page.on("request", (request) => asked.add(request.url()));
}

function tools(page, context, own) {
  return {
    page,
    context,
    // Goes to a path of the site, or to a whole address; what is visited may be asked.
    visit: (path) => {
      const url = path.startsWith("/") ? site + path : path;
      if (url.startsWith("http")) own.add(new URL(url).origin);
      return page.goto(url, { waitUntil: "load" });
    },
    // Keeps a picture of the whole page.
    shot: async (name) => {
      if (!screenshots) return;
      mkdirSync(screenshots, { recursive: true });
      await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
    },
    // What axe-core finds serious or critical; also that nothing is wider than the window.
    accessible: async () => {
      // Evaluated by the browser's own protocol, so the page's policy stays as it is.
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" ")}`), []);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wider <= 0, `the page is ${wider} px wider than the window`);
    },
  };
}
