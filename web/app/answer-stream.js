// Server-sent events over fetch, with reconnection.
import { t } from "../messages.js";
import { CallError, createConnectionError, request } from "./client.js";

/** Seconds to wait before each attempt to reconnect; after the last one the stream is lost. */
const RESUME_PAUSES_S = [0.3, 1, 2, 3, 5, 5, 10, 10, 10];

/** Split a response into events `{event, data, id}`; data is parsed JSON. */
async function* parseEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const found = block && parseEvent(block);
        if (found) yield found;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  const fields = { event: "message", data: [], id: null };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") fields.data.push(value);
    else if (name in fields) fields[name] = value;
  }
  if (!fields.data.length) return null;
  return { event: fields.event, id: fields.id, data: JSON.parse(fields.data.join("\n")) };
}

/**
 * The events of one answer, up to `done` or `error`.
 *
 * opening   requests the first response; null to resume the stream of an earlier visit
 * place     `{assistant, streamId, lastId}`, updated while reading
 * onPlace   called when the stream id is known and after every event that has an id
 * onLost    called with true when the connection is lost and with false when it is restored
 */
export async function* readAnswerEvents({ opening, place, signal, onPlace, onLost }) {
  let response = opening ? await opening() : null;
  if (response) place.streamId = response.headers.get("X-Stream-Id");
  if (place.streamId) onPlace(place);
  let attempt = 0;
  while (true) {
    try {
      response ??= await request(`${place.assistant}/streams/${place.streamId}`, {
        headers: {
          Accept: "text/event-stream",
          ...(place.lastId ? { "Last-Event-ID": place.lastId } : {}),
        },
        signal,
      });
      for await (const found of parseEvents(response)) {
        if (attempt) onLost(false);
        attempt = 0;
        if (found.id) {
          place.lastId = found.id;
          onPlace(place);
        }
        yield found;
        if (found.event === "done" || found.event === "error") return;
      }
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (error instanceof CallError && error.code !== "connection_lost" && !error.retryAfterS) {
        const isGone = error.status === 404 || error.status === 410;
        throw isGone ? new CallError("stream_gone", t("connection_lost")) : error;
      }
    }
    response = null;
    if (!place.streamId || attempt >= RESUME_PAUSES_S.length) throw createConnectionError();
    onLost(true);
    await waitToReconnect(RESUME_PAUSES_S[attempt++], signal);
  }
}

/** Longest wait for a stream to end, in milliseconds. */
const END_MS = 8000;

/**
 * End a stream at the server and wait until it has ended: a resumable stream runs on without its
 * reader. Resolves to false if it did not end in time.
 */
export async function endStream(assistant, streamId) {
  const path = `${assistant}/streams/${streamId}`;
  const signal = AbortSignal.timeout(END_MS);
  for (const wait of [0.3, 1, 2, null]) {
    try {
      await request(path, { method: "DELETE", signal });
      const rest = await request(path, { headers: { Accept: "text/event-stream" }, signal });
      await rest.text();
      return true;
    } catch (error) {
      if (error.status === 404 || error.status === 410) return true;
      if (wait === null || signal.aborted) return false;
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  }
  return false;
}

function waitToReconnect(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new DOMException("stopped", "AbortError"));
    if (signal.aborted) stop();
    const timer = setTimeout(resolve, seconds * 1000);
    // reconnect at once when the network is back
    addEventListener("online", resolve, { once: true });
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      stop();
    });
  });
}
