import type { StreamChat, StreamChatOptions, UserResponse } from "stream-chat";
import type { GetCredential, MeOptions, ServiceError } from "./index.js";

export interface ChatOptions extends Pick<MeOptions, "stored" | "onChanged"> {
  /** URL of the service, without a path. */
  service: string;
  getCredential: GetCredential;
  /** Name, image or privacy settings of the user. The ID comes from the service. */
  user?: Omit<UserResponse, "id"> | undefined;
  /** Called once, when the user must sign in again or is suspended. Then no user is connected. */
  onSignedOut?: ((error: ServiceError) => void) | undefined;
  /** Options of Stream's client. Long polling is on. In Node, add `allowServerSideConnect: true`. */
  options?: StreamChatOptions | undefined;
}

/** Connect the signed-in user, and return Stream's client. */
export declare function connectChat(options: ChatOptions): Promise<StreamChat>;

/**
 * Unregister the device from push notifications, disconnect the user, and let the provider stop.
 *
 * @param deviceId What the app passed to `addDevice`. The SDK cannot unregister it without a user.
 */
export declare function leave(client: StreamChat, deviceId?: string): Promise<void>;
