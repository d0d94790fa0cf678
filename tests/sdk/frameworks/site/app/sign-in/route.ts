import { cookies } from "next/headers";
import type { NextRequest } from "next/server";

export async function POST(request: NextRequest) {
  const asked = request.nextUrl.searchParams;
  const session = {
    userId: asked.get("user"),
    ...(asked.has("undated") ? {} : { signedInAt: Math.floor(Date.now() / 1000) }),
  };
  (await cookies()).set("session", JSON.stringify(session));
  return Response.json({ user_id: session.userId });
}
