// From the sign-in to connectUser, in Node 22 or newer. In the folder of the repository, with `make run` and
// your Stream key in another terminal, after Ada has signed up as in the README:
//
//   npm install --no-save --prefix . stream-chat ./clients/js
//   node examples/connect.js http://127.0.0.1:8000 ada "seven green bicycles"
//
import { makeSession } from "tokensvc-client";
import { connectChat } from "tokensvc-client/chat";

const [service = "", userId = "", password = ""] = process.argv.slice(2);
/** @param {Error} error */
const onSignedOut = (error) => console.error(`Sign in again: ${error.message}`);

const session = makeSession({ url: service, onSignedOut });
await session.signIn({ userId, password });

const { getCredential, forget } = session;
const options = { allowServerSideConnect: true };
const client = await connectChat({ service, getCredential, onSignedOut: forget, options }).catch((error) => {
  console.error(`Not connected: ${error.message}`); // the whole error would print the token
  process.exit(1);
});
console.log(`${client.userID} is connected with the key ${client.key}.`);

await client.disconnectUser();
await session.signOut();
