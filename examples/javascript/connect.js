// begin connect
import { StreamChat } from "stream-chat";
import { getMe, makeTokenProvider, watchAccess } from "tokensvc-client";
// end connect

// begin connect
/** Connect the signed-in user, and return Stream's client. */
export async function connectChat({ service, getCredential, name, onSignedOut, options }) {
  const me = await getMe({ url: `${service}/v1/me`, getCredential }).catch((error) => {
    if (error.kind === "sign_in_again") onSignedOut(error); // suspended, or signed out everywhere
    throw error;
  });
  const user = {
    id: me.user_id,
    name,
    privacy_settings: { typing_indicators: { enabled: true }, read_receipts: { enabled: false } },
  };
  const client = new StreamChat(me.api_key, { enableWSFallback: true, ...options });
  const tokenProvider = makeTokenProvider({
    url: `${service}/v1/token`, getCredential, apiKey: me.api_key, user, onSignedOut,
  });
  watchAccess(client, { url: `${service}/v1/me`, getCredential, onSignedOut });
  await client.connectUser(user, tokenProvider);
  return client;
}
// end connect

// begin switch
/** Disconnect. Before, unregister this device: without a user, the SDK cannot end its notifications. */
export async function leave(client, deviceId) {
  if (deviceId) await client.removeDevice(deviceId).catch(console.warn);
  await client.disconnectUser();
}

/** Disconnect the user, and connect the one who has signed in since. */
export async function switchUser(client, nextUser, deviceId) {
  await leave(client, deviceId);
  return connectChat(nextUser);
}
// end switch

// begin development
/** Connect without the service. Only an app with "Disable Auth Checks" accepts this token. */
export async function connectForDevelopment(apiKey, userId, options) {
  const client = new StreamChat(apiKey, options);
  await client.connectUser({ id: userId }, client.devToken(userId));
  return client;
}
// end development
