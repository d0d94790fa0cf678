// CPU time of the expensive calls of server.js, one at a time, in microseconds, as JSON.
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { importSPKI, jwtVerify, SignJWT } from "jose";
import { StreamChat } from "stream-chat";

const ROUNDS = 2000;
const SECRET = "a-stream-secret-for-the-bench-of-48-characters..";
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const spki = publicKey.export({ type: "spki", format: "pem" });
const key = await importSPKI(spki, "RS256");
const token = await new SignJWT({ sub: "user-1" })
  .setProtectedHeader({ alg: "RS256" })
  .setExpirationTime("1h")
  .sign(privateKey);
const [head, signature] = [token.slice(0, token.lastIndexOf(".")), token.split(".")[2]];
const signed = Buffer.from(head);
const signatureBytes = Buffer.from(signature, "base64url");
const stream = StreamChat.getInstance("key", SECRET);

const calls = {
  "jose: jwtVerify": () => jwtVerify(token, key, { algorithms: ["RS256"] }),
  "of it the RSA operation": () => verify("sha256", signed, createdKey, signatureBytes),
  "stream-chat: createToken": () => stream.createToken("user-1", 1900000000, 1800000000),
  "of it createPrivateKey(secret)": () => {
    try {
      createPrivateKey(SECRET);
    } catch {
      // jsonwebtoken tries this for each token before it takes the secret for what it is
    }
  },
};
const createdKey = createPublicKey(spki);

const figures = {};
for (const [name, call] of Object.entries(calls)) {
  for (let round = 0; round < ROUNDS / 4; round++) await call();
  const before = process.cpuUsage();
  for (let round = 0; round < ROUNDS; round++) await call();
  const { user, system } = process.cpuUsage(before);
  figures[name] = (user + system) / ROUNDS;
}
console.log(JSON.stringify(figures));
