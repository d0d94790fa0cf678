// Doubles of the browser SDKs of identity providers, which fail once, as a test names it, and the
// credential sources of `clients/js` that use them. What the SDKs do is in their own source code.
import {
  auth0Credential, clerkCredential, cognitoCredential, firebaseCredential, supabaseCredential,
} from "../../../clients/js/index.js";

const failWith = (facts) => Object.assign(new Error("of the SDK"), facts);

/** Return what a test's failure means, the first time; later `undefined`. */
function once(failure) {
  return () => {
    const first = failure;
    failure = undefined;
    return first;
  };
}

/** `currentUser` is null until the state is ready, and after a disabled or expired user. */
function firebase(failure) {
  const fails = once(failure);
  const user = {
    async getIdToken(refresh) {
      const code = fails();
      if (["auth/user-disabled", "auth/user-token-expired"].includes(code)) auth.currentUser = null;
      if (code) throw failWith({ code });
      return refresh ? "fresh" : "credential";
    },
  };
  const auth = {
    currentUser: null,
    async authStateReady() {
      if (failure !== "nobody") auth.currentUser ??= this.wasRead ? null : user;
      this.wasRead = true;
    },
  };
  return auth;
}

/** A failed request is an `Error` without `error`; the others have the code of OAuth. */
const auth0 = (failure) => {
  const fails = once(failure);
  return async ({ cacheMode, authorizationParams }) => {
    const error = fails();
    if (error) throw failWith(error === "Failed to fetch" ? {} : { error });
    if (authorizationParams?.audience !== "api") throw failWith({ error: "no audience" });
    return cacheMode === "off" ? "fresh" : "credential";
  };
};

/** It returns errors. After one that a retry does not change it has removed the session. */
function supabase(failure) {
  const fails = once(failure);
  let session = failure === "nobody" ? null : { access_token: "credential" };
  async function read(token) {
    const fault = failure === "nobody" ? undefined : fails();
    if (fault) {
      const [name, status] = fault;
      if (name !== "AuthRetryableFetchError") session = null;
      return { data: { session: null }, error: failWith({ name, status }) };
    }
    return { data: { session: session && { access_token: token } }, error: null };
  }
  return { auth: { getSession: () => read("credential"), refreshSession: () => read("fresh") } };
}

/** `session` is undefined while Clerk loads, and null if no user is signed in. */
function clerk(failure) {
  const fails = once(failure);
  const session = {
    async getToken({ skipCache }) {
      const fault = fails();
      if (fault === "ended") clerk.session = null;
      if (fault === "ended" || fault === "empty") return null;
      if (fault) throw failWith(fault);
      return skipCache ? "fresh" : "credential";
    },
  };
  const clerk = { session };
  if (failure === "nobody") clerk.session = null;
  if (failure === "loading") {
    fails();
    let reads = 0;
    Object.defineProperty(clerk, "session", { get: () => (reads++ < 3 ? undefined : session) });
  }
  return clerk;
}

/** A user who is not authorized, or who is not signed in, has no tokens; other failures are errors. */
const cognito = (failure) => {
  const fails = once(failure);
  return async ({ forceRefresh }) => {
    const name = fails();
    if (name === "nobody") return {};
    if (name) throw failWith({ name });
    return { tokens: { accessToken: { toString: () => (forceRefresh ? "fresh" : "credential") } } };
  };
};

export const sources = {
  firebase: (failure) => firebaseCredential(firebase(failure)),
  auth0: (failure) => auth0Credential(auth0(failure), { authorizationParams: { audience: "api" } }),
  supabase: (failure) => supabaseCredential(supabase(failure)),
  clerk: (failure) => clerkCredential(clerk(failure)),
  cognito: (failure) => cognitoCredential(cognito(failure)),
};
