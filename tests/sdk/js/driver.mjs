// Drives the unmodified stream-chat SDK, and the provider of examples/, at a test's word.
//
// Reads one command a line, {"id", "do", "with"}, and writes one answer a line, {"id", "value"} or
// {"id", "error"}. Commands run side by side, so that a test can look while one waits.
import { createInterface } from "node:readline";
import { StreamChat } from "stream-chat";
import { makeTokenProvider } from "../../../examples/tokenProvider.js";

const seen = { events: [], refreshes: [], signedOut: [], unhandled: [], providerCalls: 0 };
const listeners = new Set();
let client, provider;

const commands = {
  /** The provider of examples/; credentials one after the other, the last for ever, null hangs. */
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

  /** A provider that hands out what it is told: a token, null for never, or an error to throw. */
  makeSimpleProvider({ answers }) {
    provider = () => {
      seen.providerCalls++;
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer === null) return new Promise(() => {});
      return answer.throw ? Promise.reject(new Error(answer.throw)) : Promise.resolve(answer);
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
    return (await Promise.all(queries)).map((answer) => answer.users.map((user) => user.id));
  },

  /** Resolve once `count` events of a type have come since the client was made. */
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

// The SDK leaves the rejection of a provider that failed while reconnecting to nobody.
process.on("unhandledRejection", (error) => seen.unhandled.push(String(error?.message ?? error)));

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, with: parameters } = JSON.parse(line);
  Promise.resolve(parameters)
    .then((given) => commands[name](given))
    .then(
      (value = null) => ({ id, value }),
      (error) => ({ id, error: { message: String(error?.message ?? error), code: error?.code } }),
    )
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
process.exit();
