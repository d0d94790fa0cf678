import "./dom.mjs";
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { getMe } from "tokensvc-client";
import { connectChat, connectForDevelopment, switchUser } from "./examples/javascript/connect.js";
import { firebaseCredential } from "./examples/javascript/signIn.js";
import { useChatClient } from "./examples/javascript/useChatClient.ts";

const [service, stream, john, jane, banned] = process.argv.slice(2);
const options = { baseURL: stream, allowServerSideConnect: true };
const signedIn = (token) => ({
  service,
  options,
  getCredential: firebaseCredential({ currentUser: { getIdToken: async () => token } }),
  onSignedOut() {},
});

const client = await connectChat({ ...signedIn(john), name: "John" });
const first = client.userID;
const nextClient = await switchUser(client, { ...signedIn(jane), name: "Jane" });
const second = nextClient.userID;
await nextClient.disconnectUser();

const me = await getMe({ url: `${service}/v1/me`, ...signedIn(john) });
const root = createRoot(document.createElement("div"));
const hook = await new Promise((resolve) => {
  function Chat() {
    const chat = useChatClient({ ...signedIn(john), me, signedInAt: 1 });
    if (chat) resolve(chat.userID);
    return null;
  }
  root.render(createElement(Chat));
});

const development = await connectForDevelopment(me.api_key, "john", options).catch(
  (error) => JSON.parse(error.message).code,
);

const signedOut = [];
const onSignedOut = (error) => signedOut.push(error.code);
await connectChat({ ...signedIn(banned), onSignedOut }).catch((error) => signedOut.push(error.code));
console.log(JSON.stringify({ first, second, hook, development, signedOut }));
process.exit();
