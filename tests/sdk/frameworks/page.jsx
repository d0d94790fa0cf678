// A page with `stream-chat-react` and the hook of `examples/`, in StrictMode.
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Chat, useChatContext } from "stream-chat-react";
import { getMe } from "tokensvc-client";
import { useChat } from "./useChat.ts"; // of `examples/`

const query = new URLSearchParams(location.search);
const service = query.get("service");

function App() {
  const [signedIn, setSignedIn] = useState(null);
  const [reason, setReason] = useState("");
  async function signIn() {
    const credential = await (await fetch(`/credential?user=${query.get("user")}`)).text();
    const getCredential = () => credential;
    const me = await getMe({ url: `${service}/v1/me`, getCredential });
    setSignedIn({ service, me, signedInAt: Date.now(), getCredential });
  }
  if (!signedIn) return <><button onClick={signIn}>Sign in</button><output>{reason}</output></>;
  const leave = (error) => {
    setReason(error.code);
    setSignedIn(null);
  };
  return <SignedIn {...signedIn} onSignedOut={leave} />;
}

function SignedIn(signIn) {
  const client = useChat(signIn);
  return client ? <Chat client={client}><Room /></Chat> : <output>connecting</output>;
}

function Room() {
  const { client } = useChatContext();
  const [sent, setSent] = useState(0);
  async function send() {
    const channel = client.channel("livestream", "room");
    await channel.watch();
    await channel.sendMessage({ text: "Hello" });
    setSent(sent + 1);
  }
  return <><button onClick={send}>Send</button><output>{`${client.userID} has sent ${sent}`}</output></>;
}

createRoot(document.body.appendChild(document.createElement("main"))).render(<StrictMode><App /></StrictMode>);
