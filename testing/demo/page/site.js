// Requests to the demo's own server, which adds the operator's credential.

/**
 * Send a request. A failed one also returns its body.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<{ ok: boolean, status: number, body: any }>}
 */
export async function send(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  try {
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    return { ok: response.ok, status: response.status, body: await response.json() };
  } catch {
    return { ok: false, status: 0, body: { detail: "The demo has stopped. Run `make demo` again." } };
  }
}
