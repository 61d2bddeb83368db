// Requests to the API: keys, language and errors.
import { t } from "../messages.js";
import { readSetting, userId } from "./browser-storage.js";
import { getState, setState } from "./store.js";

const BASE_URL = new URL("../../", import.meta.url);

/** An error with a message for the user. `retryAfterS` is how long to wait, or null. */
export class CallError extends Error {
  constructor(code, message, { status = 0, retryAfterS = null, reason = null } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterS = retryAfterS;
    this.reason = reason;
  }
}

export function createConnectionError() {
  return new CallError("connection_lost", t("connection_lost"));
}

/**
 * Send a request. `query` gets the user id unless `anonymous`. Resolves to a successful response;
 * rejects with CallError, or with AbortError if `signal` ended it.
 */
export async function request(path, options = {}) {
  const { method = "GET", query = {}, body, file, headers = {}, signal, anonymous } = options;
  const url = new URL(path, BASE_URL);
  const user = userId();
  if (!anonymous && user !== null) url.searchParams.set("user_id", user);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const sent = { "Accept-Language": getState().language, ...headers };
  const key = readSetting("key");
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
    throw createConnectionError();
  }
  if (response.ok) return response;
  const error = await readError(response);
  if (response.status === 401) setState({ keyNeeded: true });
  throw error;
}

export async function requestJson(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw createConnectionError();
  }
}

async function readError(response) {
  let body = {};
  try {
    body = (await response.json()).error || {};
  } catch {
    // not an error of the API: only the status is known
  }
  const header = Number(response.headers.get("Retry-After"));
  return new CallError(body.code || `http_${response.status}`, body.message || t("error_unknown"), {
    status: response.status,
    retryAfterS: body.retry_after_s ?? (header > 0 ? header : null),
    reason: body.reason ?? null,
  });
}

/** Milliseconds until the limits are read again after no assistant has answered. */
const LIMITS_RETRY_MS = 5000;

/** Read the size limits of the API into `state.limits`. Until then the server alone checks them. */
export async function loadLimits() {
  for (const assistant of ["office", "character"]) {
    try {
      setState({ limits: await requestJson(`${assistant}/limits`, { anonymous: true }) });
      return;
    } catch {
      // the other assistant has the same limits
    }
  }
  // entering a key loads the page again
  if (!getState().keyNeeded) setTimeout(loadLimits, LIMITS_RETRY_MS);
}

/** Read which model an assistant answers with into `state.models`; without it nothing is said. */
export async function loadModel(assistant) {
  try {
    const model = await requestJson(`${assistant}/model`, { anonymous: true });
    setState({ models: { ...getState().models, [assistant]: model } });
  } catch {
    if (!getState().keyNeeded) setTimeout(() => loadModel(assistant), LIMITS_RETRY_MS);
  }
}

/** The error event of a stream as a CallError. */
export function toCallError(data) {
  return new CallError(data.code || "unknown", data.message || t("error_unknown"), {
    retryAfterS: data.retry_after_s ?? null,
  });
}

/** Save a response as a file. */
export async function downloadResponse(response, name) {
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 30_000);
}
