// The session and every request. The session's token is in this tab's sessionStorage, so
// that a reload keeps it; a key is never kept, and neither is in an address.
import { events } from './sse.js';
import { pause } from './dom.js';

const place = 'wptk-console';
const base = new URL('api/v1', document.baseURI).href;
const door = new URL('console/session', document.baseURI).href;

// Refused is an answer that says no.
export class Refused extends Error {
  constructor(status, body, wait) {
    super([body?.error ?? 'HTTP ' + status, body?.hint].filter(Boolean).join(': '));
    this.status = status;
    this.wait = wait;
  }
}

let session = JSON.parse(sessionStorage.getItem(place) ?? 'null');
let ended = () => {};
let left = 60; // requests in the present window

export const current = () => session;
export const whenEnded = (f) => { ended = f; };

// calm is how much slower to ask when the limit comes near.
export const calm = () => (left < 15 ? 3 : 1);

function keep(next) {
  session = next;
  if (next) sessionStorage.setItem(place, JSON.stringify(next));
  else sessionStorage.removeItem(place);
}

async function ask(address, method, token, { headers, body, signal } = {}) {
  const res = await fetch(address, {
    method, signal, cache: 'no-store', credentials: 'omit', redirect: 'error',
    headers: { ...(token && { Authorization: 'Bearer ' + token }), ...(body && { 'Content-Type': 'application/json' }), ...headers },
    body: body && JSON.stringify(body),
  });
  left = Number(res.headers.get('X-RateLimit-Remaining') ?? left);
  if (res.ok) return res;
  const wait = 1000 * Number(res.headers.get('Retry-After') ?? 0);
  throw new Refused(res.status, await res.json().catch(() => null), wait);
}

// signIn exchanges a code for a session.
export async function signIn(code) {
  const res = await ask(door, 'POST', '', { body: { code } });
  keep(await res.json());
}

// signInWith makes a code with a key and forgets the key.
export async function signInWith(key) {
  const res = await ask(base + '/console/links', 'POST', key);
  await signIn((await res.json()).code);
}

export async function signOut() {
  const token = session?.token;
  keep(null);
  if (token) await ask(door, 'DELETE', token).catch(() => {}); // it ends by itself as well
}

async function call(method, path, options) {
  const mine = session;
  try {
    return await ask(base + path, method, mine?.token, options);
  } catch (e) {
    if (e.status === 401 && session === mine) {
      keep(null);
      ended();
    }
    throw e;
  }
}

export const get = async (path, signal) => (await call('GET', path, { signal })).json();

// change asks for a change; its own Idempotency-Key makes a second try of the browser harmless.
export const change = async (path) =>
  (await call('POST', path, { headers: { 'Idempotency-Key': crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4))).join('-') } })).json();

const silence = 45_000; // three heartbeats

// stream yields the events of a stream until it ends. One that has gone silent is cut off.
export async function* stream(path, last, signal) {
  const cut = new AbortController();
  const stop = () => cut.abort();
  signal?.addEventListener('abort', stop);
  let timer = setTimeout(stop, silence);
  try {
    const res = await call('GET', path, { signal: cut.signal, headers: last ? { 'Last-Event-ID': last } : {} });
    if (!res.body || res.status === 204) return;
    for await (const event of events(res.body)) {
      clearTimeout(timer);
      timer = setTimeout(stop, silence);
      yield event;
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    cut.abort();
  }
}

// again does something every so often until the signal: slower when the limit is near, when
// the API asks for it, or when nobody looks.
export async function again(every, signal, f) {
  while (!signal.aborted) {
    let wait = every * calm();
    try {
      await f();
    } catch (e) {
      if (signal.aborted) return;
      wait = Math.max(wait, e.wait ?? 0);
    }
    await pause(document.hidden ? Math.max(wait, 30_000) : wait);
  }
}
