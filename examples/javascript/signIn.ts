// begin account
import { makeSession, type ServiceError } from "tokensvc-client";
// end account
// begin session
import { type ChatOptions, connectChat, leave } from "tokensvc-client/chat";
// end session

// begin account
/** A session with a built-in account. The refresh token is kept in this browser tab. */
export function makeAccountSession(
  service: string,
  onSignedOut: (error: ServiceError) => void,
  area: Storage = sessionStorage,
) {
  return makeSession({
    url: service,
    onSignedOut,
    storage: {
      get: () => area.getItem("refresh-token"),
      set: (token) =>
        token ? area.setItem("refresh-token", token) : area.removeItem("refresh-token"),
    },
  });
}
// end account

// begin session
/** Sign a new user up and in, and connect them. */
export async function signUpAndConnect(
  service: string,
  account: { userId: string; password: string },
  showSignIn: (error: ServiceError) => void,
  options: ChatOptions["options"] = {},
) {
  const session = makeAccountSession(service, showSignIn);
  await session.signUp(account);
  await session.signIn(account);
  const client = await connectChat({
    service,
    getCredential: session.getCredential,
    onSignedOut: session.forget, // removes the session that the service has ended; calls showSignIn
    options,
  });
  return { session, client };
}

type SignedIn = Awaited<ReturnType<typeof signUpAndConnect>>;

/** Disconnect, and end the session. `deviceId` is what the app passed to `addDevice`. */
export async function signOut({ session, client }: SignedIn, deviceId?: string) {
  await leave(client, deviceId);
  await session.signOut();
}
// end session

// begin errors
/** What to tell the user about a failed sign-up or sign-in. */
export function explain(error: ServiceError) {
  if (error.kind === "try_later") return `Please try again in ${Math.max(1, error.retryAfter)} s.`;
  return [error.message, ...(error.problem?.reasons ?? [])].join(" ");
}
// end errors
