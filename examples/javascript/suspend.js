/** @param {number} byte */
const escapeByte = (byte) =>
  String.fromCharCode(byte).replace(/[^a-z0-9@-]/, `_${byte.toString(16).padStart(2, "0")}`);
/** @param {string} subject */
const escapeId = (subject) => Array.from(new TextEncoder().encode(subject), escapeByte).join("");

/** @param {string} subject */
export async function suspend(subject) {
  const { TOKENSVC_URL, TOKENSVC_CLIENT_ID, TOKENSVC_CLIENT_SECRET } = process.env;
  const credential = btoa(`${TOKENSVC_CLIENT_ID}:${TOKENSVC_CLIENT_SECRET}`);
  const url = `${TOKENSVC_URL}/v1/users/${encodeURIComponent(escapeId(subject))}/suspension`;
  const response = await fetch(url, { method: "PUT", headers: { Authorization: `Basic ${credential}` } });
  if (!response.ok) throw new Error(`suspension: ${response.status}`); // let the hook repeat it
}
