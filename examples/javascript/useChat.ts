// begin hook
import { useEffect } from "react";
import { useCreateChatClient } from "stream-chat-react";
import { watchAccess, type GetCredential, type Me, type ServiceError } from "tokensvc-client";
import { useTokenProvider } from "tokensvc-client/react";
// end hook

// begin hook
type SignIn = {
  service: string;
  me: Me; // from getMe
  signedInAt: number;
  getCredential: GetCredential;
  onSignedOut: (error: ServiceError) => void;
};

/** Stream's client for `<Chat client={client}>`, and `null` until the user is connected. */
export function useChat({ service, me, signedInAt, getCredential, onSignedOut }: SignIn) {
  const [apiKey, userData] = [me.api_key, { id: me.user_id }];
  const question = { url: `${service}/v1/token`, apiKey, getCredential, onSignedOut };
  const tokenOrProvider = useTokenProvider(question, signedInAt);
  const options = { enableWSFallback: true };
  const client = useCreateChatClient({ apiKey, tokenOrProvider, userData, options });
  useEffect(() => {
    if (client) return watchAccess(client, { url: `${service}/v1/me`, getCredential, onSignedOut });
  }, [client]);
  return client;
}
// end hook
