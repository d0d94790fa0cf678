// Requests to the service: their time limit, their retries, and the three ways in which they fail.

const SIGN_IN_AGAIN = new Set(["sign_in_required", "user_suspended", "user_erased", "invalid_grant"]);
const LONGEST_PAUSE = 30000; // milliseconds between two attempts

/** A request that failed. Its `kind` says what the app does next. */
export class ServiceError extends Error {
  /**
   * @param {string} message
   * @param {Partial<import("./index.js").ServiceError>} facts
   */
  constructor(message, { kind = "refused", code, status, retryAfter = 0, problem, cause }) {
    super(message);
    this.name = "ServiceError";
    this.kind = kind;
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
    this.problem = problem;
    this.cause = cause;
  }
}

/**
 * @param {string} [message]
 * @param {unknown} [cause]
 */
export function signedOut(message = "No user is signed in.", cause) {
  return new ServiceError(message, { kind: "sign_in_again", code: "signed_out", cause });
}

/**
 * A success that is not the service's: the page of a captive portal, for example.
 *
 * @param {string} message
 */
export function notNow(message) {
  return new ServiceError(message, { kind: "try_later", status: 200 });
}

/**
 * Send one request and return the JSON of its response.
 *
 * @param {string} url
 * @param {{ method: string, headers?: Record<string, string>, body?: string, signal?: AbortSignal }} request
 * @param {{ mayBeEmpty?: boolean }} [response]
 * @returns {Promise<any>}
 */
export async function send(url, request, { mayBeEmpty = false } = {}) {
  let response, text;
  try {
    response = await fetch(url, request);
    text = await response.text();
  } catch (error) {
    throw new ServiceError(`${url} cannot be reached: ${error}`, { kind: "try_later", cause: error });
  }
  const body = parse(text);
  if (response.ok && (body || (mayBeEmpty && !text))) return body;
  throw failure(url, response, body ?? {});
}

/** @param {string} text */
function parse(text) {
  try {
    const body = JSON.parse(text);
    return typeof body === "object" ? body : null;
  } catch {
    return null; // a page of a proxy or of a captive portal
  }
}

/**
 * @param {string} url
 * @param {Response} response
 * @param {any} problem a problem document, or an error of OAuth
 */
function failure(url, { ok, status, headers }, problem) {
  const code = problem.code ?? problem.error;
  let kind = "refused";
  if (SIGN_IN_AGAIN.has(code)) kind = "sign_in_again";
  else if (code === "backend_refused") kind = "refused"; // 502 of an example: a retry does not help
  else if (ok || status === 429 || status >= 500) kind = "try_later";
  const message =
    problem.detail ?? problem.error_description ?? code ?? `${url} responded with status ${status}`;
  const retryAfter = Math.max(0, Number(headers.get("Retry-After")) || 0);
  return new ServiceError(message, {
    kind: /** @type {import("./index.js").ErrorKind} */ (kind), code, status, retryAfter, problem,
  });
}

/**
 * Run attempts until one succeeds, fails permanently, or no time is left. A 401 is retried once,
 * immediately, with `refresh`.
 *
 * @template T
 * @param {(refresh: boolean, signal: AbortSignal) => Promise<T>} attempt
 * @param {{ timeLimit: number, giveUpAfter: number, canRefresh?: boolean, signal?: AbortSignal | undefined }} limits
 *   in milliseconds. After an abort no attempt starts.
 * @returns {Promise<T>}
 */
export async function retry(attempt, { timeLimit, giveUpAfter, canRefresh = false, signal }) {
  const end = Date.now() + giveUpAfter;
  for (let number = 0, refresh = false; ; number++) {
    try {
      return await withTimeLimit(timeLimit, (signal) => attempt(refresh, signal));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      /** @type {boolean} */
      const mayRefresh = canRefresh && !refresh && error.status === 401 && error.kind === "refused";
      if (error.kind !== "try_later" && !mayRefresh) throw error;
      const backOff = Math.min(250 * 2 ** number, LONGEST_PAUSE / 2) * (0.5 + Math.random());
      const pause = mayRefresh ? 0 : error.retryAfter * 1000 + backOff;
      if (Date.now() + pause > end) throw error;
      refresh = mayRefresh;
      await sleep(Math.min(pause, LONGEST_PAUSE), signal);
      if (signal?.aborted) throw error;
    }
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal | undefined} signal An abort ends the pause.
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
  });
}

/**
 * React Native has no `AbortSignal.timeout`, and its signals have no `reason`.
 *
 * @template T
 * @param {number} milliseconds
 * @param {(signal: AbortSignal) => Promise<T>} run
 * @returns {Promise<T>}
 */
export async function withTimeLimit(milliseconds, run) {
  const controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new ServiceError(`no response within ${milliseconds} ms`, { kind: "try_later" }));
      controller.abort();
    }, milliseconds);
  });
  try {
    return await Promise.race([run(controller.signal), /** @type {Promise<never>} */ (expired)]);
  } finally {
    clearTimeout(timer);
  }
}
