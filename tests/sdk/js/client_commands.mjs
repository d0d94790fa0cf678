// Commands for the package of clients/js.
import { getMe, makeSession, makeTokenProvider } from "../../../clients/js/index.js";
import { sources } from "./identity_sdks.mjs";
import { passTime, startClock, stopClock } from "./manual_clock.mjs";

export const seen = {
  events: [], refreshes: [], signedOut: [], left: [], sessionEnds: [], stored: [], credentials: [], unhandled: [], providerCalls: 0,
  ending: null,
};
let provider, session, stored, leaving;

/** Return the credentials in order, and repeat the last. `null` hangs; `{throw}` is an error's message or code. */
function credentialsInOrder(credentials) {
  return async (refresh) => {
    seen.refreshes.push(refresh);
    const credential = credentials.length > 1 ? credentials.shift() : credentials[0];
    if (credential?.throw) throw Object.assign(new Error(credential.throw), { code: credential.throw });
    return credential ?? new Promise(() => {});
  };
}

export const getProvider = () => provider;

export const clientCommands = {
  makeProvider({ credentials = [], ofSession, source, failure, ...options }) {
    leaving = new AbortController();
    const ask = makeTokenProvider({
      ...options,
      signal: leaving.signal,
      ...(credentials.length && { getCredential: credentialsInOrder(credentials) }),
      ...(ofSession && { getCredential: session.getCredential }),
      ...(source && { getCredential: sources[source](failure) }),
      onSignedOut: (error) => {
        seen.signedOut.push(error.code);
        return ofSession && session.forget(error);
      },
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

  leave: () => leaving.abort(),

  getMe: ({ credentials, ...options }) =>
    getMe({ ...options, getCredential: credentialsInOrder(credentials) }),

  makeSession({ refreshToken = null, asksWhileStoring = false, signsOutAtRead, ...options }) {
    stored = refreshToken;
    let reads = 0;
    session = makeSession({
      ...options,
      storage: {
        get: async () => stored,
        async set(token) {
          if (asksWhileStoring) seen.credentials.push(await session.getCredential());
          seen.stored.push((stored = token));
        },
      },
      ending: {
        async get() {
          const tokens = seen.ending;
          if (++reads === signsOutAtRead) session.signOut().catch(() => {});
          await new Promise(setImmediate);
          return tokens;
        },
        set: (tokens) => void (seen.ending = tokens),
      },
      onSignedOut: (error) => seen.sessionEnds.push(error.code),
    });
  },

  signUp: (account) => session.signUp(account),
  signIn: (credentials) => session.signIn(credentials),
  signOut: () => session.signOut(),
  finishSignOut: () => session.finishSignOut(),
  forget: () => session.forget(new Error("refused")),
  storeInOtherTab: ({ token }) => void (stored = token),

  async getCredential({ times = 1, refresh }) {
    return Promise.all(Array.from({ length: times }, () => session.getCredential(refresh)));
  },

  stopClock,
  passTime: ({ time }) => passTime(time),
  startClock,

  seen: () => seen,

  forgetSeen() {
    for (const [name, value] of Object.entries(seen)) seen[name] = Array.isArray(value) ? [] : 0;
  },
};

// The SDK does not handle the rejection of a provider that fails during a reconnection.
process.on("unhandledRejection", (error) => seen.unhandled.push(String(error?.message ?? error)));
