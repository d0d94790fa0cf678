// The globals of a browser or of React Native, in place of Node's.

const FETCH = ["fetch", "Headers", "Request", "Response", "AbortController", "AbortSignal"];
const NOT_IN_REACT_NATIVE = [...FETCH, "DOMException", "URLSearchParams", "structuredClone", "Event"];

export async function enter(platform) {
  if (platform === "node") return;
  const { Window } = await import("happy-dom");
  const window = new Window({ settings: { fetch: { disableSameOriginPolicy: true } } });
  if (platform === "browser") {
    for (const name of FETCH) globalThis[name] = window[name];
    globalThis.fetch = window.fetch.bind(window);
    return;
  }
  for (const name of NOT_IN_REACT_NATIVE) delete globalThis[name];
  for (const name of ["XMLHttpRequest", "Blob", "FileReader"]) globalThis[name] = window[name];
  // As React Native's own set-up does:
  Object.assign(globalThis, await import("abort-controller"));
  await import("whatwg-fetch");
}
