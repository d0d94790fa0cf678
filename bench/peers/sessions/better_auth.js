// better-auth with its OAuth provider, on PostgreSQL, with the service's password hash. One process.
import { createServer } from "node:http";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { oauthProvider } from "@better-auth/oauth-provider";
import { Algorithm, hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";
import pg from "pg";
import { listen, readJson, respond, seedPath } from "./seed.js";

const { env } = process;
const RESOURCE = "https://api.bench.example"; // with one, access tokens are JWTs
const argon2id = {
  algorithm: Algorithm.Argon2id,
  memoryCost: Number(env.BENCH_ARGON2_KIB),
  timeCost: Number(env.BENCH_ARGON2_PASSES),
  parallelism: 1,
};
const options = {
  baseURL: "https://bench.example",
  secret: env.STREAM_API_SECRET,
  database: new pg.Pool({ connectionString: env.TOKENSVC_DATABASE_URL }),
  logger: { level: "error" },
  rateLimit: { enabled: false },
  emailAndPassword: {
    enabled: true,
    password: {
      hash: (password) => hash(password, argon2id),
      verify: ({ hash: stored, password }) => verify(stored, password),
    },
  },
  plugins: [
    jwt({ jwks: { keyPairConfig: { alg: "ES256" } } }),
    oauthProvider({
      loginPage: "/login",
      consentPage: "/consent",
      scopes: ["offline_access", "api"],
      accessTokenExpiresIn: 600,
      enforcePerClientResources: false,
      silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
    }),
  ],
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const { adapter } = await auth.$context;
const hashed = (text) => createHash("sha256").update(text).digest("base64url");

const times = () => ({ createdAt: new Date(), updatedAt: new Date() });

await adapter.create({
  model: "oauthResource",
  data: { identifier: RESOURCE, name: "api", accessTokenTtl: 600, ...times() },
});

async function addClient(clientId, fields) {
  await adapter.create({
    model: "oauthClient",
    data: {
      clientId,
      redirectUris: ["https://app.bench.example/callback"],
      scopes: ["offline_access", "api"],
      ...times(),
      ...fields,
    },
  });
}
await addClient("app", {
  tokenEndpointAuthMethod: "none",
  public: true,
  grantTypes: ["authorization_code", "refresh_token"],
  responseTypes: ["code"],
});
await addClient(env.BENCH_CLIENT_ID, {
  clientSecret: hashed(env.BENCH_CLIENT_SECRET),
  tokenEndpointAuthMethod: "client_secret_basic",
  grantTypes: ["client_credentials"],
  clientCredentialsScopes: ["api"],
});

async function addUsers({ prefix, count, password }) {
  const stored = await hash(password, argon2id);
  const ids = [];
  for (let number = 0; number < count; number += 1) {
    const email = `${prefix}${number}@bench.example`;
    let user = await adapter.findOne({ model: "user", where: [{ field: "email", value: email }] });
    if (!user) {
      const data = { name: email, email, emailVerified: true, ...times() };
      user = await adapter.create({ model: "user", data });
      await adapter.create({
        model: "account",
        data: {
          accountId: user.id,
          providerId: "credential",
          userId: user.id,
          password: stored,
          ...times(),
        },
      });
    }
    ids.push(user.id);
  }
  return ids;
}

async function makeRefreshToken(userId) {
  const token = randomBytes(24).toString("hex");
  const expiresAt = new Date(Date.now() + 30 * 86_400_000);
  const session = await adapter.create({
    model: "session",
    data: { userId, token: randomUUID(), expiresAt, ...times() },
  });
  await adapter.create({
    model: "oauthRefreshToken",
    data: {
      token: hashed(token),
      clientId: "app",
      sessionId: session.id,
      userId,
      scopes: ["offline_access", "api"],
      resources: [RESOURCE],
      createdAt: new Date(),
      expiresAt,
    },
  });
  return token;
}

async function seed(request, response) {
  const { users, refreshTokens } = await readJson(request);
  const ids = await addUsers(users);
  const tokens = [];
  for (let number = 0; number < refreshTokens; number += 1) {
    tokens.push(await makeRefreshToken(ids[number % ids.length]));
  }
  respond(response, tokens);
}

const handler = toNodeHandler(auth);
listen(
  createServer((request, response) =>
    request.url === seedPath ? seed(request, response) : handler(request, response),
  ),
);
