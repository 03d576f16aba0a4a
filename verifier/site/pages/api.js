// The public API as a page: one part a method and path, out of `/openapi.json`, each with a link that tries it.
//
// Guarantees: shows what the document says and adds nothing; a link leads to this server, and what was typed into it is encoded. Does not
// send anything by itself.

import { getJson } from "../shell/api.js";
import { addCopyButtons } from "../shell/copy.js";
import { byId, el, put, tag } from "../shell/dom.js";
import { start } from "../shell/page.js";
import { address, limits, operations } from "./openapi.js";

start(async () => {
  const described = await getJson("/openapi.json");
  const parts = operations(described).map((operation) => ({ operation, node: part(operation, described.components.schemas) }));
  put(byId("operations"), parts.map(({ node }) => node));
  addCopyButtons();
  const search = byId("search");
  const narrow = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    for (const { operation, node } of parts) node.hidden = !words.every((word) => operation.text.includes(word));
    const shown = parts.filter(({ node }) => !node.hidden).length;
    put(byId("found"), `${shown} of ${parts.length} shown`);
  };
  search.addEventListener("input", narrow);
  narrow();
  const unfold = () => {
    const linked = parts.find(({ operation: { id } }) => [`#${id}`, `#${encodeURIComponent(id)}`].includes(location.hash));
    if (linked === undefined) return;
    linked.node.open = true;
    linked.node.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();
});

function part(operation, schemas) {
  const { id, method, path, summary, parameters, body, answers, problems } = operation;
  return el(
    "details",
    { class: "card operation", id },
    el("summary", {}, tag(method.toUpperCase(), method === "get" ? "good" : "open"), " ", el("code", {}, path), " ", el("span", { class: "quiet" }, summary)),
    el("p", { class: "hint" }, el("a", { href: `#${encodeURIComponent(id)}` }, "Link to this"), method === "get" ? "; HEAD answers the same without a body." : "."),
    parameters.length > 0 && method !== "get" && table(["Parameter", "Where", "What it may be"], parameters.map((one) => [name(one), one.in, limits(one.schema, schemas)])),
    method === "get" && trial(operation, schemas),
    body && [
      el("h3", {}, "Body"),
      el("p", {}, el("code", {}, body.mediaType), ". ", body.description, "."),
      form("The form of the body", body.schema),
    ],
    el("h3", {}, "Answers"),
    answers.map(({ mediaType, schema }) => [el("p", {}, el("code", {}, mediaType)), schema.format !== "binary" && form(`The form of ${mediaType}`, resolved(schema, schemas))]),
    problems.length > 0 && [
      el("h3", {}, "Problems"),
      table(["Status", "Codes"], problems.map(({ status, codes }) => [status, codes.map((code, n) => [n > 0 && ", ", el("code", {}, code)])])),
    ],
  );
}

// Fields for the parameters, and the address that they make.
function trial({ id, path, parameters }, schemas) {
  const values = new Map(parameters.map((one) => [one, one.example === undefined ? "" : String(one.example)]));
  const link = el("a", { class: "button try" });
  const show = () => {
    const made = address(path, values);
    if (made === null) link.removeAttribute("href");
    else link.setAttribute("href", made);
    put(link, made === null ? "Fill in what is needed" : `Try it: ${made}`);
  };
  const rows = parameters.map((one) => {
    const field = `${id} ${one.name}`.replaceAll(/[^A-Za-z0-9]+/g, "-");
    const input = el("input", { id: field, autocomplete: "off", spellcheck: "false", value: values.get(one) });
    input.addEventListener("input", () => (values.set(one, input.value), show()));
    return [el("label", { for: field }, name(one)), input, limits(one.schema, schemas)];
  });
  show();
  return [rows.length > 0 && table(["Parameter", "Value", "What it may be"], rows), el("p", { class: "actions" }, link)];
}

const name = (parameter) => [el("code", {}, parameter.name), parameter.required ? " (needed)" : ""];

const resolved = (schema, schemas) => (schema.$ref === undefined ? schema : schemas[schema.$ref.split("/").at(-1)]);

function form(words, schema) {
  return el("details", {}, el("summary", {}, words), el("pre", { tabindex: "0" }, JSON.stringify(schema, null, 2)));
}

function table(heads, rows) {
  return el(
    "div", { class: "table" },
    el(
      "table", { class: "stacks" },
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell))))),
    ),
  );
}
