// begin storage
import * as SecureStore from "expo-secure-store";
import { makeSession, type ServiceError } from "tokensvc-client";
// end storage

// begin storage
/** A session whose refresh token is in the Keychain of iOS, or encrypted by the Keystore of Android. */
export function makeAccountSession(service: string, onSignedOut: (error: ServiceError) => void) {
  return makeSession({
    url: service,
    onSignedOut,
    storage: {
      get: () => SecureStore.getItemAsync("refresh-token"),
      set: (token) =>
        token
          ? SecureStore.setItemAsync("refresh-token", token)
          : SecureStore.deleteItemAsync("refresh-token"),
    },
  });
}
// end storage
