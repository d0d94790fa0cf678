// What a failure means for the person in front of the app, and what to do next.

/**
 * @typedef {{
 *   kind: "sign-in" | "reconnect" | "later" | "wrong",
 *   title: string,
 *   text: string,
 *   next: string,
 *   last?: string,
 *   canReconnect?: boolean,
 * }} Explained
 */

/** @type {Record<string, string>} */
const REASONS = {
  too_short: "It is too short.",
  too_long: "It is too long.",
  invalid_characters: "It has characters that cannot be used.",
  too_common: "It is on the list of common passwords.",
  like_user_id: "It contains the user ID.",
  like_service_name: "It contains the name of the service.",
};

/**
 * Explain an error of the provider or of the session. Its `kind` decides what the app does.
 *
 * @param {any} error
 * @returns {Explained}
 */
export function explain(error) {
  if (error.code === "user_suspended") {
    return {
      kind: "sign-in",
      title: "Suspended by the operator",
      text: error.message,
      next: "No more tokens. Signing in does not help until the operator reinstates you.",
    };
  }
  if (error.code === "user_erased") {
    return {
      kind: "sign-in",
      title: "Erased by the operator",
      text: error.message,
      next: "This user ID cannot be used any longer. Sign up with another one.",
    };
  }
  if (error.kind === "sign_in_again") {
    return {
      kind: "sign-in",
      title: "Sign in again",
      text: error.message,
      next: "Enter your password and select “Sign in”.",
    };
  }
  if (error.kind === "try_later") {
    const wait = Math.max(1, error.retryAfter);
    return {
      kind: "later",
      title: "Try later",
      text: error.message,
      next: `Try again in ${wait} s, or start the service in the operator's pane.`,
      canReconnect: true,
    };
  }
  if (error.code === "api_key_unknown") {
    return {
      kind: "reconnect",
      title: "The Stream key was changed",
      text: error.message,
      next: "This client was built with a key that is retired. Reconnect it with the active key.",
      canReconnect: true,
    };
  }
  return { kind: "wrong", text: error.message, ...correction(error) };
}

/**
 * @param {any} error
 * @returns {{ title: string, next: string, canReconnect?: boolean }}
 */
function correction(error) {
  const entry = /** @type {Record<string, string>} */ ({
    credentials_invalid: "Check the user ID and the password. Without an account, sign up first.",
    user_id_taken: "Select “Sign in” if it is your account, or choose another user ID.",
    user_id_invalid: "Use a to z, 0 to 9, @, _ and -.",
    password_rejected: (error.problem?.reasons ?? [])
      .map((/** @type {string} */ reason) => REASONS[reason] ?? reason)
      .join(" "),
  })[error.code];
  if (entry) return { title: "Correct your entry", next: entry };
  return {
    title: "The app is misconfigured",
    next: "Its developer reads this text, and corrects the request or the setting.",
    canReconnect: true,
  };
}

/**
 * Explain an attempt that the provider will repeat by itself.
 *
 * @param {import("./observe.js").Attempt} attempt
 * @returns {Explained}
 */
export function explainWait({ status, code, retryAfter }) {
  const reason = status ? `${status} ${code ?? ""}`.trim() : "no response";
  return {
    kind: "later",
    title: "Waiting: the service is busy or down",
    text: reason,
    next: retryAfter
      ? `The provider tries again by itself, after ${retryAfter} s.`
      : "The provider tries again by itself, for a minute.",
  };
}
