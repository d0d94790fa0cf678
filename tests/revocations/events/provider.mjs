// oidc-provider as it comes, with Back-Channel Logout switched on. Prints its URL.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { CLIENT_ID, EVENTS_URL, PACKAGES, REDIRECT_URI } = process.env;
const path = createRequire(`${PACKAGES}/`).resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(path));

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT_ID,
      token_endpoint_auth_method: "none",
      redirect_uris: [REDIRECT_URI],
      require_auth_time: true,
      backchannel_logout_uri: EVENTS_URL,
      backchannel_logout_session_required: true,
    },
  ],
  features: { backchannelLogout: { enabled: true } },
  // Its own dispatcher refuses this machine's addresses.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  pkce: { required: () => false },
});
provider.on("backchannel.error", (_, error) => console.error(error));
server.on("request", provider.callback());
console.log(issuer);
