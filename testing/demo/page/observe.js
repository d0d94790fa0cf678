// Watches the requests of the unchanged token provider, so that the page can show each attempt.

/**
 * @typedef {{ method: string, path: string, status?: number, code?: string, retryAfter?: number }} Attempt
 * `status` is missing without a response.
 */

/** @type {Map<string, (attempt: Attempt) => void>} */
const observers = new Map();
const send = globalThis.fetch;

/**
 * Call `observer` after each request with this credential.
 *
 * @param {string} credential
 * @param {(attempt: Attempt) => void} observer
 */
export function observe(credential, observer) {
  observers.set(`Bearer ${credential}`, observer);
}

globalThis.fetch = async function observedFetch(url, request = {}) {
  const headers = /** @type {Record<string, string>} */ (request.headers ?? {});
  const observer = observers.get(headers.Authorization);
  if (!observer) return send(url, request);
  const attempt = { method: request.method ?? "GET", path: new URL(String(url)).pathname };
  try {
    const response = await send(url, request);
    const problem = response.ok ? {} : await response.clone().json().catch(() => ({}));
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    observer({ ...attempt, status: response.status, code: problem.code, retryAfter });
    return response;
  } catch (error) {
    observer(attempt);
    throw error;
  }
};
