export { auth0Credential, clerkCredential, cognitoCredential, firebaseCredential, supabaseCredential } from "./credentials.js";
export { ServiceError } from "./requests.js";
export { getMe, makeTokenProvider, watchAccess } from "./provider.js";
export { makeSession } from "./session.js";
