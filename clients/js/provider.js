// What an app sends with the credential of its signed-in user.
import { notNow, retry, send, ServiceError } from "./requests.js";

const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/**
 * @param {import("./index.js").TokenProviderOptions} options
 * @returns {import("./index.js").TokenProvider}
 */
export function makeTokenProvider({
  url, getCredential, apiKey, user, onSignedOut, signal, timeLimit = 5000, giveUpAfter = 60000,
}) {
  if (typeof url !== "string") throw new TypeError("`url` is missing: the URL of /v1/token");
  /** @type {Promise<string> | undefined} */
  let pending;
  /** @type {ServiceError | undefined} */
  let signedOut;
  let limit = giveUpAfter; // until the first token: later the SDK would keep the rejection

  /** @type {(refresh: boolean, signal: AbortSignal) => Promise<string>} */
  async function requestToken(refresh, signal) {
    const headers = { "Content-Type": "application/json", ...(await authorize(getCredential, refresh)) };
    const body = JSON.stringify({ api_key: apiKey, user });
    const { token } = await send(url, { method: "POST", headers, body, signal });
    if (typeof token === "string" && TOKEN.test(token)) return token;
    throw new ServiceError("the response contains no token", { kind: "refused", status: 200 });
  }

  async function request() {
    try {
      const canRefresh = Boolean(getCredential);
      const token = await retry(requestToken, { timeLimit, giveUpAfter: limit, canRefresh, signal });
      limit = Infinity;
      return token;
    } catch (error) {
      if (error instanceof ServiceError && error.kind === "sign_in_again" && !signal?.aborted) {
        signedOut = error;
        onSignedOut?.(error);
      }
      throw error;
    } finally {
      pending = undefined;
    }
  }

  return async function tokenProvider() {
    if (signedOut) throw signedOut;
    if (signal?.aborted) throw new ServiceError("The user has left.", {});
    pending = pending ?? request();
    return pending;
  };
}

/**
 * @param {import("./index.js").MeOptions} options
 * @returns {Promise<import("./index.js").Me>}
 */
export async function getMe({ stored, onChanged, ...question }) {
  const known = await stored?.get();
  if (!known) {
    const me = await askMe(question);
    await stored?.set(me);
    return me;
  }
  askMe(question).then(
    async (me) => {
      if (me.user_id === known.user_id && me.api_key === known.api_key) return;
      await stored?.set(me);
      onChanged?.(me);
    },
    () => {}, // the provider meets the same refusal, and without a response nothing changes
  );
  return known;
}

/**
 * @param {Omit<import("./index.js").MeOptions, "stored" | "onChanged">} question
 * @returns {Promise<import("./index.js").Me>}
 */
function askMe({ url, getCredential, timeLimit = 5000, giveUpAfter = 60000 }) {
  return retry(
    async (refresh, signal) => {
      const headers = await authorize(getCredential, refresh);
      const me = await send(url, { method: "GET", headers, signal });
      if (me.api_key === null) throw notNow("No Stream key is active at the service.");
      if (typeof me.user_id === "string" && typeof me.api_key === "string") return me;
      throw notNow(`Another server has responded for ${url}.`);
    },
    { timeLimit, giveUpAfter, canRefresh: true },
  );
}

/**
 * @param {import("./index.js").ChatConnection} client
 * @param {import("./index.js").WatchOptions} options
 * @returns {() => void}
 */
export function watchAccess(client, { onSignedOut, ...question }) {
  /** @param {{ cid?: string }} event */
  async function check({ cid }) {
    if (cid) return; // another user can send this one, in a channel
    const userId = client.userID;
    try {
      await getMe(question);
    } catch (error) {
      const isRefusal = error instanceof ServiceError && error.kind === "sign_in_again";
      if (!isRefusal || client.userID !== userId) return; // or the user has left meanwhile
      subscription.unsubscribe();
      const left = client.disconnectUser();
      onSignedOut?.(error);
      await left;
    }
  }

  const subscription = client.on("tokensvc_check", check);
  return () => subscription.unsubscribe();
}

/**
 * An error of the credential's source is one of the network, unless it says what it is.
 *
 * @param {import("./index.js").GetCredential | undefined} getCredential
 * @param {boolean} refresh
 * @returns {Promise<Record<string, string>>}
 */
async function authorize(getCredential, refresh) {
  try {
    const credential = await getCredential?.(refresh);
    return credential ? { Authorization: `Bearer ${credential}` } : {};
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    throw new ServiceError(`no credential: ${error}`, { kind: "try_later", cause: error });
  }
}
