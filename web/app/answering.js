// Asking for an answer and following it: new, again, onwards, or to an edited input.
import { t } from "../messages.js";
import { loadCharacter, playing } from "./cast.js";
import { CallError, eventError, request } from "./client.js";
import { remember, remembered, userId } from "./device.js";
import { answerEvents, endStream } from "./events.js";
import { refreshLibrary } from "./library.js";
import { dropFrom, giveBack, isAsked, recover, settle } from "./settling.js";
import { getState, setThread, toast } from "./store.js";
import { tell } from "./tabs.js";
import {
  asShown,
  ensureThread,
  loadThread,
  pathOf,
  putTurn,
  refreshTurn,
  threadKey,
  whenRead,
} from "./threads.js";

/** So often, in milliseconds, other tabs hear that an answer is still being followed here. */
const BEAT_MS = 2000;

const controllers = new Map();

/** Say something. `mode` is message, edit (of the turn at `index`), regenerate or proceed. */
export async function ask(assistant, dbId, { mode = "message", text = "", index = null, search = false }) {
  const key = threadKey(assistant, dbId);
  if (ensureThread(assistant, dbId).live?.running) return;
  // only then is it known which turn this will be
  await whenRead(key);
  const thread = getState().threads[key];
  if (!thread || thread.live?.running) return;
  const { turns, first } = thread;
  const last = turns.at(-1);
  const at = { message: last ? last.index + 1 : first, edit: index }[mode] ?? last.index;
  const live = {
    mode,
    index: at,
    input: mode === "message" || mode === "edit" ? text : last.input,
    text: "",
    base: mode === "proceed" ? last.output : "",
    // only a new message is looked up in the web
    search: Boolean(search) && (mode === "message" || mode === "edit"),
    queue: null,
    sources: [],
    warnings: [],
    error: null,
    lost: false,
    running: true,
  };
  await follow(assistant, dbId, live, (signal) => open(assistant, dbId, live, signal));
}

/** Try again what failed. */
export function askAgain(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const { live } = getState().threads[key];
  setThread(key, { live: null });
  return ask(assistant, dbId, { ...live, text: live.input });
}

/** Take up an answer that was under way when the page was left. */
export async function resume(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const left = remembered(`live:${key}`);
  const thread = getState().threads[key];
  if (!left || !thread || controllers.has(key)) return;
  const { turns } = thread;
  const base = left.mode === "proceed" ? turns.at(-1)?.output || "" : "";
  const live = { ...left.live, base, text: "", error: null, running: true, queue: null };
  await follow(assistant, dbId, live, null, left.streamId);
}

/** End the answer that is under way. What was said of it stays. Resolves when that is stored. */
export async function stop(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const running = controllers.get(key);
  if (!running) {
    tell({ type: "stop", key });
    return;
  }
  const { streamId } = running.place;
  running.ending ??= streamId ? endStream(assistant, streamId) : Promise.resolve();
  running.abort();
  await running.ended;
}

/** End the answer that is under way in whatever tab, as the conversation is about to be deleted:
 * an answer that is stored afterwards would bring it back. */
export async function halt(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  if (controllers.has(key)) return stop(assistant, dbId);
  const left = remembered(`live:${key}`);
  if (left?.streamId) await endStream(assistant, left.streamId);
}

/** This page is being left: another tab that shows one of its answers may take it up. */
addEventListener("pagehide", () => {
  for (const key of controllers.keys()) tell({ type: "left", key });
});

async function open(assistant, dbId, live, signal) {
  const { mode, input, index, search } = live;
  const who = assistant === "character" ? playing(dbId) : {};
  const where = pathOf(assistant, dbId);
  const searching = assistant === "office" && search ? { google_access: true } : {};
  const user = userId();
  const calls = {
    message: [
      `${assistant}/Llama`,
      { input_data: input, db_id: dbId, ...(user ? { user_id: user } : {}), ...searching, ...who },
      true,
    ],
    edit: [`${where}/turns/${index}/edit`, { input_data: input, ...searching, ...who }],
    regenerate: [`${where}/regenerate`, who],
    proceed: [`${where}/continue`, who],
  };
  const [path, body, anonymous = false] = calls[mode];
  const headers = { Accept: "text/event-stream", "X-Resumable": "true" };
  try {
    return await request(path, { method: "POST", body, headers, signal, anonymous });
  } catch (error) {
    const isGone = error.status === 404 && who.character_id;
    if (isGone && (await loadCharacter(who.character_id)) === null) {
      throw new CallError("no_character", t("character_gone"));
    }
    throw error;
  }
}

async function follow(assistant, dbId, live, opening, streamId = null) {
  const key = threadKey(assistant, dbId);
  const controller = new AbortController();
  const place = { assistant, streamId, lastId: null };
  const running = { abort: () => controller.abort(), place, ending: null };
  running.ended = new Promise((resolve) => {
    running.end = resolve;
  });
  controllers.set(key, running);
  remember(`unsent:${key}`, live.mode === "message" ? live.input : null);
  setThread(key, { live, note: null });
  const show = throttled(key, live);
  show();
  const beat = setInterval(show.beat, BEAT_MS);
  let failure = null;
  try {
    const events = answerEvents({
      opening: opening && (() => opening(controller.signal)),
      place,
      signal: controller.signal,
      onPlace: () => {
        if (place.streamId) {
          const kept = { mode: live.mode, index: live.index, input: live.input };
          remember(`live:${key}`, { streamId: place.streamId, mode: live.mode, live: kept });
        }
      },
      onLost: (lost) => {
        live.lost = lost;
        show();
      },
    });
    for await (const { event, data } of events) {
      if (event === "queued") live.queue = data;
      if (event === "sources") Object.assign(live, data, { queue: null });
      if (event === "delta") {
        live.queue = null;
        live.text += data.text;
      }
      if (event === "error") throw eventError(data);
      if (event === "done") await finish(assistant, dbId, live, data);
      show();
    }
  } catch (error) {
    failure = error;
  }
  clearInterval(beat);
  show.end();
  await running.ending;
  try {
    if (failure) await fail(assistant, dbId, live, failure);
  } finally {
    controllers.delete(key);
    remember(`live:${key}`, null);
    running.end();
  }
  tell({ type: "changed", key });
  refreshLibrary();
}

async function finish(assistant, dbId, live, done) {
  const key = threadKey(assistant, dbId);
  remember(`unsent:${key}`, null);
  live.running = false;
  const note = done.context?.turns_left_out ? done.context : null;
  const sources = done.sources?.length ? done.sources : live.sources;
  const index = done.turn ?? live.index;
  if (isAsked(live)) {
    if (live.mode === "edit") dropFrom(key, index);
    const turn = {
      index,
      input: live.input,
      outputs: [live.text],
      selected: 0,
      alternatives: [
        {
          text: live.text,
          status: "complete",
          finish_reason: done.finish_reason,
          model: done.model,
          sources,
        },
      ],
    };
    putTurn(key, asShown(turn));
  } else {
    await refreshTurn(assistant, dbId, index);
  }
  const warnings = done.warnings?.length ? done.warnings : live.warnings;
  setThread(key, { live: null, note: note || warnings.length ? { ...note, warnings } : null });
}

async function fail(assistant, dbId, live, error) {
  const key = threadKey(assistant, dbId);
  live.running = false;
  if (error.name === "AbortError" || error.code === "stream_cancelled") {
    await settle(assistant, dbId, live);
    return;
  }
  if (!(error instanceof CallError)) console.error(error);
  const told = error instanceof CallError ? error : new CallError("page", t("error_unknown"));
  if (told.code === "stream_gone") {
    await recover(assistant, dbId, live, told);
    return;
  }
  if (!live.text) {
    setThread(key, { live: { ...live, error: told } });
    return;
  }
  await settle(assistant, dbId, live);
  toast(told.message);
}

/** Show `live` at most once a frame here and five times a second in other tabs. */
function throttled(key, live) {
  let frame = 0;
  let ended = false;
  let told = 0;
  const draw = () => {
    frame = 0;
    if (ended || !live.running) return;
    setThread(key, { live: { ...live } });
  };
  const tellOthers = () => {
    if (ended || !live.running) return;
    told = Date.now();
    tell({ type: "live", key, live: { ...live, remote: true } });
  };
  const show = () => {
    // not with the frame: a tab in the background draws none
    if (Date.now() - told > 200) tellOthers();
    if (!frame) frame = document.hidden ? setTimeout(draw, 100) : requestAnimationFrame(draw);
  };
  show.beat = tellOthers;
  show.end = () => {
    ended = true;
  };
  return show;
}

/** Open a conversation: read its turns, and what of it is under way. */
export async function openThread(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const known = getState().threads[key];
  if (known?.loaded || known?.loading) return;
  await loadThread(assistant, dbId);
  const left = remembered(`unsent:${key}`);
  if (remembered(`live:${key}`)) await resume(assistant, dbId);
  else if (left && getState().threads[key].turns.at(-1)?.input !== left) {
    giveBack(key, left);
  }
}
