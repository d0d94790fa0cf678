// Your Express backend as the token provider of its own users: its session says who asks.
//
//   app.post("/chat-token", express.json(), chatToken);
//
// Where you sign a user in, keep both in the session: userId, and signedInAt in epoch seconds.
const { CHAT_URL, CHAT_CLIENT_ID, CHAT_CLIENT_SECRET } = process.env;
const basic = Buffer.from(`${CHAT_CLIENT_ID}:${CHAT_CLIENT_SECRET}`).toString("base64");

export async function chatToken(req, res) {
  const { userId, signedInAt } = req.session;
  if (!userId) return res.status(401).json({ code: "sign_in_required", detail: "Sign in first." });

  const who = { user_id: userId, auth_time: signedInAt };
  const answer = await fetch(CHAT_URL, {
    method: "POST",
    headers: { Authorization: `Basic ${basic}`, "Content-Type": "application/json" },
    body: JSON.stringify({ ...req.body, ...who }), // the client may name its api_key
    signal: AbortSignal.timeout(4000),
  });
  const body = await answer.json();
  if (/^(credentials|insufficient_scope)/.test(body.code)) {
    return res.status(502).json({}); // wrong between the two backends, not with the user
  }
  for (const name of ["Cache-Control", "Retry-After"]) {
    if (answer.headers.has(name)) res.set(name, answer.headers.get(name));
  }
  res.status(answer.status).json(body);
}
