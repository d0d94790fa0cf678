// The credential of a user who is signed in with the SDK of an identity provider. An error that is not
// a `sign_in_again` is retried.
import { ServiceError, signedOut } from "./requests.js";

/**
 * @param {(refresh: boolean) => Promise<string>} read
 * @param {(error: any) => boolean} isSignedOut whether an error of the SDK says that the user must sign in again
 * @returns {import("./index.js").GetCredential}
 */
function makeSource(read, isSignedOut) {
  return async (refresh) => {
    try {
      return await read(refresh);
    } catch (error) {
      if (error instanceof ServiceError || !isSignedOut(error)) throw error;
      throw signedOut(/** @type {any} */ (error).message, error);
    }
  };
}

const FIREBASE = new Set([
  "auth/invalid-refresh-token", "auth/invalid-user-token", "auth/user-disabled", "auth/user-not-found",
  "auth/user-token-expired",
]);

/** @type {typeof import("./index.js").firebaseCredential} */
export function firebaseCredential(auth) {
  return makeSource(
    async (refresh) => {
      await auth.authStateReady?.(); // before, it has no user even if one is signed in
      if (!auth.currentUser) throw signedOut();
      return auth.currentUser.getIdToken(refresh);
    },
    (error) => FIREBASE.has(error.code),
  );
}

const AUTH0 = new Set([
  "access_denied", "consent_required", "interaction_required", "invalid_grant", "login_required",
  "mfa_required", "missing_refresh_token",
]);

/** @type {typeof import("./index.js").auth0Credential} */
export function auth0Credential(getTokenSilently, options) {
  return makeSource(
    (refresh) => getTokenSilently(/** @type {any} */ ({ ...options, cacheMode: refresh ? "off" : "on" })),
    (error) => AUTH0.has(error.error),
  );
}

/** @type {typeof import("./index.js").supabaseCredential} */
export function supabaseCredential({ auth }) {
  return makeSource(async (refresh) => {
    const { data, error } = await (refresh ? auth.refreshSession() : auth.getSession());
    if (data.session) return data.session.access_token;
    throw error ?? signedOut();
  }, isRefusal);
}

/** @type {typeof import("./index.js").clerkCredential} */
export function clerkCredential(clerk) {
  return makeSource(async (refresh) => {
    if (clerk.session === null) throw signedOut(); // `undefined`: Clerk is still loading
    const token = await clerk.session?.getToken({ skipCache: refresh });
    if (token) return token;
    throw clerk.session === null ? signedOut() : new Error("Clerk has no session token yet");
  }, isRefusal);
}

const COGNITO = new Set([
  "NotAuthorizedException", "PasswordResetRequiredException", "RefreshTokenReuseException",
  "TokenRevokedException", "UserNotConfirmedException", "UserNotFoundException",
]);

/** @type {typeof import("./index.js").cognitoCredential} */
export function cognitoCredential(fetchAuthSession) {
  return makeSource(
    async (refresh) => {
      const { tokens } = await fetchAuthSession({ forceRefresh: refresh });
      if (!tokens) throw signedOut();
      return tokens.accessToken.toString();
    },
    (error) => COGNITO.has(error.name),
  );
}

/** @param {{ status?: number }} error whose status is 0, 409, 429, 5xx, or none if the next try can succeed */
function isRefusal({ status = 0 }) {
  return status >= 400 && status < 500 && status !== 409 && status !== 429;
}
