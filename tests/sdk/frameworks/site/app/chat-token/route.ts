export { POST } from "../api/chat-token/route";
