// The operator's pane: actions on users, keys and the service, and what each client sees of them.
import { addLine, clock, element, fillSlot, find, show, showState, withCode } from "./dom.js";
import { connectionOf } from "./client_pane.js";
import { send } from "./site.js";

const POLL = 1500; // milliseconds
const DANGEROUS = ["suspend", "erase"];

export class OperatorPane {
  /** @type {Map<string, any>} The service's state of each user. */
  #users = new Map();
  /** @type {any[]} */
  #keys = [];
  #running = true;

  /** @param {string} slot @param {() => import("./chat.js").Chat[]} chats */
  constructor(slot, chats) {
    this.root = fillSlot("operator-pane", slot);
    this.chats = chats;
    this.root.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest("button");
      if (button) void this.#press(button);
    });
    setInterval(() => this.refresh(), POLL);
    void this.refresh();
  }

  /** Ask the service for the users and the keys. */
  async refresh() {
    const ids = this.chats().map((chat) => chat.userId).filter(Boolean);
    const [scene, keys, ...users] = await Promise.all([
      send("GET", "/scene"),
      send("GET", "/operator/v1/stream-keys"),
      ...ids.map((id) => send("GET", `/operator/v1/users/${id}`)),
    ]);
    this.#running = scene.ok && scene.body.running;
    if (keys.ok) this.#keys = keys.body.items;
    users.forEach((user, index) => user.ok && this.#users.set(ids[index], user.body));
    this.render();
  }

  /** @param {HTMLButtonElement} button */
  async #press(button) {
    if (button.ariaBusy) return; // and not `disabled`, which would take the focus away
    button.ariaBusy = "true";
    const { name } = button;
    const { user, key } = button.dataset;
    if (name === "suspend") await this.#operate("PUT", `/v1/users/${user}/suspension`);
    if (name === "reinstate") await this.#operate("DELETE", `/v1/users/${user}/suspension`);
    if (name === "signOut") await this.#operate("POST", `/v1/users/${user}/revocations`);
    if (name === "erase") await this.#operate("DELETE", `/v1/users/${user}`);
    if (name === "addKey") await this.#operate("POST", "/v1/stream-keys");
    if (name === "activate") await this.#operate("POST", `/v1/stream-keys/${key}/activate`);
    if (name === "retire") await this.#operate("POST", `/v1/stream-keys/${key}/retire`);
    if (name === "service") await send("PUT", "/scene/service", { running: !this.#running });
    button.ariaBusy = null;
    await this.refresh();
  }

  /** @param {string} method @param {string} path */
  async #operate(method, path) {
    const { ok, status, body } = await send(method, `/operator${path}`);
    addLine(find(this.root, ".log"), ok ? "good" : "bad", `${method} ${path}: ${status}`);
    const box = find(this.root, ".failure");
    box.dataset.kind = "wrong";
    const detail = element("p", {}, ...withCode(body.detail ?? ""));
    show(box, ...(ok ? [] : [element("strong", {}, body.title ?? "Failed"), detail]));
  }

  render() {
    const chats = this.chats().filter((chat) => chat.userId);
    const rows = chats.map((chat) => this.#userRow(chat));
    const emptyRow = element("li", { class: "hint" }, "No user has signed in yet.");
    update(find(this.root, ".users"), rows.length ? rows : [emptyRow]);
    update(find(this.root, ".keys"), this.#keys.map(keyRow));
    const [state, text] = this.#running ? /** @type {const} */ (["good", "Running"]) : ["bad", "Stopped"];
    showState(find(this.root, ".service"), /** @type {any} */ (state), text);
    show(find(this.root, "[name=service]"), `${this.#running ? "Stop" : "Start"} the service`);
  }

  /** @param {import("./chat.js").Chat} chat */
  #userRow(chat) {
    const known = this.#users.get(chat.userId);
    const [connection, words] = connectionOf(chat);
    const sees = chat.failure ? ` ${chat.failure.title}.` : "";
    const last = chat.lastCall ? ` Last call: ${chat.lastCall}.` : "";
    return element(
      "li",
      { "data-key": chat.userId },
      element("h4", {}, chat.userId),
      element("p", {}, "Service: ", ...(known ? standing(known) : ["…"])),
      element("p", {}, "Client: ", label(connection, words), sees, last),
      ...(known?.suspended ? [element("p", {}, afterSuspension(chat))] : []),
      element("div", { class: "buttons" }, ...(known?.erasure ? [] : userActions(chat.userId, known?.suspended))),
    );
  }
}

/** @param {import("./chat.js").Chat} chat */
function afterSuspension({ phase }) {
  return phase === "signed-out"
    ? "Next: no token, and no sign-in, until you reinstate the user."
    : "Next: Stream tells the window to check its access. It asks the service, and leaves.";
}

/** @param {string} user @param {boolean} suspended */
function userActions(user, suspended) {
  return [
    suspended ? action("reinstate", "Reinstate", { user }) : action("suspend", "Suspend", { user }),
    action("signOut", "Sign out everywhere", { user }),
    action("erase", "Erase", { user }),
  ];
}

/** @param {any} user state of a user at the service */
function standing({ suspended, sessions, tokens_valid_after: cutOff, stream, erasure }) {
  if (erasure) return [label("bad", "Erased"), ` here; deletion at Stream: ${erasure.state}`];
  const parts = [`${sessions} session${sessions === 1 ? "" : "s"}`];
  if (cutOff) {
    parts.push(`sign-ins before ${clock(cutOff)} are refused`);
    parts.push(stream.state === "applied" ? "delivered to Stream" : `at Stream: ${stream.state}`);
  }
  return [label(suspended ? "bad" : "good", suspended ? "Suspended" : "Not suspended"), ` ${parts.join(", ")}`];
}

/** @param {any} key */
function keyRow({ id, api_key: apiKey, state }) {
  const buttons = [];
  if (state === "standby" || state === "retiring") buttons.push(action("activate", "Activate", { key: id }));
  if (state === "standby" || state === "retiring") buttons.push(action("retire", "Retire", { key: id }));
  const colours = /** @type {Record<string, any>} */ ({ active: "good", retired: "off" });
  return element(
    "li",
    { "data-key": id },
    element("p", {}, element("code", {}, apiKey), " ", label(colours[state] ?? "wait", state)),
    ...(buttons.length ? [element("div", { class: "buttons" }, ...buttons)] : []),
  );
}

/** @param {"good" | "wait" | "bad" | "off"} state @param {string} text */
function label(state, text) {
  return element("span", { class: "state", "data-state": state }, text);
}

/** @param {string} name @param {string} text @param {Record<string, string>} data */
function action(name, text, data) {
  const attributes = Object.entries(data).map(([key, value]) => [`data-${key}`, value]);
  const look = DANGEROUS.includes(name) ? { class: "danger" } : {};
  return element("button", { type: "button", name, ...look, ...Object.fromEntries(attributes) }, text);
}

/**
 * Replace the rows that differ, and keep the focus on the button of the same name in a replaced row.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} rows
 */
function update(list, rows) {
  rows.forEach((row, index) => {
    const old = list.children[index];
    if (!old) return list.append(row);
    if (old.outerHTML.replaceAll(' aria-busy="true"', "") === row.outerHTML) return undefined;
    const focused = old.contains(document.activeElement)
      ? [...old.querySelectorAll("button")].indexOf(/** @type {any} */ (document.activeElement))
      : -1;
    old.replaceWith(row);
    if (focused >= 0) (row.querySelectorAll("button")[focused] ?? row.querySelector("button"))?.focus();
    return undefined;
  });
  while (list.children.length > rows.length) list.lastElementChild?.remove();
}
