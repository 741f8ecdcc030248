// Elements of the page. Whatever comes from outside becomes text or an attribute, never HTML.

export const $ = (id) => document.getElementById(id);

// An element with attributes and children; children that are strings become text.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

export function show(element, shown = true) { element.hidden = !shown; }

// Text that changes often is written only where it differs, so that screen readers say it once.
export function write(element, text) { if (element.textContent !== text) element.textContent = text; }

// Said to those who do not see the page.
export function say(text) { write($("said"), text); }

export function still() { return matchMedia("(prefers-reduced-motion: reduce)").matches; }

export function chosen(name) { return document.querySelector(`input[name="${name}"]:checked`)?.value; }

export function choose(name, value) {
  for (const input of document.querySelectorAll(`input[name="${name}"]`)) input.checked = input.value === value;
}

// What went wrong, in a box of the page; without a trouble the box goes away.
export function trouble(box, said) {
  show(box, Boolean(said));
  box.replaceChildren();
  if (!said) return;
  box.append(make("b", {}, said.title));
  if (said.advice) box.append(make("p", {}, said.advice));
  if (said.detail) box.append(make("p", { class: "detail" }, said.detail));
}
