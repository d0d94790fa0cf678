import "./dom.mjs";
import { createElement } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { useTokenProvider } from "tokensvc-client/react";

const [url] = process.argv.slice(2);
const providers = [];

function Chat({ credential, signIn }) {
  providers.push(useTokenProvider({ url, getCredential: () => credential }, signIn));
  return null;
}

const root = createRoot(document.createElement("div"));
const render = (props) => flushSync(() => root.render(createElement(Chat, props)));
render({ credential: "first", signIn: 1 });
render({ credential: "second", signIn: 1 });
render({ credential: "second", signIn: 2 });
const [first, again, next] = providers;
console.log(JSON.stringify({ same: first === again, next: next !== again, token: await first() }));
process.exit();
