// Uses of the package that the compiler must accept or, where expected, reject.
import { getMe, makeSession, makeTokenProvider, ServiceError, watchAccess } from "tokensvc-client";
import { useTokenProvider } from "tokensvc-client/react";
import { connectChat, leave } from "tokensvc-client/chat";
import { StreamChat } from "stream-chat";

const session = makeSession({ url: "https://tokens.example.com" });
const url = "https://tokens.example.com/v1/token";
const provider: () => Promise<string> = makeTokenProvider({
  url,
  getCredential: session.getCredential,
  onSignedOut: session.forget,
  user: { id: "john", privacy_settings: { read_receipts: { enabled: false } } },
});
const hook: () => Promise<string> = useTokenProvider({ url, getCredential: () => "credential" }, 1);

const access = { url: "https://tokens.example.com/v1/me", getCredential: session.getCredential };
const stop: () => void = watchAccess(new StreamChat("key"), { ...access, onSignedOut: session.forget });
stop();

const options = { service: "https://tokens.example.com", getCredential: session.getCredential };
const client: StreamChat = await connectChat({ ...options, user: { name: "John" }, onSignedOut: undefined });
await leave(client, "phone");
const stored = { get: () => null, set: console.log };
await connectChat({ ...options, stored, onChanged: (me) => console.log(me.api_key) });
// @ts-expect-error: the service says which ID
await connectChat({ ...options, user: { id: "john" } });

try {
  const me = await getMe({ url, getCredential: session.getCredential });
  const userId: string = me.user_id;
  console.log(userId, await provider(), await hook());
  await session.signIn({ userId, password: "password" });
} catch (error) {
  if (error instanceof ServiceError && error.kind === "try_later") console.log(error.retryAfter);
  // @ts-expect-error: not a kind
  if (error instanceof ServiceError && error.kind === "later") console.log(error);
}

// @ts-expect-error: the URL is missing
makeTokenProvider({ getCredential: session.getCredential });
// @ts-expect-error: a credential is a text
makeTokenProvider({ url, getCredential: () => 7 });
// @ts-expect-error: the user object needs an ID
makeTokenProvider({ url, user: { name: "John" } });
// @ts-expect-error: not a client of Stream's SDK
watchAccess({}, access);
// @ts-expect-error: the sign-in is missing
useTokenProvider({ url });
// @ts-expect-error: the store lacks `set`
makeSession({ url, storage: { get: () => null } });
