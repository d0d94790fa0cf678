// Sign-in with the service's built-in accounts.
import { notNow, retry, send, ServiceError, signedOut, withTimeLimit } from "./requests.js";

const RENEW_EARLY = 30000; // milliseconds before an access token expires
const MOST_ENDING = 10; // sessions that a later start ends; more are forgotten, the oldest first

/**
 * @param {import("./index.js").SessionOptions} options
 * @returns {import("./index.js").Session}
 */
export function makeSession({
  url, clientId = "app", storage = memoryStorage(), ending = memoryStorage(), onSignedOut, timeLimit = 5000, giveUpAfter = 60000,
}) {
  /** @type {{ token: string, renewAt: number } | undefined} */
  let access;
  /** @type {Promise<string> | undefined} */
  let pending;
  /** @type {ServiceError | undefined} Why the session has ended. */
  let ended;
  let number = 0; // of the session: a refresh that ends after a sign-out or another sign-in is dropped

  /** @type {string | null | undefined} The refresh token that this tab read or stored last. */
  let known;

  /** @param {any} grant */
  async function store(grant) {
    known = grant.refresh_token;
    await storage.set(grant.refresh_token);
  }

  /** @param {any} grant */
  function check(grant) {
    if (typeof grant.refresh_token === "string") return grant;
    throw notNow(`Another server has responded for ${url}.`);
  }

  /** @param {any} grant */
  function use(grant) {
    access = { token: grant.access_token, renewAt: Date.now() + grant.expires_in * 1000 - RENEW_EARLY };
  }

  /** @param {ServiceError} reason */
  function end(reason) {
    number++;
    access = pending = undefined;
    ended = reason;
  }

  /**
   * @param {string} path
   * @param {object} body
   */
  function post(path, body) {
    const headers = { "Content-Type": "application/json" };
    const request = { method: "POST", headers, body: JSON.stringify(body) };
    return withTimeLimit(timeLimit, (signal) => send(url + path, { ...request, signal }));
  }

  /**
   * @param {string} path
   * @param {Record<string, string>} fields
   * @param {{ mayBeEmpty?: boolean }} [response]
   */
  function postForm(path, fields, response) {
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    const body = Object.entries({ ...fields, client_id: clientId })
      .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
      .join("&");
    return retry(
      (_, signal) => send(url + path, { method: "POST", headers, body, signal }, response),
      { timeLimit, giveUpAfter },
    );
  }

  /** @returns {Promise<string>} */
  async function refreshSession() {
    const started = number;
    const refreshToken = (known = await storage.get()); // another tab may have replaced it
    if (!refreshToken) throw signedOut();
    const fields = { grant_type: "refresh_token", refresh_token: refreshToken };
    try {
      const grant = check(await postForm("/oauth/token", fields));
      if (number !== started) return getCredential();
      await store(grant); // first: if it fails, the next call refreshes once more
      use(grant);
      return grant.access_token;
    } catch (error) {
      if (number !== started) return getCredential();
      if (error instanceof ServiceError && error.kind === "sign_in_again") await forget(error);
      throw error;
    }
  }

  async function getCredential(refresh = false) {
    if (ended) throw ended;
    if (access && !refresh && Date.now() < access.renewAt) return access.token;
    if (!pending) {
      const mine = (pending = refreshSession().finally(() => {
        if (pending === mine) pending = undefined;
      }));
    }
    return pending;
  }

  /** @param {ServiceError} error */
  async function forget(error) {
    if (ended) return;
    end(error);
    onSignedOut?.(error);
    // In another tab a user may have signed in since.
    if ((await storage.get()) === known) await storage.set(null);
  }

  /** @type {Promise<unknown>} The last change of `ending`: one at a time, as both its methods may wait. */
  let changing = Promise.resolve();

  /** @param {(tokens: string[]) => string[]} change */
  function changeEnding(change) {
    const changed = changing.then(async () => {
      const tokens = change(await readEnding()).slice(-MOST_ENDING);
      await ending.set(tokens.join(" ") || null);
    });
    changing = changed.catch(() => {});
    return changed;
  }

  async function readEnding() {
    return ((await ending.get()) ?? "").split(" ").filter(Boolean);
  }

  async function finishSignOut() {
    for (const token of await readEnding()) {
      await postForm("/oauth/revoke", { token }, { mayBeEmpty: true });
      await changeEnding((tokens) => tokens.filter((other) => other !== token));
    }
  }

  return {
    getCredential,
    forget,
    finishSignOut,

    async signUp({ userId, password, user, invitation }) {
      return post("/v1/accounts", { user_id: userId, password, user, invitation });
    },

    async signIn({ userId, password }) {
      const grant = check(await post("/v1/sessions", { user_id: userId, password, client_id: clientId }));
      end(signedOut());
      ended = undefined;
      use(grant); // first, so that no refresh uses the session of the previous user
      await store(grant);
    },

    async signOut() {
      const refreshToken = await storage.get();
      end(signedOut());
      try {
        if (refreshToken) await changeEnding((tokens) => [...tokens, refreshToken]);
      } finally {
        await storage.set(null);
      }
      await finishSignOut();
    },
  };
}

/** @returns {import("./index.js").SessionStorage} */
function memoryStorage() {
  /** @type {string | null} */
  let stored = null;
  return { get: () => stored, set: (token) => void (stored = token) };
}
