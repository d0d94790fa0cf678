import type { TokenProvider, TokenProviderOptions } from "./index.js";

/**
 * Create a token provider that stays the same while the component renders, so that Stream's hooks do
 * not reconnect. The callbacks of the last render are used.
 *
 * @param signIn Differs after each sign-in, such as the time of it: a provider whose user was signed
 *   out sends no request, so the next sign-in needs a new one.
 */
export declare function useTokenProvider(
  options: TokenProviderOptions,
  signIn: string | number,
): TokenProvider;
