// Requests to the API: their failures in words, and what to do when the server is gone or slow.

import { el, fill, one } from "./dom.js";

const BASE = "/api/v1";
const SLOW = 400;
const AGAIN = [500, 1000, 2000, 4000];

/** A request that was not answered; `message` is for people. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `The server answered with status ${status}.`);
    this.status = status;
    this.body = body;
  }
}

/** Return what a path of the API answers. */
export const get = (path, { signal } = {}) => ask(path, { signal });

/** Send a form. */
export const send = (path, form, { signal } = {}) => ask(path, { method: "POST", body: form, signal });

/** Send JSON. */
export const post = (path, value) =>
  ask(path, { method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

/** Return a segment of a path. */
export const segment = (text) => encodeURIComponent(text);

async function ask(path, options) {
  const bar = one("#progress");
  const timer = setTimeout(() => { bar.hidden = false; }, SLOW);
  waiting += 1;
  try {
    for (let attempt = 0; ; attempt += 1) {
      const response = await reach(BASE + path, options);
      if ((response.status === 503 || response.status === 429) && response.headers.has("Retry-After")
          && attempt < AGAIN.length) {
        await pause(AGAIN[attempt], options.signal);
        continue;
      }
      const body = await response.json().catch(() => ({}));
      if (response.status === 401) location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
      if (!response.ok) throw new Refused(response.status, body);
      return body;
    }
  } finally {
    clearTimeout(timer);
    waiting -= 1;
    if (!waiting) bar.hidden = true;
  }
}

let waiting = 0;

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Refused(0, { error: "The server cannot be reached. It may have been stopped; this page tries again by itself." });
  }
}

const pause = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("", "AbortError")); });
  });

let looking = false;

/** Say that the server is gone, until it is back. */
function lost() {
  if (looking) return;
  looking = true;
  const banner = one("#lost");
  fill(banner, el("strong", {}, "The server cannot be reached."),
    " What you see may be out of date. This page looks for it again every second.");
  banner.hidden = false;
  const look = async () => {
    const answer = await fetch("/healthz", { cache: "no-store" }).catch(() => null);
    if (answer?.ok) {
      looking = false;
      banner.hidden = true;
      dispatchEvent(new Event("back"));
    } else setTimeout(look, 1000);
  };
  setTimeout(look, 1000);
}

/** Call a function once the server is back after it was gone. */
export const onBack = (call) => addEventListener("back", call);

/** Return the indexes that are served. */
export const indexes = async () => (await get("/indexes")).indexes;
