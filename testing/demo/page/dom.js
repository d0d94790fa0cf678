// Small helpers for elements. Texts are never read as HTML.

/**
 * Create an element.
 *
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  const created = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) created.setAttribute(attribute, value);
  created.append(...children);
  return created;
}

/**
 * Return the parts of a text, with `code` as an element.
 *
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/**
 * Put a copy of a template into a slot, and return the copy's first element.
 *
 * @param {string} template ID of the template
 * @param {string} slot ID of the slot
 * @returns {HTMLElement}
 */
export function fillSlot(template, slot) {
  const source = /** @type {HTMLTemplateElement} */ (document.getElementById(template));
  const copy = /** @type {DocumentFragment} */ (source.content.cloneNode(true));
  const root = /** @type {HTMLElement} */ (copy.firstElementChild);
  document.getElementById(slot)?.replaceChildren(copy);
  return root;
}

/**
 * Return the element that a selector finds.
 *
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {any}
 */
export function find(root, selector) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

/**
 * Replace the children of an element only if the text differs, so that screen readers stay quiet and
 * the focus stays.
 *
 * @param {Element} parent
 * @param {...(Node | string)} children
 */
export function show(parent, ...children) {
  const draft = element("div", {}, ...children);
  if (draft.innerHTML !== parent.innerHTML) parent.replaceChildren(...draft.childNodes);
}

/**
 * Show a state as a coloured label with text.
 *
 * @param {HTMLElement} label
 * @param {"good" | "wait" | "bad" | "off"} state
 * @param {string} text
 */
export function showState(label, state, text) {
  label.dataset.state = state;
  if (label.textContent !== text) label.textContent = text;
}

/**
 * Return a time of day, by default now.
 *
 * @param {number} [seconds] since the epoch
 */
export function clock(seconds = Date.now() / 1000) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

/**
 * Add a line at the top of a log, with the time.
 *
 * @param {HTMLElement} log
 * @param {"good" | "wait" | "bad" | "off"} state
 * @param {string} text
 */
export function addLine(log, state, text) {
  log.prepend(element("li", { "data-state": state }, element("time", {}, clock()), " ", ...withCode(text)));
  while (log.children.length > 50) log.lastElementChild?.remove();
}
