// Calls to the services: keys, languages and errors in one place.
import { t } from "../messages.js";
import { remembered, userId } from "./device.js";
import { getState, setState } from "./store.js";

const ROOT = new URL("../../", import.meta.url);

/** What went wrong, in words for the reader. `retryAfterS` is how long to wait, or null. */
export class CallError extends Error {
  constructor(code, message, { status = 0, retryAfterS = null, reason = null } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterS = retryAfterS;
    this.reason = reason;
  }
}

export function connectionError() {
  return new CallError("connection_lost", t("connection_lost"));
}

/**
 * One request. `query` gets the user unless `anonymous`. Resolves to the response, whatever its
 * kind; rejects with CallError, or AbortError where `signal` ended it.
 */
export async function request(path, options = {}) {
  const { method = "GET", query = {}, body, file, headers = {}, signal, anonymous } = options;
  const url = new URL(path, ROOT);
  const user = userId();
  if (!anonymous && user !== null) url.searchParams.set("user_id", user);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const sent = { "Accept-Language": getState().language, ...headers };
  const key = remembered("key");
  if (key) sent.Authorization = `Bearer ${key}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (file !== undefined) sent["Content-Type"] = "application/octet-stream";
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: sent,
      body: file ?? (body === undefined ? undefined : JSON.stringify(body)),
      signal,
      cache: "no-cache",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw connectionError();
  }
  if (response.ok) return response;
  const error = await errorOf(response);
  if (response.status === 401) setState({ keyNeeded: true });
  throw error;
}

export async function json(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw connectionError();
  }
}

async function errorOf(response) {
  let told = {};
  try {
    told = (await response.json()).error || {};
  } catch {
    // not from our services: the status has to do
  }
  const header = Number(response.headers.get("Retry-After"));
  return new CallError(told.code || `http_${response.status}`, told.message || t("error_unknown"), {
    status: response.status,
    retryAfterS: told.retry_after_s ?? (header > 0 ? header : null),
    reason: told.reason ?? null,
  });
}

/** The error event of a stream as an error. */
export function eventError(data) {
  return new CallError(data.code || "unknown", data.message || t("error_unknown"), {
    retryAfterS: data.retry_after_s ?? null,
  });
}

/** Let the reader keep a response as a file. */
export async function saveAs(response, name) {
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 30_000);
}
