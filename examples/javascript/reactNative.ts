// begin storage
import * as SecureStore from "expo-secure-store";
import { makeSession, type ServiceError, type SessionStorage } from "tokensvc-client";
// end storage

// begin storage
/** A session whose tokens are in the Keychain of iOS, or encrypted by the Keystore of Android. */
export function makeAccountSession(service: string, onSignedOut: (error: ServiceError) => void) {
  const session = makeSession({
    url: service,
    onSignedOut,
    storage: secureStorage("refresh-token"),
    ending: secureStorage("ending"),
  });
  session.finishSignOut().catch(console.warn); // of the last run, if it had no network
  return session;
}

function secureStorage(name: string): SessionStorage {
  return {
    get: () => SecureStore.getItemAsync(name),
    set: (token) => (token ? SecureStore.setItemAsync(name, token) : SecureStore.deleteItemAsync(name)),
  };
}
// end storage
