// The pane of one person.
import { addLine, clock, element, fillSlot, find, show, showState, withCode } from "./dom.js";
import { secondsLeft } from "./token.js";
import { send } from "./site.js";
import { Chat } from "./chat.js";

const PASSWORD = "seven green bicycles";

/** @type {Record<string, [state: "good" | "wait" | "bad" | "off", text: string]>} */
const PHASES = {
  "signed-out": ["off", "Signed out"],
  disconnected: ["off", "Disconnected"],
  connecting: ["wait", "Connecting"],
  reconnecting: ["wait", "Connection lost, connecting again"],
};
const TRANSPORTS = { websocket: "Connected by WebSocket", longpoll: "Connected by long polling" };

/** @param {Chat} chat @returns {["good" | "wait" | "bad" | "off", string]} */
export function connectionOf(chat) {
  return PHASES[chat.phase] ?? ["good", TRANSPORTS[chat.transport]];
}

export class ClientPane {
  /**
   * @param {string} slot
   * @param {string} title
   * @param {string} userId that is filled in
   * @param {import("./chat.js").Scene} scene
   * @param {() => void} onChange
   */
  constructor(slot, title, userId, scene, onChange) {
    this.root = fillSlot("client", slot);
    this.title = title;
    this.onChange = onChange;
    const log = find(this.root, ".log");
    this.chat = new Chat(scene, {
      onChange: () => this.render(),
      onCall: (state, text) => addLine(log, state, text),
    });
    find(this.root, "meter").max = scene.token_seconds;
    this.#fillIn(userId);
    this.#listen();
    setInterval(() => this.#renderToken(), 1000);
    this.render();
  }

  /** @param {string} userId */
  #fillIn(userId) {
    const { userId: user, password } = find(this.root, ".sign-in").elements;
    user.value = userId;
    password.value = PASSWORD;
  }

  #listen() {
    const { chat, root } = this;
    find(root, ".sign-in").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const { userId, password, signIn } = find(root, ".sign-in").elements;
      const account = { userId: userId.value, password: password.value };
      const done = await (event.submitter === signIn ? chat.signIn(account) : chat.signUp(account));
      if (done) find(root, "[name=text]").focus();
    });
    find(root, ".send").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const { text } = find(root, ".send").elements;
      if (await chat.send(text.value)) text.value = "";
    });
    find(root, ".send").addEventListener("input", () => chat.keystroke());
    this.#onClick("disconnect", () => (chat.phase === "disconnected" ? chat.reconnect() : chat.disconnect()));
    this.#onClick("signOut", async () => {
      await chat.signOut();
      find(root, "[name=userId]").focus();
    });
    this.#onClick("ask", () => chat.ask());
    this.#onClick("expire", () => send("POST", "/scene/expired", { token: chat.token }));
    this.#onClick("unavailable", async () => {
      await send("POST", "/scene/unavailable", { user_id: chat.userId });
      await chat.ask();
    });
    this.#onClick("flood", () => chat.flood());
    find(root, ".settings").addEventListener("change", () => {
      const checked = (/** @type {string} */ name) => find(root, `.settings [name=${name}]`).checked;
      chat.choose({ typing: checked("typing"), reads: checked("reads"), blocked: checked("blocked") });
    });
  }

  /** @param {string} name @param {() => unknown} action */
  #onClick(name, action) {
    find(this.root, `button[name=${name}]`).addEventListener("click", action);
  }

  render() {
    const { chat, root } = this;
    const isIn = chat.phase !== "signed-out";
    show(find(root, "h2"), isIn ? chat.userId : this.title);
    showState(find(root, ".connection .state"), ...connectionOf(chat));
    find(root, ".sign-in").hidden = isIn;
    find(root, "[name=signUp]").classList.toggle("primary", !chat.userId);
    find(root, "[name=signIn]").classList.toggle("primary", Boolean(chat.userId));
    find(root, ".session").hidden = !isIn;
    find(root, ".chat").hidden = !chat.channel;
    show(find(root, "[name=disconnect]"), chat.phase === "disconnected" ? "Connect" : "Disconnect");
    this.#renderFailure();
    this.#renderToken();
    if (chat.channel) this.#renderChat();
    this.onChange();
  }

  #renderFailure() {
    const { failure } = this.chat;
    const box = find(this.root, ".failure");
    if (!failure) return show(box);
    box.dataset.kind = failure.kind;
    const parts = [element("strong", {}, failure.title), element("p", {}, ...withCode(`Reason: ${failure.text}`))];
    if (failure.last) parts.push(element("p", {}, `Last call: ${failure.last}. The app has disconnected.`));
    if (failure.next) parts.push(element("p", { class: "next" }, ...withCode(failure.next)));
    if (failure.canReconnect && this.chat.phase !== "signed-out") {
      parts.push(element("button", { type: "button", name: "reconnect" }, "Reconnect"));
    }
    show(box, ...parts);
    const button = box.querySelector("button");
    if (button) button.onclick = () => void this.chat.reconnect();
  }

  #renderToken() {
    const { claims } = this.chat;
    const section = find(this.root, ".token");
    section.hidden = !claims;
    if (!claims) return;
    const left = secondsLeft(claims);
    find(section, "meter").value = left;
    show(
      find(section, ".left span"),
      left ? `${left} s left` : "Expired. The next request to Stream asks for a new one.",
    );
    const time = (/** @type {number} */ seconds) => `${seconds} (${clock(seconds)})`;
    const rows = { user_id: claims.user_id, iat: time(claims.iat), exp: time(claims.exp) };
    show(
      find(section, ".claims"),
      ...Object.entries(rows).map(([name, value]) =>
        element("div", {}, element("dt", {}, name), element("dd", {}, value))),
    );
  }

  #renderChat() {
    const { channel, userId } = this.chat;
    const messages = find(this.root, ".messages");
    const isAtEnd = messages.scrollTop + messages.clientHeight >= messages.scrollHeight - 5;
    const last = channel.state.messages.at(-1);
    show(
      messages,
      ...channel.state.messages.map((/** @type {any} */ message) => {
        const whose = message.user.id === userId ? "own" : "other";
        const item = element("li", { class: whose }, element("b", {}, message.user.id), ` ${message.text}`);
        const readers = message === last && whose === "own" ? readersOf(channel, message) : [];
        if (readers.length) item.append(element("small", {}, `Read by ${readers.join(", ")}`));
        return item;
      }),
    );
    if (isAtEnd) messages.scrollTop = messages.scrollHeight; // also when a line below the last one appears
    const typing = Object.keys(channel.state.typing).filter((id) => id !== userId);
    show(find(this.root, ".typing"), typing.length ? `${typing.join(", ")} is typing …` : "");
  }
}

/**
 * Return the IDs of the other users who have read a message.
 *
 * @param {any} channel
 * @param {any} message
 * @returns {string[]}
 */
function readersOf(channel, message) {
  return Object.values(channel.state.read)
    .filter(({ user, last_read }) => user.id !== message.user.id && last_read >= message.created_at)
    .map(({ user }) => user.id);
}
