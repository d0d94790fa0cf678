// Stream's client of a signed-in user, connected.
import { StreamChat } from "stream-chat";
import { getMe, makeTokenProvider, watchAccess } from "./provider.js";
import { ServiceError } from "./requests.js";

/** @type {WeakMap<StreamChat, () => unknown>} What a client's end needs. */
const endings = new WeakMap();

/**
 * @param {import("./chat.js").ChatOptions} options
 * @returns {Promise<StreamChat>}
 */
export async function connectChat({ service, getCredential, user, onSignedOut, stored, onChanged, options }) {
  const question = { url: `${service}/v1/me`, getCredential };
  const leaving = new AbortController();
  let isSignedOut = false;
  /** @param {import("./index.js").ServiceError} error */
  const signedOut = (error) => {
    if (isSignedOut || leaving.signal.aborted) return;
    isSignedOut = true;
    onSignedOut?.(error);
  };
  const me = await getMe({ ...question, stored, onChanged }).catch((error) => {
    if (error instanceof ServiceError && error.kind === "sign_in_again") signedOut(error);
    throw error;
  });
  const connecting = { ...user, id: me.user_id };
  const tokenProvider = makeTokenProvider({
    url: `${service}/v1/token`,
    getCredential,
    apiKey: me.api_key,
    user: connecting,
    onSignedOut: signedOut,
    signal: leaving.signal,
  });
  const client = new StreamChat(me.api_key, { enableWSFallback: true, ...options });
  endings.set(client, () => (leaving.abort(), stored?.set(null)));
  watchAccess(client, { ...question, onSignedOut: signedOut });
  await client.connectUser(connecting, tokenProvider);
  return client;
}

/**
 * @param {StreamChat} client
 * @param {string} [deviceId]
 */
export async function leave(client, deviceId) {
  await endings.get(client)?.(); // first: without a token, Stream's client would wait for the provider
  if (deviceId) await client.removeDevice(deviceId).catch(console.warn);
  await client.disconnectUser();
}
