/**
 * A token provider for Stream Chat that calls your tokensvc. Copy this file into your app.
 *
 *   const tokenProvider = makeTokenProvider({
 *     url: "https://tokens.example.com/v1/token",
 *     getCredential: (refresh) => firebaseUser.getIdToken(refresh),
 *     apiKey: STREAM_API_KEY,
 *     onSignedOut: () => showSignIn(),
 *   });
 *   await chatClient.connectUser({ id, name }, tokenProvider);
 *
 * Stream's client waits for a provider without a limit, calls it several times at once, and does not
 * recover after a provider has failed. This provider limits each attempt in time, sends one request
 * for all callers, and retries. Create one at each sign-in: after onSignedOut it sends no request.
 *
 * url            URL of /v1/token, or of your own backend's route (see express/, django/)
 * getCredential  returns the token of your identity provider; `refresh` means that the last one was
 *                refused. Omit it if a cookie identifies the user at your own backend.
 * apiKey, user   what you pass to StreamChat and to connectUser; the service checks them
 * onSignedOut    called once, when the user must sign in again or is suspended
 * timeLimit      milliseconds for one attempt
 * giveUpAfter    milliseconds after which no further attempt starts
 */
export function makeTokenProvider({
  url, getCredential, apiKey, user, onSignedOut, timeLimit = 5000, giveUpAfter = 60000,
}) {
  let pending, signedOut;

  async function requestToken(refresh, signal) {
    const credential = await getCredential?.(refresh);
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        ...(credential && { Authorization: `Bearer ${credential}` }),
      },
      body: JSON.stringify({ api_key: apiKey, user }),
      signal,
    });
    const body = await response.json();
    const token = /^[\w-]+\.[\w-]+\.[\w-]+$/.exec(body.token)?.[0];
    if (response.ok && token) return token;
    const error = new Error(body.detail ?? "the response contains no token");
    const retryAfter = Number(response.headers.get("Retry-After")) * 1000 || 0;
    throw Object.assign(error, { code: body.code, status: response.status, retryAfter });
  }

  async function requestUntilDone() {
    const end = Date.now() + giveUpAfter;
    for (let attempt = 0, refresh = false; ; attempt++) {
      try {
        const signal = AbortSignal.timeout(timeLimit);
        return await Promise.race([requestToken(refresh, signal), rejectedBy(signal)]);
      } catch (error) {
        if (error.code === "sign_in_required" || error.code === "user_suspended") {
          signedOut = error;
          onSignedOut?.(error);
          throw error;
        }
        const refused = error.status === 401 && getCredential && !refresh;
        const isTemporary = !(error.status < 500) || error.status === 429; // without a status: network error
        const backOff = Math.min(250 * 2 ** attempt, 8000) * (0.5 + Math.random());
        const pause = refused ? 0 : (error.retryAfter ?? 0) + backOff;
        if (!(refused || isTemporary) || Date.now() + pause > end) throw error;
        refresh = refused;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  return async function tokenProvider() {
    if (signedOut) throw signedOut;
    return (pending ??= requestUntilDone().finally(() => (pending = undefined)));
  };
}

function rejectedBy(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
