// Curves over time as SVG: one module, no library, no canvas, so that colours follow the page and readers can be told what is drawn.
//
// Guarantees: a chart says in words what its newest and highest values are; a gap in the values is a gap in the line; what the pointer or the
// arrow keys point at is told as text. Does not fetch, and keeps nothing.

import { el, put, svg } from "../shell/dom.js";

const WIDTH = 480;
const HEIGHT = 170;
const LEFT = 52;
const BOTTOM = 24;
const TOP = 8;
const RIGHT = 8;
const STRIP = 720;

// A chart of `series` [{name, colour (a class), values (numbers or null)}] at `times` (Unix ms). `stacked` puts them on one another as areas.
// `format` writes a value for people. Answers a <figure> with its legend; `label` names it.
export function chart(label, times, series, { stacked = false, format = plain, step = 1_000 } = {}) {
  const figure = el("figure", { class: "chart" });
  const there = series.filter((one) => one.values.some((value) => value !== null));
  if (times.length === 0 || there.length === 0) {
    return put(figure, el("figcaption", {}, label), el("p", { class: "hint" }, "Nothing was measured yet."));
  }
  const layers = stacked ? stack(series) : series.map((one) => ({ ...one, top: one.values, floor: null }));
  const most = Math.max(...layers.flatMap((layer) => layer.top.map((value) => value ?? 0)));
  const ceiling = nice(most);
  const [first, last] = [times[0], Math.max(times.at(-1), times[0] + step)];
  const x = (time) => LEFT + ((time - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / ceiling) * (HEIGHT - BOTTOM - TOP);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: 0, "aria-label": words(label, series, format) });
  for (const share of [0, 0.5, 1]) {
    const value = ceiling * share;
    picture.append(
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { class: "axis", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)),
    );
  }
  for (const [time, anchor] of [[first, "start"], [(first + last) / 2, "middle"], [last, "end"]]) {
    picture.append(svg("text", { class: "axis", x: x(time), y: HEIGHT - 5, "text-anchor": anchor }, clock(time, step)));
  }
  for (const { colour, top, floor } of layers) {
    if (floor !== null) picture.append(svg("path", { class: `area ${colour}`, d: area(times, top, floor, x, y) }));
    picture.append(svg("path", { class: `line ${colour}`, d: line(times, top, x, y, step) }));
    // A value between two gaps is no line; as a dot it is seen.
    picture.append(svg("path", { class: `dots ${colour}`, d: dots(times, top, x, y, step) }));
  }
  const readout = el("p", { class: "readout", "aria-live": "off" });
  follow(picture, readout, { times, series, format, x, step });
  return put(figure, el("figcaption", {}, label), picture, readout);
}

// A strip of cells, one for each span: [{colour, title}].
export function strip(label, cells) {
  const width = STRIP / cells.length;
  const rects = cells.map(({ colour, title }, place) =>
    svg("rect", { class: `cell ${colour}`, x: place * width, y: 0, width: Math.max(1, width - 1), height: 34, rx: 1.5 }, svg("title", {}, title)),
  );
  return svg("svg", { class: "uptime", viewBox: `0 0 ${STRIP} 34`, preserveAspectRatio: "none", role: "img", "aria-label": label }, rects);
}

const plain = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(2))));

// The next number above that people like to read.
export function nice(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * size).find((step) => step >= value * (1 - 1e-9));
}

// Each layer upon those before it.
export function stack(series) {
  let floor = series[0].values.map(() => 0);
  return series.map((one) => {
    const top = one.values.map((value, at) => floor[at] + (value ?? 0));
    const layer = { ...one, top, floor };
    floor = top;
    return layer;
  });
}

// A line through the values; where one is missing, or a sample is, the line ends and begins anew.
export function line(times, values, x, y, step) {
  let pen = "M";
  let path = "";
  values.forEach((value, at) => {
    if (value === null || value === undefined) {
      pen = "M";
      return;
    }
    if (at > 0 && times[at] - times[at - 1] > 3 * step) pen = "M";
    path += `${pen}${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return path;
}

// The values that have no neighbour, each a short stroke.
export function dots(times, values, x, y, step) {
  const is = (at, other) => (values[other] ?? null) !== null && Math.abs(times[at] - times[other]) <= 3 * step;
  const alone = values.map((value, at) => (value ?? null) !== null && !is(at, at - 1) && !is(at, at + 1));
  return values.map((value, at) => (alone[at] ? `M${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}h0.1` : "")).join("");
}

function area(times, top, floor, x, y) {
  const over = top.map((value, at) => `${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`);
  const back = floor.map((value, at) => `${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`).reverse();
  return `M${over.join("L")}L${back.join("L")}Z`;
}

function words(label, series, format) {
  const told = series.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? `${name}: nothing measured` : `${name}: now ${format(known.at(-1))}, at most ${format(Math.max(...known))}`;
  });
  return `${label}. ${told.join("; ")}.`;
}

// Tells the values under the pointer, or under the arrow keys; without either, the newest.
function follow(picture, readout, { times, series, format, x, step }) {
  const mark = svg("line", { class: "mark", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  picture.append(mark);
  let at = times.length - 1;
  const tell = (place, pointed) => {
    at = Math.min(Math.max(place, 0), times.length - 1);
    mark.setAttribute("visibility", pointed ? "visible" : "hidden");
    mark.setAttribute("x1", x(times[at]));
    mark.setAttribute("x2", x(times[at]));
    // What was measured last, where nothing is pointed at: a second without a decision has no latency.
    const shown = (values) => (pointed ? values[at] : values.findLast((value) => value !== null)) ?? null;
    const told = series.map(({ name, colour, values }) =>
      el("span", { class: "entry" }, el("span", { class: `swatch ${colour}`, "aria-hidden": "true" }), `${name} `, el("b", {}, shown(values) === null ? "–" : format(shown(values)))),
    );
    put(readout, el("span", { class: "quiet" }, pointed ? `${clock(times[at], 1_000)} ` : "latest "), told);
  };
  const nearest = (event) => {
    const box = picture.getBoundingClientRect();
    const time = times[0] + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (Math.max(times.at(-1), times[0] + step) - times[0]);
    const after = times.findIndex((one) => one >= time);
    return after < 0 ? times.length - 1 : after;
  };
  picture.addEventListener("pointermove", (event) => tell(nearest(event), true));
  picture.addEventListener("pointerleave", () => tell(times.length - 1, false));
  picture.addEventListener("blur", () => tell(times.length - 1, false));
  picture.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -times.length, End: times.length }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    readout.setAttribute("aria-live", "polite");
    tell(at + move, true);
  });
  tell(at, false);
}

// The time of day in UTC, with seconds where they matter.
const clock = (ms, step) => new Date(ms).toISOString().slice(11, step < 60_000 ? 19 : 16);
