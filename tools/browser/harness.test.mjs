// The harness itself: what it must notice on a page, it notices.

import assert from "node:assert/strict";

import { observed, site, test } from "./harness.mjs";

test("an error on the console and a script that throws are noticed", async () => {
  const { wrong } = await observed({}, async ({ page, visit }) => {
    await visit("/");
    await page.evaluate(() => {
      console.error("planted");
      setTimeout(() => {
        throw new Error("thrown on purpose");
      });
    });
    await page.waitForTimeout(200);
  });
  assert.equal(wrong.length, 2);
  assert.match(wrong.join("\n"), /planted/);
  assert.match(wrong.join("\n"), /thrown on purpose/);
});

test("a request to another host is noticed, and the policy of the page forbids it", async () => {
  const { wrong, foreign } = await observed({}, async ({ page, visit }) => {
    await visit("/");
    await page.evaluate(() => fetch("http://127.0.0.1:9/elsewhere").catch(() => {}));
    await page.goto("about:blank");
    await page.goto("http://127.0.0.1:9/elsewhere").catch(() => {});
  });
  assert.match(wrong.join("\n"), /Content Security Policy/);
  assert.deepEqual(foreign, ["http://127.0.0.1:9/elsewhere"]);
});

test("markup from a string, an inline script and an inline style are forbidden", async () => {
  const { wrong } = await observed({}, async ({ page, visit }) => {
    await visit("/");
    await page.evaluate(() => {
      const script = document.createElement("script");
      for (const write of [() => (document.body.innerHTML = "<b>x</b>"), () => (script.textContent = "globalThis.ran = true")]) {
        try {
          write();
        } catch {
          // Trusted Types say no.
        }
      }
      document.body.append(script);
      document.body.setAttribute("style", "display: none");
    });
    assert.equal(await page.evaluate(() => globalThis.ran), undefined);
    assert.ok(await page.locator("h1").isVisible());
  });
  assert.match(wrong.join("\n"), /style/i);
  assert.match(wrong.join("\n"), /TrustedHTML|Trusted Type/i);
});

test("what a reader cannot use is noticed", async ({ page, visit, accessible }) => {
  await visit("/");
  await page.evaluate(() => document.querySelector("main").append(document.createElement("img"), document.createElement("button")));
  await assert.rejects(accessible, /image-alt|button-name/);
});

test("a page that is wider than the window is noticed", { size: "phone" }, async ({ page, visit, accessible }) => {
  await visit("/");
  await page.evaluate(() => (document.querySelector("h1").style.width = "500px"));
  await assert.rejects(accessible, /wider than the window/);
  assert.ok(site);
});
