// How a page begins: its part runs once the document is there, and what goes wrong is said at the top, in words, with its code.

import { Problem } from "./api.js";
import { addCopyButtons } from "./copy.js";
import { byId, el, put } from "./dom.js";
import { tick } from "./time.js";

// Runs a page's own part. Modules are deferred, so the document is complete.
export async function start(run) {
  tick();
  addCopyButtons();
  try {
    await run();
  } catch (error) {
    trouble(error);
    // A Problem is the server's answer; anything else is a defect of ours, which belongs on the console.
    if (!(error instanceof Problem)) throw error;
  }
}

// Says what went wrong; without an error, takes it away.
export function trouble(error = null) {
  const place = byId("trouble");
  if (error === null) return put(place);
  const code = error instanceof Problem ? el("code", {}, error.code) : null;
  const words = el("p", {}, error.message, code && [" · ", code]);
  return put(place, el("div", { class: "notice bad" }, el("strong", {}, "This did not work"), words));
}

// Runs `load` now and again every `ms` while somebody looks; one at a time. Trouble is shown and gone when it is over.
export function every(ms, load) {
  let running = false;
  const round = async () => {
    if (running || document.hidden) return;
    running = true;
    try {
      await load();
      trouble();
    } catch (error) {
      trouble(error);
    } finally {
      running = false;
    }
  };
  document.addEventListener("visibilitychange", round);
  setInterval(round, ms);
  return round();
}
