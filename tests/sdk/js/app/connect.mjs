import "./dom.mjs";
import { createElement, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { firebaseCredential, getMe } from "tokensvc-client";
import { connectChat, leave } from "tokensvc-client/chat";
import { connectForDevelopment, openChat, switchUser } from "./examples/javascript/connect.ts";
import { useChat } from "./examples/javascript/useChat.ts";
import { useChatClient } from "./examples/javascript/useChatClient.ts";

const [service, stream, john, jane, banned] = process.argv.slice(2);
process.env.STREAM_LOCAL_TEST_HOST = new URL(stream).host; // the SDK reads it
const options = { allowServerSideConnect: true };
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

const client = await connectChat(signedIn(john));
const first = client.userID;
const nextClient = await switchUser(client, undefined, signedIn(jane));
const second = nextClient.userID;
await nextClient.addDevice("phone", "firebase");
await leave(nextClient, "phone");

const me = await getMe({ url: `${service}/v1/me`, ...signedIn(john) });
const root = createRoot(document.createElement("div"));

/** Mount a component with a hook, and return the client that it gets. */
const mount = (useHook, access) =>
  new Promise((resolve) => {
    function Chat() {
      const chat = useHook({ ...access, me, signedInAt: 1 });
      useEffect(() => void (chat && resolve(chat))); // after the effects of the hook
      return null;
    }
    root.render(createElement(Chat));
  });

const hooks = [];
const left = [];
for (const useHook of [useChatClient, useChat]) {
  const access = changing(john);
  const hookClient = await mount(useHook, access);
  hooks.push(hookClient.userID);
  left.push(await access.end(hookClient));
}

const kept = [{ ...me, api_key: "previous" }];
const stored = { get: () => kept.at(-1), set: (next) => void kept.push(next) };
await new Promise((onChanged) => getMe({ url: `${service}/v1/me`, ...signedIn(john), stored, onChanged }));
await leave(await connectChat({ ...signedIn(john), stored }));
const other = changing(jane);
left.push(await other.end(await connectChat(other)));

let refusals = 0;
let credential = john;
const leaver = { ...signedIn(), getCredential: async () => credential, onSignedOut: () => refusals++ };
const leaving = await connectChat(leaver);
leaving.removeDevice = () =>
  new Promise((resolve) => {
    credential = banned;
    leaving.disconnectUser = async () => resolve(); // of `watchAccess`, which then calls `onSignedOut`
    leaving.dispatchEvent({ type: "tokensvc_check" });
  });
await leave(leaving, "phone");

const development = await connectForDevelopment(me.api_key, "john", options).catch(
  (error) => JSON.parse(error.message).code,
);

const signedOut = [];
const onSignedOut = (error) => signedOut.push(error.code);
await openChat(service, signedIn(banned).getCredential, onSignedOut).catch((error) => signedOut.push(error.code));
console.log(JSON.stringify({ first, second, hooks, left, kept: kept.map((answer) => answer?.api_key ?? null), refusals, development, signedOut }));
process.exit();
