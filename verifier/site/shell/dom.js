// Building what is shown. Everything that came from outside becomes text, never markup.
//
// Guarantees: no function here parses HTML, and none sets an attribute that could run a script; the server's policy (Trusted Types)
// forbids the rest of the page to do it.

const SVG = "http://www.w3.org/2000/svg";

// An element. `attributes`: {class, id, …}; true stands for an empty value, false, null and undefined for none; functions under `on` are
// listeners ({on: {click}}); `data` fills the data-* attributes. Children are nodes, strings, numbers, or (nested) arrays; null and false
// are left out.
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

// The same for SVG.
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

// Puts these children in place of those that were there.
export function put(node, ...children) {
  node.replaceChildren(...shown(children));
  return node;
}

// The element with this id, which the page's HTML must have.
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

// A list of names beside values: [[name, value or values], …]; pairs without a value (null, undefined) are left out.
export function pairs(list, kind = "pairs") {
  const there = list.filter(([, value]) => value !== null && value !== undefined);
  return el("dl", { class: kind }, there.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

// A word in a verdict's colour: "good", "bad", "open" or nothing.
export function tag(word, colour = "") {
  return el("span", { class: `tag ${colour}`.trim() }, word);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(node.dataset, value);
    } else if (value !== false && value !== null && value !== undefined) {
      if (/^on/i.test(name) || (/^(href|src|action)$/i.test(name) && /^\s*javascript:/i.test(value))) {
        throw new Error(`${name} would run a script`);
      }
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...shown(children));
  return node;
}

function shown(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false).map((child) => {
    return child instanceof Node ? child : String(child);
  });
}
