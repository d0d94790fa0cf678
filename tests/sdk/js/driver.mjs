// Controls the unmodified stream-chat SDK and the provider of examples/ for a test.
//
// Reads one command per line, {"id", "do", "with"}, and writes one result per line, {"id", "value"} or
// {"id", "error"}. Commands run concurrently, so that a test can act while one waits.
import { createInterface } from "node:readline";
import { StreamChat } from "stream-chat";
import { makeTokenProvider } from "../../../examples/tokenProvider.js";

const seen = { events: [], refreshes: [], signedOut: [], unhandled: [], providerCalls: 0 };
const listeners = new Set();
let client, provider;

const commands = {
  /** The provider of examples/. It uses the credentials in order and repeats the last; null hangs. */
  makeProvider({ credentials = [], ...options }) {
    const ask = makeTokenProvider({
      ...options,
      ...(credentials.length && {
        getCredential: async (refresh) => {
          seen.refreshes.push(refresh);
          const credential = credentials.length > 1 ? credentials.shift() : credentials[0];
          return credential ?? new Promise(() => {});
        },
      }),
      onSignedOut: (problem) => seen.signedOut.push(problem.code),
    });
    provider = () => (seen.providerCalls++, ask());
  },

  /** A provider with given results: a token, null for no result, or an error to throw. */
  makeSimpleProvider({ results }) {
    provider = () => {
      seen.providerCalls++;
      const result = results.length > 1 ? results.shift() : results[0];
      if (result === null) return new Promise(() => {});
      return result.throw ? Promise.reject(new Error(result.throw)) : Promise.resolve(result);
    };
  },

  async callProvider({ times = 1 }) {
    return Promise.all(Array.from({ length: times }, () => provider()));
  },

  makeClient({ apiKey, baseURL, options }) {
    client = new StreamChat(apiKey, { allowServerSideConnect: true, ...options, baseURL });
    client.on((event) => {
      seen.events.push({ type: event.type, ...(event.mode && { mode: event.mode }) });
      for (const listener of listeners) listener();
    });
  },

  async connectUser({ user, token }) {
    return (await client.connectUser(user, token ?? provider)).me;
  },

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

  seen: () => seen,

  createTokens: ({ secret, claims }) =>
    claims.map(({ user_id, exp, iat }) =>
      new StreamChat("key", secret).createToken(user_id, exp, iat),
    ),
};

// The SDK does not handle the rejection of a provider that fails during a reconnection.
process.on("unhandledRejection", (error) => seen.unhandled.push(String(error?.message ?? error)));

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, with: parameters } = JSON.parse(line);
  Promise.resolve(parameters)
    .then((given) => commands[name](given))
    .then(
      (value = null) => ({ id, value }),
      (error) => ({ id, error: { message: String(error?.message ?? error), code: error?.code } }),
    )
    .then((result) => process.stdout.write(`${JSON.stringify(result)}\n`));
}
process.exit();
