// Times: UTC for the record, and how long ago for people. What is relative stays so: it is written anew every second.
//
// Does not vouch for the reader's clock: an age is the difference of two clocks.

import { el } from "./dom.js";

const UNITS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000], ["second", 1_000]];

// A span in its largest unit: "3 minutes"; "0 seconds" for less than one.
export function span(ms) {
  const [unit, length] = UNITS.find(([, length]) => ms >= length) ?? UNITS.at(-1);
  const count = Math.floor(ms / length);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

// "3 minutes ago", "in 2 hours", "now".
export function relative(ms, now = Date.now()) {
  const age = now - ms;
  if (Math.abs(age) < 1_000) return "now";
  return age > 0 ? `${span(age)} ago` : `in ${span(-age)}`;
}

// "2026-03-10 09:00:00 UTC" of an RFC 3339 time in UTC: seconds, as people read; the attribute keeps every digit.
export const utc = (rfc3339) => `${rfc3339.slice(0, 10)} ${rfc3339.slice(11, 19)} UTC`;

// <time> with UTC and what it is relative to now.
export function time(rfc3339) {
  const ms = Date.parse(rfc3339);
  if (Number.isNaN(ms)) return el("span", {}, rfc3339);
  const behind = el("span", { class: "quiet", data: { relative: ms } }, relative(ms));
  return el("time", { datetime: rfc3339, title: rfc3339 }, `${utc(rfc3339)} · `, behind);
}

// Keeps every relative time of the page current.
export function tick() {
  setInterval(() => {
    for (const node of document.querySelectorAll("[data-relative]")) {
      const text = relative(Number(node.dataset.relative));
      if (node.textContent !== text) node.textContent = text;
    }
  }, 1_000);
}
