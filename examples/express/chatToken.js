// Your Express backend as the token provider: its session identifies the user.
//
//   app.post("/chat-token", express.json(), chatToken);
//
// When you sign a user in, store userId and signedInAt (epoch seconds) in the session.
const { CHAT_URL, CHAT_CLIENT_ID, CHAT_CLIENT_SECRET } = process.env;
const basic = Buffer.from(`${CHAT_CLIENT_ID}:${CHAT_CLIENT_SECRET}`).toString("base64");
const OF_THE_USER = ["sign_in_required", "user_suspended", "user_erased", "rate_limited"];

export const chatToken = [sendToken, refuseBadBody];

/** @type {import("express").RequestHandler} */
async function sendToken(req, res) {
  const { userId, signedInAt } = /** @type {any} */ (req).session;
  if (!userId) return refuse(res, 401, "sign_in_required", "Sign in first.");
  let response, body;
  try {
    response = await fetch(String(CHAT_URL), {
      method: "POST",
      headers: { Authorization: `Basic ${basic}`, "Content-Type": "application/json" },
      // The client may name its api_key, not the user.
      body: JSON.stringify({ ...req.body, user_id: userId, auth_time: signedInAt }),
      signal: AbortSignal.timeout(4000),
    });
    body = await response.json();
    if (typeof body !== "object" || !body || Array.isArray(body)) throw new Error("no JSON object");
  } catch (error) {
    const reason = /** @type {any} */ (error);
    console.error("No response from the token service:", (reason.cause ?? reason).message);
    res.set("Retry-After", "2");
    return refuse(res, 503, "temporarily_unavailable", "The token service does not respond.");
  }
  const isRefused = response.status >= 400 && response.status < 500;
  if (isRefused && !OF_THE_USER.includes(body.code)) {
    console.error("The token service refuses the request:", body.code, body.detail);
  }
  if (/^(credentials|insufficient_scope)/.test(body.code)) { // of this backend
    return refuse(res, 502, "backend_refused", `The token service refuses this backend: ${body.code}.`);
  }
  for (const name of ["Cache-Control", "Retry-After"]) {
    const value = response.headers.get(name);
    if (value) res.set(name, value);
  }
  res.status(response.status).json(body);
}

/** @type {import("express").ErrorRequestHandler} */
function refuseBadBody(error, req, res, next) {
  if (!error.status) return next(error);
  refuse(res, error.status, "malformed_request", error.status === 400 ? "The body is not JSON." : error.message);
}

/** @type {(res: import("express").Response, status: number, code: string, detail: string) => void} */
const refuse = (res, status, code, detail) => void res.status(status).json({ code, detail });
