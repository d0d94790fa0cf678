// The claims of a Stream token, to show them. Only Stream and the service verify a token.

/**
 * @param {string} token
 * @returns {{ user_id: string, iat: number, exp: number }}
 */
export function readClaims(token) {
  const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(payload));
}

/**
 * Return the seconds until a token expires, 0 if it has.
 *
 * @param {{ exp: number }} claims
 */
export function secondsLeft({ exp }) {
  return Math.max(0, Math.ceil(exp - Date.now() / 1000));
}
