// Controls the unmodified stream-chat SDK and the package of clients/js for a test.
import { StreamChat } from "stream-chat";
import { watchAccess } from "../../../clients/js/index.js";
import { clientCommands, getProvider, seen } from "./client_commands.mjs";
import { serve } from "./command_server.mjs";

const listeners = new Set();
let client;

await serve({
  ...clientCommands,

  makeClient({ apiKey, baseURL, options }) {
    client = new StreamChat(apiKey, { allowServerSideConnect: true, ...options, baseURL });
    client.on((event) => {
      seen.events.push({ type: event.type, ...(event.mode && { mode: event.mode }) });
      for (const listener of listeners) listener();
    });
  },

  async connectUser({ user, token }) {
    return (await client.connectUser(user, token ?? getProvider())).me;
  },

  watchAccess({ credential, ...options }) {
    watchAccess(client, {
      ...options,
      getCredential: () => credential,
      onSignedOut: (error) => seen.left.push(error.code),
    });
  },

  async watchChannel({ id }) {
    await client.channel("livestream", id).watch();
  },

  sendEvent: ({ id, type }) => client.channel("livestream", id).sendEvent({ type }),

  userID: () => client.userID,

  disconnectUser: () => client.disconnectUser(),

  async queryUsers({ times = 1 }) {
    const queries = Array.from({ length: times }, () => client.queryUsers({}));
    return (await Promise.all(queries)).map((response) => response.users.map((user) => user.id));
  },

  /** Resolve as soon as `count` events of a type have arrived. */
  async eventsOf({ type, count }) {
    const ofType = () => seen.events.filter((event) => event.type === type);
    while (ofType().length < count) {
      await new Promise((resolve) => {
        const listener = () => (listeners.delete(listener), resolve());
        listeners.add(listener);
      });
    }
    return ofType();
  },

  createTokens: ({ secret, claims }) =>
    claims.map(({ user_id, exp, iat }) =>
      new StreamChat("key", secret).createToken(user_id, exp, iat),
    ),
});
