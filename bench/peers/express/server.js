// The endpoint as a Node developer writes it: Express, jose and stream-chat. One process.
import { readFileSync } from "node:fs";
import express from "express";
import { importSPKI, jwtVerify } from "jose";
import { StreamChat } from "stream-chat";

const TTL = 3600;
const SKEW = 5;
const { env } = process;
const apiKey = env.STREAM_API_KEY;
const stream = StreamChat.getInstance(apiKey, env.STREAM_API_SECRET);
const publicKey = await importSPKI(readFileSync(env.BENCH_PUBLIC_KEY_FILE, "utf8"), "RS256");
const rules = {
  algorithms: ["RS256"],
  audience: env.BENCH_AUDIENCE,
  issuer: env.BENCH_ISSUER,
  requiredClaims: ["exp", "iat", "sub"],
  clockTolerance: 10,
};

const app = express();
app.use(express.json());

app.post("/v1/token", async (request, response) => {
  let claims;
  try {
    const credential = request.get("Authorization").replace(/^Bearer /, "");
    claims = (await jwtVerify(credential, publicKey, rules)).payload;
  } catch {
    return response.sendStatus(401);
  }
  if (request.body.user_id !== claims.sub) {
    return response.sendStatus(403);
  }
  const now = Math.floor(Date.now() / 1000);
  return response.json({
    token: stream.createToken(claims.sub, now + TTL, now - SKEW),
    user_id: claims.sub,
    api_key: apiKey,
    issued_at: now - SKEW,
    expires_at: now + TTL,
    expires_in: TTL,
    user: null,
  });
});

const [host, port] = env.TOKENSVC_BIND.split(":");
const server = app.listen(Number(port), host);
server.keepAliveTimeout = 75_000; // the load keeps its connections
