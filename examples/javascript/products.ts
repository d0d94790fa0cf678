// begin products
import { FeedsClient } from "@stream-io/feeds-client";
import { StreamVideoClient, type StreamClientOptions } from "@stream-io/video-client";
import type { Me, TokenProvider } from "tokensvc-client";

/** Stream's client for Video. `me` is of `getMe`, and the provider of `makeTokenProvider`. */
export function openVideo(me: Me, tokenProvider: TokenProvider, options: StreamClientOptions = {}) {
  return new StreamVideoClient({ apiKey: me.api_key, user: { id: me.user_id }, tokenProvider, options });
}

/** Stream's client for Feeds. The same provider serves all products of the app. */
export async function openFeeds(me: Me, tokenProvider: TokenProvider, options: { base_url?: string } = {}) {
  const client = new FeedsClient(me.api_key, options);
  await client.connectUser({ id: me.user_id }, tokenProvider);
  return client;
}
// end products
