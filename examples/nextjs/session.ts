export type Session = { userId: string; signedInAt?: number }; // epoch seconds

/** Your own session. Replace it: with Auth.js, for example, by the result of `await auth()`. */
export async function readSession(): Promise<Session | null> {
  throw new Error("examples/nextjs/session.ts must read the session of your app");
}
