// What the page asks its server, and nothing else asks: searches, the gallery, uploads, and the token's cookie.

import { ofModel } from "./models.js";

// An error as the server tells it (RFC 9457), or that no server answered.
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const AWAY = "The server does not answer. Is it running?";
const local = new Map();

// Films that came from this page are shown from the reader's own disk: the server keeps what it found in them, not them.
export function keepLocal(id, file) {
  if (local.has(id)) URL.revokeObjectURL(local.get(id));
  local.set(id, URL.createObjectURL(file));
}

export function filmUrl(id) {
  if (local.has(id)) return local.get(id);
  return document.documentElement.dataset.files ? ofModel(`/v1/video/file?id=${encodeURIComponent(id)}`) : null;
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", AWAY);
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  throw problemOf(response.status, await response.text());
}

function problemOf(status, text) {
  try {
    const told = JSON.parse(text);
    // How a program gives its token is no help here.
    return new Problem(status, told.code, told.detail.replace(": set FRAMESIFT_TOKEN", ""));
  } catch {
    return new Problem(status, "server", `The server answered with status ${status}.`);
  }
}

const json = (method, values, signal) => ({
  method,
  signal,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(values),
});

// A search, with a film or an image of the reader's if one is given, which the server keeps nowhere.
export function search(values, signal, file = null) {
  if (!file) return ask(ofModel("/v1/search"), json("POST", values, signal));
  const body = new FormData();
  body.append("search", JSON.stringify(values));
  body.append(/\.(npz|safetensors)$/i.test(file.name) ? "features" : "video", file, file.name);
  return ask(ofModel("/v1/search"), { method: "POST", signal, body });
}

// A page of the videos that a filter lets through, in the order of indexing: the first, or that after `next` of another.
export function videos(where, after, signal) {
  const given = Object.entries({ where, after }).filter(([, value]) => value);
  return ask(ofModel(`/v1/videos?${new URLSearchParams([["top", "24"], ...given])}`), { signal });
}

// A video as a search finds it; as the gallery has it where nothing is searched for, or the search leaves it out.
export async function alone(id, values, signal) {
  const found = values ? (await search({ ...values, top: 1, candidates: [id] }, signal)).results[0].hits : [];
  return found[0] ?? ask(ofModel(`/v1/video?id=${encodeURIComponent(id)}`), { signal });
}

export const gallery = (signal) => ask(ofModel("/v1/gallery"), { signal });

// Why the server sends no file of a film; nothing where it does.
export async function whyNoFilm(url) {
  if (url.startsWith("blob:")) return "";
  try {
    const response = await fetch(url, { headers: { range: "bytes=0-0" } });
    return response.ok ? "" : problemOf(response.status, await response.text()).message;
  } catch {
    return AWAY;
  }
}

export const signIn = (token) => ask("/session", json("POST", { token }));

export const signOut = () => ask("/session", { method: "DELETE" });

// Send a file; `moved` is told how much of it is on its way. Returns what became of it, and a way to stop.
export function upload(file, moved) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    const query = new URLSearchParams({ id: file.name, source: file.name });
    request.open("POST", ofModel(`/v1/videos?${query}`));
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = (event) => moved(event.loaded, event.total);
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(problemOf(request.status, request.responseText));
    };
    request.onerror = () => reject(new Problem(0, "unreachable", "The connection broke off."));
    request.onabort = () => reject(new Problem(0, "stopped", "Stopped."));
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}
