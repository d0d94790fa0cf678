"use client";

import { useEffect, useMemo, useRef } from "react";
import { makeTokenProvider } from "./provider.js";

/**
 * @param {import("./index.js").TokenProviderOptions} options
 * @param {string | number} signIn
 * @returns {import("./index.js").TokenProvider}
 */
export function useTokenProvider(options, signIn) {
  const latest = useRef(options);
  useEffect(() => void (latest.current = options));
  return useMemo(() => {
    const { getCredential } = options;
    return makeTokenProvider({
      ...options,
      getCredential: getCredential && ((refresh) => (latest.current.getCredential ?? getCredential)(refresh)),
      onSignedOut: (error) => latest.current.onSignedOut?.(error),
    });
  }, [options.url, options.apiKey, signIn]);
}
