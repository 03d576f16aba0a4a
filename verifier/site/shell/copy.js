// Buttons that copy and links that save. The clipboard is there only on pages that browsers call secure; elsewhere the old command does it.

import { el } from "./dom.js";

// A button that copies `text` (a string, or a function that answers one); `what` names it for those who do not see it.
export function copyButton(text, what) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copied(typeof text === "function" ? text() : text);
    button.textContent = done ? "Copied" : "Not copied";
    say(done ? `${what} copied` : `${what} could not be copied`);
    setTimeout(() => (button.textContent = "Copy"), 2_000);
  });
  return button;
}

// Gives every element with `data-copy="what it is"` its button.
export function addCopyButtons(root = document) {
  for (const node of root.querySelectorAll("[data-copy]")) {
    const button = copyButton(() => node.textContent.trim(), node.dataset.copy);
    node.after(button);
  }
}

// A link that saves `content` (bytes or a string), which is made when it is asked for.
export function saveLink(label, filename, mediaType, content) {
  const link = el("a", { class: "button", href: "#", download: filename }, label);
  link.addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([content()], { type: mediaType }));
    link.href = url;
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  });
  return link;
}

// Says something to screen readers, politely.
export function say(words) {
  let region = document.getElementById("said");
  if (region === null) {
    region = el("div", { id: "said", class: "sr-only", role: "status", "aria-live": "polite" });
    document.body.append(region);
  }
  region.textContent = words;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "sr-only", readonly: true, "aria-hidden": "true" }, text);
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}
