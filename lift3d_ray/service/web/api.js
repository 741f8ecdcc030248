// The API, as this page uses it: one door for every request, with the key where the service asks for one.

const KEY = "lift3d-key";
const PATIENCE_MS = 60000;
const PICTURES_KEPT = 80;

export class ApiError extends Error {
  constructor(status, code, message, retryAfterS = 0) {
    super(message);
    Object.assign(this, { status, code, retryAfterS });
  }
}

let key = remembered();
let askForKey = async () => false;

function remembered() { try { return sessionStorage.getItem(KEY); } catch { return null; } }

export function hasKey() { return Boolean(key); }

export function setKey(text) {
  key = text || null;
  forgetPictures();
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch { /* a browser without storage keeps it as long as the page */ }
}

// ``ask`` has the person give a key, and says whether one came.
export function onKeyWanted(ask) { askForKey = ask; }

async function send(path, { method = "GET", headers = {}, body, signal, patient = false } = {}) {
  const all = { ...headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const clock = patient ? [] : [AbortSignal.timeout(PATIENCE_MS)];
  const either = AbortSignal.any([...clock, ...(signal ? [signal] : [])]);
  try {
    return await fetch(path, { method, headers: all, body, signal: either, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "offline", "");
  }
}

// An answer that is a success; every other one is thrown.
export async function request(path, options = {}) {
  for (;;) {
    const used = key;
    const answer = await send(path, options);
    if (answer.ok || answer.status === 304) return answer;
    const error = await fault(answer);
    // Somebody else's request may have got a new key meanwhile.
    if (answer.status === 401 && (key !== used || await askForKey(Boolean(used)))) continue;
    throw error;
  }
}

async function fault(answer) {
  const retryAfterS = Number(answer.headers.get("Retry-After")) || 0;
  try {
    const { code, message } = (await answer.json()).error;
    return new ApiError(answer.status, String(code), String(message), retryAfterS);
  } catch {
    return new ApiError(answer.status, "error", `The service answered ${answer.status} without saying why.`, retryAfterS);
  }
}

export async function json(path, options) { return (await request(path, options)).json(); }

export function uniqueName() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A request that must count once, however often the network makes us send it.
export async function jsonOnce(path, { headers = {}, tries = 3, ...options }) {
  const named = { ...headers, "Idempotency-Key": uniqueName() };
  for (let left = tries; ; left -= 1) {
    try {
      return await json(path, { ...options, headers: named });
    } catch (error) {
      if (error.code !== "offline" || left <= 1) throw error;
      await pause(1000);
    }
  }
}

export function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}

// ---- pictures and models, as addresses that elements take: an element cannot send a key ----

const pictures = new Map();

export async function objectUrl(path) {
  if (!pictures.has(path)) {
    const loading = request(path).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob));
    pictures.set(path, loading);
    loading.catch(() => pictures.delete(path));
    if (pictures.size > PICTURES_KEPT) release(pictures.keys().next().value);
  }
  return pictures.get(path);
}

export function release(path) {
  pictures.get(path)?.then(URL.revokeObjectURL, () => {});
  pictures.delete(path);
}

function forgetPictures() { for (const path of [...pictures.keys()]) release(path); }

// ---- events of a lift after one of them, as they happen, until it has ended or the signal says so ----

export async function follow(path, { signal, after, onEvent, onLost }) {
  let last = after;
  for (let wait = 1000; !signal.aborted; wait = Math.min(wait * 2, 15000)) {
    try {
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const answer = await request(path, { headers, signal, patient: true });
      if (answer.status === 204) return;
      for await (const event of eventsOf(answer.body)) {
        wait = 1000;
        last = event.id || last;
        onEvent(event);
      }
    } catch (error) {
      if (signal.aborted || error.status === 404 || error.status === 401) return;
      wait = Math.max(wait, 1000 * (error.retryAfterS ?? 0));
    }
    // Ended or cut off: asking again tells which.
    onLost();
    await pause(wait, signal);
  }
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value.replaceAll("\r\n", "\n");
      const frames = text.split("\n\n");
      text = frames.pop();
      for (const frame of frames) {
        const event = parsed(frame);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(frame) {
  const fields = {};
  for (const line of frame.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
  }
  return fields.data === undefined ? null : { id: fields.id, kind: fields.event, data: JSON.parse(fields.data) };
}
