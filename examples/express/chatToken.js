// Your Express backend as the token provider: its session identifies the user.
//
//   app.post("/chat-token", express.json(), chatToken);
//
// When you sign a user in, store userId and signedInAt (epoch seconds) in the session.
const { CHAT_URL, CHAT_CLIENT_ID, CHAT_CLIENT_SECRET } = process.env;
const basic = Buffer.from(`${CHAT_CLIENT_ID}:${CHAT_CLIENT_SECRET}`).toString("base64");

export async function chatToken(req, res) {
  const { userId, signedInAt } = req.session;
  if (!userId) return res.status(401).json({ code: "sign_in_required", detail: "Sign in first." });

  const identity = { user_id: userId, auth_time: signedInAt };
  const response = await fetch(CHAT_URL, {
    method: "POST",
    headers: { Authorization: `Basic ${basic}`, "Content-Type": "application/json" },
    body: JSON.stringify({ ...req.body, ...identity }), // the client may name its api_key
    signal: AbortSignal.timeout(4000),
  });
  const body = await response.json();
  if (/^(credentials|insufficient_scope)/.test(body.code)) {
    return res.status(502).json({}); // a fault between the backends, not of the user
  }
  for (const name of ["Cache-Control", "Retry-After"]) {
    if (response.headers.has(name)) res.set(name, response.headers.get(name));
  }
  res.status(response.status).json(body);
}
