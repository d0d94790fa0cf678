// In place of the package, which needs 180 others: it connects in an effect, and disconnects in its end.
import { useEffect, useState } from "react";
import { StreamChat } from "stream-chat";

export function useCreateChatClient({ apiKey, tokenOrProvider, userData }) {
  const [client, setClient] = useState(null);
  useEffect(() => {
    const chat = new StreamChat(apiKey);
    let left = false;
    const connecting = chat.connectUser(userData, tokenOrProvider).then(() => left || setClient(chat));
    return () => {
      left = true;
      setClient(null);
      connecting.then(() => chat.disconnectUser());
    };
  }, [apiKey, userData.id, tokenOrProvider]);
  return client;
}
