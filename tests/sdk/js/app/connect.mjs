import "./dom.mjs";
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { firebaseCredential, getMe } from "tokensvc-client";
import { connectChat, connectForDevelopment, leave, switchUser } from "./examples/javascript/connect.js";
import { useChatClient } from "./examples/javascript/useChatClient.ts";

const [service, stream, john, jane, banned] = process.argv.slice(2);
const options = { baseURL: stream, allowServerSideConnect: true };
const signedIn = (token) => ({
  service,
  options,
  getCredential: firebaseCredential({ currentUser: { getIdToken: async () => token } }),
  onSignedOut() {},
});

/** A sign-in whose access can end: the service then refuses its credential. */
function changing(token) {
  let current = token;
  let onSignedOut;
  const signedOut = new Promise((resolve) => (onSignedOut = (error) => resolve(error.code)));
  return {
    ...signedIn(),
    getCredential: async () => current,
    onSignedOut,
    async end(client) {
      current = banned;
      client.dispatchEvent({ type: "tokensvc_check" });
      return [await signedOut, client.userID ?? null];
    },
  };
}

const client = await connectChat({ ...signedIn(john), name: "John" });
const first = client.userID;
const nextClient = await switchUser(client, { ...signedIn(jane), name: "Jane" });
const second = nextClient.userID;
await nextClient.addDevice("phone", "firebase");
await leave(nextClient, "phone");

const me = await getMe({ url: `${service}/v1/me`, ...signedIn(john) });
const root = createRoot(document.createElement("div"));
const access = changing(john);
const hookClient = await new Promise((resolve) => {
  function Chat() {
    const chat = useChatClient({ ...access, me, signedInAt: 1 });
    if (chat) resolve(chat);
    return null;
  }
  root.render(createElement(Chat));
});
const hook = hookClient.userID;
const left = [await access.end(hookClient)];
const other = changing(jane);
left.push(await other.end(await connectChat({ ...other, name: "Jane" })));

const development = await connectForDevelopment(me.api_key, "john", options).catch(
  (error) => JSON.parse(error.message).code,
);

const signedOut = [];
const onSignedOut = (error) => signedOut.push(error.code);
await connectChat({ ...signedIn(banned), onSignedOut }).catch((error) => signedOut.push(error.code));
console.log(JSON.stringify({ first, second, hook, left, development, signedOut }));
process.exit();
