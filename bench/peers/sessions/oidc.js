// oidc-provider with its state, clients and accounts in PostgreSQL: rotated refresh tokens, ES256
// access tokens. One process.
import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";
import pg from "pg";
import { listen, readJson, respond, seedPath } from "./seed.js";

const { env } = process;
const RESOURCE = "https://api.bench.example";
const pool = new pg.Pool({ connectionString: env.TOKENSVC_DATABASE_URL });
await pool.query(`
  CREATE TABLE IF NOT EXISTS oidc (
    model text, id text, payload jsonb, grant_id text, expires_at timestamptz,
    PRIMARY KEY (model, id)
  );
  CREATE INDEX IF NOT EXISTS oidc_grant ON oidc (grant_id);
  CREATE TABLE IF NOT EXISTS account (id text PRIMARY KEY, is_suspended boolean NOT NULL)`);

class PostgresAdapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    await pool.query({
      name: "upsert",
      text: `INSERT INTO oidc VALUES ($1, $2, $3, $4, now() + $5 * interval '1 second')
        ON CONFLICT (model, id) DO UPDATE SET payload = $3, expires_at = EXCLUDED.expires_at`,
      values: [this.model, id, payload, payload.grantId, expiresIn],
    });
  }

  async find(id) {
    const { rows } = await pool.query({
      name: "find",
      text: "SELECT payload FROM oidc WHERE model = $1 AND id = $2 AND expires_at > now()",
      values: [this.model, id],
    });
    return rows[0]?.payload;
  }

  async consume(id) {
    await pool.query({
      name: "consume",
      text: `UPDATE oidc SET payload = payload || jsonb_build_object('consumed',
        floor(extract(epoch FROM now()))) WHERE model = $1 AND id = $2`,
      values: [this.model, id],
    });
  }

  async destroy(id) {
    await pool.query("DELETE FROM oidc WHERE model = $1 AND id = $2", [this.model, id]);
  }

  async revokeByGrantId(grantId) {
    await pool.query("DELETE FROM oidc WHERE grant_id = $1", [grantId]);
  }
}

// For at most ten years, since the adapter's rows expire.
const LONG = 10 * 365 * 86400;
const clients = [
  {
    client_id: "app",
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["https://app.bench.example/callback"],
    application_type: "native",
  },
  {
    client_id: env.BENCH_CLIENT_ID,
    client_secret: env.BENCH_CLIENT_SECRET,
    grant_types: ["client_credentials"],
    response_types: [],
    redirect_uris: [],
  },
];
for (const client of clients) {
  await new PostgresAdapter("Client").upsert(client.client_id, client, LONG);
}

async function findAccount(_, accountId) {
  const { rows } = await pool.query({
    name: "account",
    text: "SELECT id FROM account WHERE id = $1 AND NOT is_suspended",
    values: [accountId],
  });
  return rows[0] && { accountId, claims: () => ({ sub: accountId }) };
}

const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
const provider = new Provider("https://bench.example", {
  adapter: PostgresAdapter,
  jwks: { keys: [{ ...key, alg: "ES256", use: "sig", kid: "bench" }] },
  scopes: ["offline_access", "api"],
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  findAccount,
  rotateRefreshToken: true,
  ttl: { AccessToken: 600, ClientCredentials: 600, RefreshToken: 30 * 86400, Grant: 90 * 86400 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "api",
        audience: RESOURCE,
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
});
provider.proxy = true;

async function makeRefreshToken(accountId, client) {
  const grant = new provider.Grant({ accountId, clientId: client.clientId });
  grant.addResourceScope(RESOURCE, "api");
  grant.addOIDCScope("offline_access");
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId,
    client,
    grantId,
    gty: "authorization_code",
    scope: "offline_access api",
    resource: RESOURCE,
    rotations: 0,
  });
  return token.save();
}

async function seed(request, response) {
  const { users, refreshTokens } = await readJson(request);
  await pool.query(
    `INSERT INTO account SELECT $1 || number, false FROM generate_series(0, $2 - 1) AS number
      ON CONFLICT DO NOTHING`,
    [users.prefix, users.count],
  );
  const client = await provider.Client.find("app");
  const tokens = [];
  for (let number = 0; number < refreshTokens; number += 1) {
    tokens.push(await makeRefreshToken(`${users.prefix}${number % users.count}`, client));
  }
  respond(response, tokens);
}

const callback = provider.callback();
listen(
  createServer((request, response) =>
    request.url === seedPath ? seed(request, response) : callback(request, response),
  ),
);
