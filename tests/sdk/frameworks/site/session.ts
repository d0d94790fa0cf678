import { cookies } from "next/headers";

/** In a cookie that anybody can write: only for tests. */
export async function readSession() {
  const value = (await cookies()).get("session")?.value;
  return value ? JSON.parse(value) : null;
}
