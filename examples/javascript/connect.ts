// begin connect
import type { GetCredential, ServiceError } from "tokensvc-client";
import { connectChat } from "tokensvc-client/chat";
// end connect
// begin switch
import { type ChatOptions, leave } from "tokensvc-client/chat";
// end switch
// begin development
import { StreamChat, type StreamChatOptions } from "stream-chat";
// end development

// begin connect
/** Connect the signed-in user, and return Stream's client. */
export function openChat(
  service: string,
  getCredential: GetCredential,
  showSignIn: (error: ServiceError) => void,
) {
  const user = { name: "Ada", privacy_settings: { read_receipts: { enabled: false } } };
  return connectChat({ service, getCredential, user, onSignedOut: showSignIn });
}
// end connect

// begin switch
/** Disconnect the user, and connect the one who has signed in since. */
export async function switchUser(client: StreamChat, deviceId: string | undefined, next: ChatOptions) {
  await leave(client, deviceId);
  return connectChat(next);
}
// end switch

// begin development
/** Connect without the service. Only an app with "Disable Auth Checks" accepts this token. */
export async function connectForDevelopment(apiKey: string, userId: string, options?: StreamChatOptions) {
  const client = new StreamChat(apiKey, options);
  await client.connectUser({ id: userId }, client.devToken(userId));
  return client;
}
// end development
