/**
 * A token provider for Stream Chat that asks your tokensvc. Copy this file into your app.
 *
 *   const tokenProvider = makeTokenProvider({
 *     url: "https://tokens.example.com/v1/token",
 *     getCredential: (refresh) => firebaseUser.getIdToken(refresh),
 *     apiKey: STREAM_API_KEY,
 *     onSignedOut: () => showSignIn(),
 *   });
 *   await chatClient.connectUser({ id, name }, tokenProvider);
 *
 * Stream's client waits for a provider without end, asks several times at once, and stays broken
 * once a provider has failed. So this one limits each attempt, asks once for all who wait, and
 * tries again by itself. Make one at each sign-in: after onSignedOut it asks no more.
 *
 * url            of /v1/token, or of your own backend's route (see express/, django/)
 * getCredential  gives the token of your identity provider; `refresh`: the last one was refused.
 *                Leave it out if a cookie tells your own backend who asks.
 * apiKey, user   what you give to StreamChat and to connectUser, to have them checked
 * onSignedOut    is called once, when the user must sign in again or is suspended
 * timeLimit, giveUpAfter   milliseconds: of one attempt; after which no further one begins
 */
export function makeTokenProvider({
  url, getCredential, apiKey, user, onSignedOut, timeLimit = 5000, giveUpAfter = 60000,
}) {
  let asking, signedOut;

  async function ask(refresh, signal) {
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
    const reason = new Error(body.detail ?? "the answer holds no token");
    const retryAfter = Number(response.headers.get("Retry-After")) * 1000 || 0;
    throw Object.assign(reason, { code: body.code, status: response.status, retryAfter });
  }

  async function askUntilAnswered() {
    const end = Date.now() + giveUpAfter;
    for (let attempt = 0, refresh = false; ; attempt++) {
      try {
        const signal = AbortSignal.timeout(timeLimit);
        return await Promise.race([ask(refresh, signal), rejectedBy(signal)]);
      } catch (error) {
        if (error.code === "sign_in_required" || error.code === "user_suspended") {
          signedOut = error;
          onSignedOut?.(error);
          throw error;
        }
        const refused = error.status === 401 && getCredential && !refresh;
        const passing = !(error.status < 500) || error.status === 429; // no status: the network
        const backOff = Math.min(250 * 2 ** attempt, 8000) * (0.5 + Math.random());
        const pause = refused ? 0 : (error.retryAfter ?? 0) + backOff;
        if (!(refused || passing) || Date.now() + pause > end) throw error;
        refresh = refused;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  return async function tokenProvider() {
    if (signedOut) throw signedOut;
    return (asking ??= askUntilAnswered().finally(() => (asking = undefined)));
  };
}

function rejectedBy(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
