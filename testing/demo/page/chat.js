// One person's app: the session, the token provider of `clients/js`, and Stream's SDK.
import { StreamChat } from "stream-chat";
import { getMe, makeSession, makeTokenProvider, ServiceError, watchAccess } from "tokensvc-client";
import { explain, explainWait } from "./failure.js";
import { observe } from "./observe.js";
import { readClaims, secondsLeft } from "./token.js";

const ROOM = "lobby";

/**
 * @typedef {"signed-out" | "connecting" | "connected" | "reconnecting" | "disconnected"} Phase
 * @typedef {{ service: string, stream: string, without_websocket: string, token_seconds: number }} Scene
 * @typedef {{ typing: boolean, reads: boolean, blocked: boolean }} Settings
 */

export class Chat {
  /** @type {Phase} */
  phase = "signed-out";
  /** @type {"websocket" | "longpoll"} */
  transport = "websocket";
  userId = "";
  apiKey = "";
  token = "";
  /** @type {import("./failure.js").Explained | undefined} */
  failure;
  /** Last result of the provider or of the service, in words. */
  lastCall = "";
  /** @type {Settings} */
  settings = { typing: true, reads: true, blocked: false };
  /** @type {any} */
  channel;

  #calls = 0;
  #waits = 0; // attempts that the provider repeats after a pause
  /** @type {StreamChat | undefined} */
  #client;
  #session;

  /**
   * @param {Scene} scene
   * @param {{ onChange: () => void, onCall: (state: "good" | "wait" | "bad", text: string) => void }} view
   */
  constructor(scene, view) {
    this.scene = scene;
    this.view = view;
    this.#session = makeSession({
      url: scene.service,
      onSignedOut: (error) => void this.#endedByService(error),
    });
  }

  get claims() {
    return this.token ? readClaims(this.token) : undefined;
  }

  /** @param {{ userId: string, password: string }} account */
  signUp(account) {
    return this.#run(async () => {
      await this.#session.signUp(account);
      await this.#signIn(account);
    });
  }

  /** @param {{ userId: string, password: string }} account */
  signIn(account) {
    return this.#run(() => this.#signIn(account));
  }

  /** Connect again: with the service's active key and the current settings. */
  reconnect() {
    return this.#run(async () => {
      await this.#leave("connecting");
      await this.#connect();
    });
  }

  /**
   * Use other settings: connect again, or as soon as the connection that is being made exists.
   *
   * @param {Settings} settings
   */
  choose(settings) {
    this.settings = settings;
    if (this.phase === "connected" || this.phase === "reconnecting") void this.reconnect();
  }

  disconnect() {
    return this.#run(() => this.#leave("disconnected"));
  }

  signOut() {
    return this.#run(async () => {
      await this.#leave("signed-out");
      await this.#session.signOut();
    });
  }

  /** @param {string} text */
  send(text) {
    return this.#run(() => this.channel.sendMessage({ text }));
  }

  /** Tell the others that the user types. */
  keystroke() {
    this.channel?.keystroke().catch(() => {}); // the next message shows the failure
  }

  /** Make the SDK ask the provider for a token, as it does when the last one has expired. */
  ask() {
    return this.#run(async () => this.#client?.tokenManager.loadToken());
  }

  /** Ask until the service once says to wait. */
  flood() {
    return this.#run(async () => {
      const waits = this.#waits;
      for (let number = 0; number < 100 && waits === this.#waits; number++) {
        await this.#client?.tokenManager.loadToken();
      }
    });
  }

  /** @param {{ userId: string, password: string }} account */
  async #signIn(account) {
    await this.#session.signIn(account);
    this.userId = account.userId;
    await this.#connect();
  }

  async #connect() {
    this.#change({ phase: "connecting", transport: "websocket" });
    const { scene: { service }, settings } = this;
    const getCredential = async (/** @type {boolean} */ refresh) => {
      const credential = await this.#session.getCredential(refresh);
      observe(credential, (attempt) => this.#attempted(attempt));
      return credential;
    };
    const me = await getMe({ url: `${service}/v1/me`, getCredential });
    const apiKey = (this.apiKey = me.api_key ?? "");
    const user = {
      id: me.user_id,
      privacy_settings: {
        typing_indicators: { enabled: settings.typing },
        read_receipts: { enabled: settings.reads },
      },
    };
    const onSignedOut = this.#session.forget;
    const tokenProvider = makeTokenProvider({
      url: `${service}/v1/token`, getCredential, apiKey, user, onSignedOut,
    });
    const baseURL = settings.blocked ? this.scene.without_websocket : this.scene.stream;
    const client = (this.#client = new StreamChat(apiKey, { baseURL, enableWSFallback: true }));
    client.axiosInstance.interceptors.response.use(undefined, (error) => this.#refusedByStream(error));
    client.on((event) => void (client === this.#client && this.#received(event)));
    watchAccess(client, { url: `${service}/v1/me`, getCredential, onSignedOut });
    await client.connectUser(user, () => this.#call(tokenProvider));
    const channel = client.channel("livestream", ROOM);
    await channel.watch();
    await channel.markRead();
    if (client !== this.#client) return;
    this.#change({ phase: "connected", channel });
    if (settings !== this.settings) await this.reconnect();
  }

  /** @param {Phase} phase */
  async #leave(phase) {
    const client = this.#client;
    this.#client = this.channel = undefined;
    this.#change({ phase, token: "", failure: undefined });
    await client?.disconnectUser();
  }

  /** @param {any} error */
  async #endedByService(error) {
    const last = this.lastCall;
    await this.#leave("signed-out");
    this.#change({ failure: { ...explain(error), last } });
  }

  /**
   * Show why the SDK calls the provider next.
   *
   * @param {any} error of a request to Stream
   */
  #refusedByStream(error) {
    const { status, data } = error.response ?? {};
    const why = data?.code === 40 ? "the token has expired" : data?.message;
    if (data?.code) this.view.onCall("wait", `Stream refuses a request: ${status}, code ${data.code} (${why})`);
    return Promise.reject(error);
  }

  /**
   * Call the provider as the SDK does, and show the result.
   *
   * @param {() => Promise<string>} tokenProvider
   */
  async #call(tokenProvider) {
    const number = ++this.#calls;
    const report = (/** @type {"good" | "wait" | "bad"} */ state, /** @type {string} */ text) => {
      this.lastCall = text;
      this.view.onCall(state, `Call ${number}: ${text}`);
    };
    try {
      this.token = await tokenProvider();
      const seconds = secondsLeft(readClaims(this.token));
      report("good", `a token for ${seconds} s, signed with ${this.apiKey}`);
      this.#change({ failure: undefined });
      return this.token;
    } catch (/** @type {any} */ error) {
      const failure = explain(error);
      const state = failure.kind === "wrong" ? "bad" : "wait";
      report(state, `failed, ${error.kind ?? "error"}: ${error.code ?? error.message}`);
      this.#change({ failure });
      throw error;
    }
  }

  /** @param {import("./observe.js").Attempt} attempt */
  #attempted(attempt) {
    const { method, path, status, code, retryAfter } = attempt;
    if (status && status < 400) return;
    const wait = retryAfter ? `, retry after ${retryAfter} s` : "";
    this.lastCall = `${method} ${path}: ${status ?? "no response"} ${code ?? ""}${wait}`;
    this.view.onCall("wait", this.lastCall);
    if (status && status !== 429 && status < 500) return;
    this.#waits++;
    this.#change({ failure: explainWait(attempt) });
  }

  /** @param {any} event */
  #received(event) {
    if (event.type === "transport.changed") this.transport = event.mode;
    if (event.type === "connection.changed" && this.phase !== "connecting") {
      this.phase = event.online ? "connected" : "reconnecting";
    }
    // A user who was suspended cannot say that they have stopped.
    if (event.type === "user.watching.stop") delete this.channel?.state.typing[event.user.id];
    const isFromOther = event.type === "message.new" && event.user?.id !== this.userId;
    if (isFromOther) this.channel?.markRead().catch(() => {}); // a receipt may be lost
    this.view.onChange();
  }

  /**
   * Run an action, and show why it failed.
   *
   * @param {() => Promise<unknown>} action
   */
  async #run(action) {
    this.#change({ failure: undefined });
    try {
      await action();
      return true;
    } catch (/** @type {any} */ error) {
      if (error.kind === "sign_in_again") await this.#session.forget(error);
      // An error of the SDK after one of the provider, which is shown already, says less.
      const isExplained = this.failure && !(error instanceof ServiceError);
      if (!isExplained) this.#change({ failure: explain(error) });
      if (this.phase === "connecting") this.#change({ phase: "disconnected" });
      return false;
    }
  }

  /** @param {Partial<Chat>} members */
  #change(members) {
    Object.assign(this, members);
    this.view.onChange();
  }
}
