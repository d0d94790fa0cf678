"use strict";
const find = (selector) => document.querySelector(selector);

/** Copy by selection where the page has no clipboard: a phone gets it by http. */
async function copy(block) {
  if (navigator.clipboard) return navigator.clipboard.writeText(block.textContent);
  getSelection().selectAllChildren(block);
  document.execCommand("copy");
}

for (const button of document.querySelectorAll(".copy button")) {
  button.addEventListener("click", async () => {
    await copy(button.previousElementSibling);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

async function post(path, body, credential) {
  const headers = { "Content-Type": "application/json" };
  if (credential) headers.Authorization = `Bearer ${credential}`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const content = await response.json();
  if (!response.ok) throw Object.assign(new Error(content.detail), { code: content.code });
  return content;
}

async function credentialOf({ credential, user_id: userId, password }) {
  if (credential) return credential.value.trim();
  const account = { user_id: userId.value, password: password.value };
  const signIn = () => post("/v1/sessions", account);
  const session = await signIn().catch(async (error) => {
    if (error.code !== "credentials_invalid") throw error;
    await post("/v1/accounts", account).catch((taken) => {
      throw taken.code === "user_id_taken" ? error : taken;
    });
    return signIn();
  });
  return session.access_token;
}

const decode = (part) => JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/")));

function show({ token, api_key: apiKey }) {
  const claims = decode(token.split(".")[1]);
  const time = (seconds) => `${seconds} (${new Date(seconds * 1000).toLocaleTimeString()})`;
  const rows = { user_id: claims.user_id, iat: time(claims.iat), exp: time(claims.exp), "API key": apiKey };
  const body = find("#minted tbody");
  body.replaceChildren();
  for (const [name, value] of Object.entries(rows)) {
    const row = body.insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = value;
  }
  find("#minted pre").textContent = token;
  find("#minted").hidden = false;
  const left = Math.round(claims.exp - Date.now() / 1000);
  const lifetime = `${Math.floor(left / 60)} min ${left % 60} s`;
  find("#minted p").textContent =
    apiKey === find("#minted").dataset.placeholder
      ? `Valid for ${lifetime}, but Stream refuses it: the Stream key is a placeholder.`
      : `Stream accepts this token for ${lifetime} from now.`;
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("#failure").textContent = "";
  find("#minted").hidden = true;
  try {
    show(await post("/v1/token", {}, await credentialOf(event.target.elements)));
  } catch (error) {
    find("#failure").textContent = error.message;
  }
});
