// Runs the unmodified oauth4webapi against the service: discovers it, then runs each command of the
// argument, {"issuer", "commands": [{"do", …}]}, and prints an array with one result per command.
import * as oauth from "oauth4webapi";

const onLoopback = { [oauth.allowInsecureRequests]: true };

const commands = {
  async refresh({ client, refreshToken }) {
    const response = await oauth.refreshTokenGrantRequest(
      server, client, oauth.None(), refreshToken, onLoopback,
    );
    return oauth.processRefreshTokenResponse(server, client, response);
  },

  async clientCredentials({ client, secret, inBody, scope }) {
    const authentication = (inBody ? oauth.ClientSecretPost : oauth.ClientSecretBasic)(secret);
    const response = await oauth.clientCredentialsGrantRequest(
      server, client, authentication, new URLSearchParams(scope && { scope }), onLoopback,
    );
    return oauth.processClientCredentialsResponse(server, client, response);
  },

  async revoke({ client, token }) {
    const response = await oauth.revocationRequest(server, client, oauth.None(), token, onLoopback);
    await oauth.processRevocationResponse(response);
  },

  async me({ accessToken }) {
    const url = new URL("/v1/me", server.issuer);
    const response = await oauth.protectedResourceRequest(
      accessToken, "GET", url, undefined, undefined, onLoopback,
    );
    return response.json();
  },

  /** Validate an access token as an API that gets it does (RFC 9068). */
  async validate({ accessToken }) {
    const headers = { Authorization: `Bearer ${accessToken}` };
    const request = new Request(server.issuer, { headers });
    return oauth.validateJwtAccessToken(server, request, server.issuer, onLoopback);
  },
};

const { issuer, commands: wanted } = JSON.parse(process.argv[2]);
const found = await oauth.discoveryRequest(new URL(issuer), { algorithm: "oauth2", ...onLoopback });
const server = await oauth.processDiscoveryResponse(new URL(issuer), found);

const results = [];
for (const { do: name, ...parameters } of wanted) {
  try {
    results.push({ value: (await commands[name](parameters)) ?? null });
  } catch (error) {
    results.push({ kind: error.name, error: error.error, status: error.status, text: String(error) });
  }
}
console.log(JSON.stringify(results));
