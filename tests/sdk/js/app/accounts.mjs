import { ServiceError } from "tokensvc-client";
import * as reactNative from "./examples/javascript/reactNative.ts";
import { explain, signOut, signUpAndConnect } from "./examples/javascript/signIn.ts";
import { stored as native } from "expo-secure-store";

const [service, stream] = process.argv.slice(2);
const stored = [];
const area = {
  getItem: () => stored.at(-1) ?? null,
  setItem: (_, token) => stored.push(token),
  removeItem: () => stored.push(null),
};
Object.defineProperty(globalThis, "sessionStorage", { value: area });

const user = { userId: "john", password: "correct horse battery staple" };
const options = { baseURL: stream, allowServerSideConnect: true };
const signedIn = await signUpAndConnect(service, user, () => {}, options);
const connected = signedIn.client.userID;
await signOut(signedIn);

const session = reactNative.makeAccountSession(service, () => {});
await session.signIn(user);
await session.signOut();

const problem = { reasons: ["It is in the list of common passwords."] };
const explained = [
  explain(new ServiceError("The password is too weak.", { kind: "refused", problem })),
  explain(new ServiceError("Too many requests.", { kind: "try_later", retryAfter: 7 })),
];
console.log(JSON.stringify({ connected, stored, native, explained }));
process.exit();
