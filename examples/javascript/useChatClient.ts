// begin hook
import { useEffect, useState } from "react";
import { StreamChat } from "stream-chat";
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
  options?: object;
};

/** Return Stream's client when the user is connected, and `null` before. */
export function useChatClient({ service, me, signedInAt, getCredential, onSignedOut, options }: SignIn) {
  const [client, setClient] = useState<StreamChat | null>(null);
  const apiKey = me.api_key;
  const tokenProvider = useTokenProvider(
    { url: `${service}/v1/token`, apiKey, getCredential, onSignedOut },
    signedInAt,
  );
  useEffect(() => {
    const chat = new StreamChat(apiKey, { enableWSFallback: true, ...options });
    watchAccess(chat, { url: `${service}/v1/me`, getCredential, onSignedOut });
    let left = false;
    const connecting = chat.connectUser({ id: me.user_id }, tokenProvider).then(
      () => left || setClient(chat),
      (error) => console.error("chat is not connected", error),
    );
    return () => {
      left = true;
      setClient(null);
      connecting.then(() => chat.disconnectUser());
    };
  }, [apiKey, me.user_id, tokenProvider]);
  return client;
}
// end hook
