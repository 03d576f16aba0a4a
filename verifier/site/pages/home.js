// The page `/`: keeps what the server wrote into it current. Without this module the page says the same, as of when it was loaded.

import { getJson, getText } from "../shell/api.js";
import { byId, put, tag } from "../shell/dom.js";
import { every, start } from "../shell/page.js";
import { span, time } from "../shell/time.js";

// A head is at most as old as the last batch; two seconds are what a reader notices.
const EVERY_MS = 2_000;
// The rate is told over what was seen in the last minute.
const WINDOW_MS = 60_000;

const seen = [];

async function refresh() {
  const log = await getJson("/v1/log");
  byId("size").textContent = log.size.toLocaleString("en");
  byId("age").textContent = `${span(Math.max(0, Date.now() - Date.parse(log.time)))} old`;
  byId("root").textContent = log.root;
  byId("checkpoint").textContent = log.checkpoint;
  put(byId("signed"), time(log.time));
  put(byId("created"), time(log.created_at));
  byId("rate").textContent = rate(log);
  const state = await readiness();
  put(byId("state"), log.frozen ? tag("frozen: complete for ever", "open") : state);
}

// Entries a second over the last minute that this page saw; none yet: the average since the log was created, which the server wrote.
function rate({ size }) {
  const now = performance.now();
  seen.push({ now, size });
  while (seen.length > 2 && now - seen[0].now > WINDOW_MS) seen.shift();
  const [first] = seen;
  const seconds = (now - first.now) / 1_000;
  if (seconds < 1) return byId("rate").textContent;
  const a = (size - first.size) / seconds;
  return a === 0 ? `none in ${Math.round(seconds)} s` : `${a >= 10 ? Math.round(a).toLocaleString("en") : a.toFixed(1)} / s`;
}

async function readiness() {
  try {
    await getText("/readyz");
    return tag("ready", "good");
  } catch (error) {
    return [tag("not ready", "bad"), ` ${error.message}`];
  }
}

start(async () => {
  byId("address").textContent = location.origin;
  await every(EVERY_MS, refresh);
});
