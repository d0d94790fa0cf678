export { ServiceError } from "./requests.js";
export { getMe, makeTokenProvider } from "./provider.js";
export { makeSession } from "./session.js";
