// Stream's clients of Video and of Feeds with the provider: prints the tokens that each sends, and their errors.
import { createServer } from "node:http";
import { WebSocketServer } from "../js/node_modules/ws/wrapper.mjs"; // of stream-chat
import { makeTokenProvider } from "../../../clients/js/index.js";
import { openFeeds, openVideo } from "./products.ts"; // of `examples/`

const [url, credential, suspended] = process.argv.slice(2);
const refused = new Set(); // tokens that Stream regards as expired
const sent = [];
const stream = createServer((request, response) => {
  const token = request.headers.authorization;
  if (request.method === "POST" && /\/(calls|feeds\/query)\b/.test(request.url)) sent.push(token);
  const expired = refused.has(token);
  response.writeHead(expired ? 401 : 200, { "Content-Type": "application/json" });
  const body = { code: 40, message: "token is expired (exp)", StatusCode: 401, duration: "0ms", more_info: "" };
  response.end(JSON.stringify(expired ? body : { calls: [], feeds: [], duration: "0ms" }));
});
new WebSocketServer({ server: stream }).on("connection", (socket) => {
  const created_at = new Date().toISOString();
  const connected = { type: "connection.ok", connection_id: "connection", created_at, me: { id: "john" } };
  socket.once("message", () => socket.send(JSON.stringify(connected)));
});
await new Promise((resolve) => stream.listen(0, "127.0.0.1", resolve));
const baseURL = `http://127.0.0.1:${stream.address().port}`;

/** Two requests, of which the second finds the token expired; then one that the service refuses a token for. */
async function use(ask, change) {
  sent.length = 0;
  await ask();
  for (const token of sent) refused.add(token);
  await ask();
  const tokens = new Set(sent).size;
  change(suspended);
  for (const token of sent) refused.add(token);
  const refusal = await ask().then(() => "none", (error) => String(error.message));
  return { requests: sent.length, tokens, refusal };
}

function makeProvider() {
  let current = credential;
  const left = [];
  const provider = makeTokenProvider({ url, getCredential: () => current, onSignedOut: (error) => left.push(error.code) });
  return { provider, left, change: (next) => (current = next) };
}

const me = { user_id: "john", api_key: "key", issuer: "acme" };
const video = makeProvider();
const videoClient = openVideo(me, video.provider, { baseURL, logLevel: "error" });
const feeds = makeProvider();
const feedsClient = await openFeeds(me, feeds.provider, { base_url: baseURL });
console.log(
  JSON.stringify({
    video: { ...(await use(() => videoClient.queryCalls({}), video.change)), left: video.left },
    feeds: { ...(await use(() => feedsClient.queryFeeds({}), feeds.change)), left: feeds.left },
  }),
);
process.exit();
