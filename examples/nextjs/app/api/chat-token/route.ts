// Your Next.js app as the token provider, POST /api/chat-token: its own session identifies the user.
import { readSession } from "../../../session";

const OF_THE_USER = ["sign_in_required", "user_suspended", "user_erased", "rate_limited"];

export async function POST(request: Request): Promise<Response> {
  const session = await readSession();
  if (!session) return refuse(401, "sign_in_required", "Sign in first.");
  const asked: unknown = await request.json().catch(() => null);
  if (!isObject(asked)) return refuse(400, "malformed_request", "The body is not a JSON object.");
  const { CHAT_URL = "", CHAT_CLIENT_ID, CHAT_CLIENT_SECRET } = process.env;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(CHAT_URL, {
      method: "POST",
      headers: {
        Authorization: `Basic ${btoa(`${CHAT_CLIENT_ID}:${CHAT_CLIENT_SECRET}`)}`,
        "Content-Type": "application/json",
      },
      // The client may name its api_key, not the user.
      body: JSON.stringify({ ...asked, user_id: session.userId, auth_time: session.signedInAt }),
      cache: "no-store",
      signal: AbortSignal.timeout(4000),
    });
    body = await response.json();
    if (!isObject(body)) throw new Error("no JSON object");
  } catch (error) {
    console.error("No response from the token service:", error instanceof Error ? error.message : error);
    return refuse(503, "temporarily_unavailable", "The token service does not respond.", { "Retry-After": "2" });
  }
  const code = String(body.code);
  const isRefused = response.status >= 400 && response.status < 500;
  if (isRefused && !OF_THE_USER.includes(code)) {
    console.error("The token service refuses the request:", code, body.detail);
  }
  if (/^(credentials|insufficient_scope)/.test(code)) { // of this backend
    return refuse(502, "backend_refused", `The token service refuses this backend: ${code}.`);
  }
  const retryAfter = response.headers.get("Retry-After");
  return respond(response.status, body, retryAfter ? { "Retry-After": retryAfter } : {});
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const refuse = (status: number, code: string, detail: string, headers = {}) =>
  respond(status, { code, detail }, headers);

const respond = (status: number, body: object, headers: Record<string, string>) =>
  Response.json(body, { status, headers: { "Cache-Control": "no-store", ...headers } });
