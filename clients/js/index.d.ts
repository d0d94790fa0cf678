/**
 * What the app does about a failed request:
 * - `sign_in_again`: sign the user out. They must sign in again, or they are suspended.
 * - `try_later`: the service or the network is busy or down. It was retried as long as allowed.
 * - `refused`: correct the request. `message` says what is wrong: a setting, or what the user typed.
 */
export type ErrorKind = "sign_in_again" | "try_later" | "refused";

/** A request that failed. `message` is the `detail` of the response. */
export declare class ServiceError extends Error {
  constructor(message: string, facts: Partial<ServiceError>);
  kind: ErrorKind;
  /** Code of the response, such as `user_suspended`, if it had one. */
  code?: string | undefined;
  /** HTTP status, if there was a response. */
  status?: number | undefined;
  /** Seconds to wait before the next try, as told by the response; else 0. */
  retryAfter: number;
  /** Body of the response, such as the `reasons` of `password_rejected`. */
  problem?: any;
  /** The error below: of `fetch`, or of the SDK of the identity provider. */
  cause?: unknown;
}

/**
 * Returns the credential of the signed-in user: the identity provider's token, or a session's access
 * token. `refresh` means that the last one was refused. Its errors are retried, except a `ServiceError`
 * of another kind than `try_later`: throw one of the kind `sign_in_again` if the user is signed out.
 */
export type GetCredential = (refresh: boolean) => string | Promise<string>;

/** The ID token of the Firebase user. Pass `getAuth()`. */
export declare function firebaseCredential(auth: {
  authStateReady?(): Promise<void>;
  readonly currentUser: { getIdToken(forceRefresh?: boolean): Promise<string> } | null;
}): GetCredential;

/**
 * The access token of the Auth0 user. Pass `getAccessTokenSilently` of `useAuth0()`, or
 * `(options) => auth0.getTokenSilently(options)`, and its options, such as `authorizationParams`.
 */
export declare function auth0Credential<Options extends object>(
  getTokenSilently: (options: Options & { cacheMode: "on" | "off" }) => Promise<string>,
  options?: Options,
): GetCredential;

/** The access token of the Supabase user. Pass the client of `createClient`. */
export declare function supabaseCredential(client: {
  auth: Record<
    "getSession" | "refreshSession",
    () => Promise<{ data: { session: { access_token: string } | null }; error: Error | null }>
  >;
}): GetCredential;

/** The session token of the Clerk user. Pass `useClerk()`, or `window.Clerk`. */
export declare function clerkCredential(clerk: {
  readonly session?: { getToken(options: { skipCache: boolean }): Promise<string | null> } | null;
}): GetCredential;

/** The access token of the Cognito user. Pass `fetchAuthSession` of `aws-amplify/auth`. */
export declare function cognitoCredential(
  fetchAuthSession: (options: {
    forceRefresh: boolean;
  }) => Promise<{ tokens?: { accessToken: { toString(): string } } }>,
): GetCredential;

/** What Stream's SDK calls for a token. */
export type TokenProvider = () => Promise<string>;

export interface Limits {
  /** Milliseconds for one attempt, 5000 by default. */
  timeLimit?: number | undefined;
  /** Milliseconds after which no further attempt starts, 60000 by default; a provider's until its first token. */
  giveUpAfter?: number | undefined;
}

export interface TokenProviderOptions extends Limits {
  /** URL of `/v1/token`, or of the route of your own backend. */
  url: string;
  /** Omit it if a cookie identifies the user at your own backend. */
  getCredential?: GetCredential | undefined;
  /** Stream key that the SDK's client was built with. The service checks it. */
  apiKey?: string | undefined;
  /** What you pass to `connectUser`. The service checks it. */
  user?: { id: string; [member: string]: unknown } | undefined;
  /** Called once, when the user must sign in again or is suspended. No request follows. */
  onSignedOut?: ((error: ServiceError) => void) | undefined;
  /** Abort it when the user leaves: a provider that waits for the service then sends no further request. */
  signal?: AbortSignal | undefined;
}

/**
 * Create the token provider of one signed-in user.
 *
 * Stream's SDK waits for a provider without a limit, calls it several times in parallel, and does not
 * recover after a provider has failed. This one limits each attempt in time, sends one request for all
 * callers, and retries what can be retried: after its first token without an end, so that a request
 * during an outage succeeds late instead of never.
 */
export declare function makeTokenProvider(options: TokenProviderOptions): TokenProvider;

export interface MeOptions extends Limits {
  /** URL of `/v1/me`. */
  url: string;
  getCredential: GetCredential;
  /** Where the app keeps the answer, so that it starts without a network. Set it to `null` at a sign-out. */
  stored?: StoredMe | undefined;
  /** Called if the service answers otherwise than what was stored: build a new client of Stream. */
  onChanged?: ((me: Me) => void) | undefined;
}

/** Not secret: `localStorage` or `AsyncStorage` will do. Both methods may return a promise. */
export interface StoredMe {
  get(): Me | null | Promise<Me | null>;
  set(me: Me | null): unknown;
}

export interface Me {
  /** The user's ID on Stream, for `connectUser`. */
  user_id: string;
  /** The key to build Stream's client with. If none is active, `getMe` rejects. */
  api_key: string;
  issuer: string;
}

/**
 * Ask the service who the signed-in user is on Stream. If the answer is `stored`, return that one, and
 * ask in the background.
 */
export declare function getMe(options: MeOptions): Promise<Me>;

/** What `watchAccess` uses of the client of Stream's SDK. */
export interface ChatConnection {
  userID?: string;
  on(type: string, listener: (event: { cid?: string }) => void): { unsubscribe(): void };
  disconnectUser(): Promise<unknown>;
}

export interface WatchOptions extends Omit<MeOptions, "stored" | "onChanged"> {
  /** Called when the service refuses the user. The provider may have called its own before. */
  onSignedOut?: ((error: ServiceError) => void) | undefined;
}

/**
 * Leave when the user's access ends, although the connection is open. Call it before `connectUser`.
 *
 * The service then sends the event `tokensvc_check` to the user's clients. It is a hint, which others
 * can imitate: the client asks `/v1/me`, and disconnects only if the service refuses the user.
 *
 * @returns Stops watching. Not needed after `disconnectUser`.
 */
export declare function watchAccess(client: ChatConnection, options: WatchOptions): () => void;

/** Where a session keeps its refresh token. Both methods may return a promise. */
export interface SessionStorage {
  get(): string | null | Promise<string | null>;
  /** Store a token, or remove it if it is `null`. */
  set(token: string | null): unknown;
}

export interface SessionOptions extends Limits {
  /** URL of the service, without a path. */
  url: string;
  /** Name of the app at the service, `app` by default. */
  clientId?: string | undefined;
  /** In memory by default: the user is signed out when the page is closed. */
  storage?: SessionStorage | undefined;
  /**
   * Where refresh tokens stay if a sign-out does not reach the service, for `finishSignOut`: the last ten, as one text
   * with spaces between them. In memory by default.
   */
  ending?: SessionStorage | undefined;
  /** Called once, when the session has ended at the service. */
  onSignedOut?: ((error: ServiceError) => void) | undefined;
}

export interface Session {
  /** Create an account. It does not sign in. */
  signUp(account: {
    userId: string;
    password: string;
    user?: object;
    invitation?: string;
  }): Promise<{ user_id: string; created_at: number }>;
  signIn(credentials: { userId: string; password: string }): Promise<void>;
  /** End the session here and at the service. Here it ends in any case. */
  signOut(): Promise<void>;
  /** End each session whose sign-out did not reach the service. Call it at each start of the app too. */
  finishSignOut(): Promise<void>;
  /** For `makeTokenProvider` and `getMe`. Refreshes the session when needed, once for all callers. */
  getCredential(refresh?: boolean): Promise<string>;
  /** For `onSignedOut` of the provider: removes the session that the service has ended. */
  forget(error: ServiceError): Promise<void>;
}

/** Create the session of one app with the service's built-in accounts. */
export declare function makeSession(options: SessionOptions): Session;
