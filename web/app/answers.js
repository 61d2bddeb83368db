// Requests an answer and shows it as it arrives: to a new or edited message, again, or continued.
import { t } from "../messages.js";
import { loadCharacter, buildCharacterFields } from "./characters.js";
import { CallError, toCallError, request } from "./client.js";
import { saveSetting, readSetting, userId } from "./browser-storage.js";
import { readAnswerEvents, endStream } from "./answer-stream.js";
import { refreshConversations } from "./conversations.js";
import { removeTurnsFrom, restoreDraft, hasNewInput, recoverLostStream, showStoredAnswer } from "./recovery.js";
import { getState, setThread, toast } from "./store.js";
import { broadcast } from "./tabs.js";
import {
  withSelectedAnswer,
  ensureThread,
  loadThread,
  conversationPath,
  putTurn,
  refreshTurn,
  threadKey,
  waitForLoad,
} from "./threads.js";

/** Milliseconds between heartbeats that tell other tabs that this one still reads an answer. */
const HEARTBEAT_MS = 2000;

const activeAnswers = new Map();

/** Request an answer. `mode` is message, edit (of the turn at `index`), regenerate or continue. */
export async function ask(assistant, dbId, { mode = "message", text = "", index = null, search = false }) {
  const key = threadKey(assistant, dbId);
  if (ensureThread(assistant, dbId).live?.running) return;
  // the turn's index is known only once the turns are loaded
  await waitForLoad(key);
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
    base: mode === "continue" ? last.output : "",
    // web search applies to new and edited messages only
    search: Boolean(search) && (mode === "message" || mode === "edit"),
    queue: null,
    sources: [],
    warnings: [],
    error: null,
    lost: false,
    running: true,
  };
  await followAnswer(assistant, dbId, live, (signal) => requestAnswer(assistant, dbId, live, signal));
}

/** Repeat the request that failed. */
export function retry(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const { live } = getState().threads[key];
  setThread(key, { live: null });
  return ask(assistant, dbId, { ...live, text: live.input });
}

/** Resume an answer that was running when the page was closed or reloaded. */
export async function resume(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const left = readSetting(`live:${key}`);
  const thread = getState().threads[key];
  if (!left || !thread || activeAnswers.has(key)) return;
  const { turns } = thread;
  // earlier versions stored "proceed"
  const mode = left.mode === "proceed" ? "continue" : left.mode;
  const base = mode === "continue" ? turns.at(-1)?.output || "" : "";
  const live = { ...left.live, mode, base, text: "", error: null, running: true, queue: null };
  await followAnswer(assistant, dbId, live, null, left.streamId);
}

/** Stop the running answer. The text so far is kept. Resolves once it is stored. */
export async function stop(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const running = activeAnswers.get(key);
  if (!running) {
    broadcast({ type: "stop", key });
    return;
  }
  const { streamId } = running.place;
  running.ending ??= streamId ? endStream(assistant, streamId) : Promise.resolve();
  running.abort();
  await running.ended;
}

/** Stop the running answer in whichever tab reads it. Called before a conversation is deleted: an
 * answer stored afterwards would create it again. */
export async function stopInAnyTab(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  if (activeAnswers.has(key)) return stop(assistant, dbId);
  const left = readSetting(`live:${key}`);
  if (left?.streamId) await endStream(assistant, left.streamId);
}

// another tab that shows one of these answers resumes it
addEventListener("pagehide", () => {
  for (const key of activeAnswers.keys()) broadcast({ type: "left", key });
});

async function requestAnswer(assistant, dbId, live, signal) {
  const { mode, input, index, search } = live;
  const fields = assistant === "character" ? buildCharacterFields(dbId) : {};
  const where = conversationPath(assistant, dbId);
  const searching = assistant === "office" && search ? { google_access: true } : {};
  const user = userId();
  const calls = {
    message: [
      `${assistant}/Llama`,
      { input_data: input, db_id: dbId, ...(user ? { user_id: user } : {}), ...searching, ...fields },
      true,
    ],
    edit: [`${where}/turns/${index}/edit`, { input_data: input, ...searching, ...fields }],
    regenerate: [`${where}/regenerate`, fields],
    continue: [`${where}/continue`, fields],
  };
  const [path, body, anonymous = false] = calls[mode];
  const headers = { Accept: "text/event-stream", "X-Resumable": "true" };
  try {
    return await request(path, { method: "POST", body, headers, signal, anonymous });
  } catch (error) {
    const isGone = error.status === 404 && fields.character_id;
    if (isGone && (await loadCharacter(fields.character_id)) === null) {
      throw new CallError("no_character", t("character_gone"));
    }
    throw error;
  }
}

async function followAnswer(assistant, dbId, live, opening, streamId = null) {
  const key = threadKey(assistant, dbId);
  const controller = new AbortController();
  const place = { assistant, streamId, lastId: null };
  const running = { abort: () => controller.abort(), place, ending: null };
  running.ended = new Promise((resolve) => {
    running.end = resolve;
  });
  activeAnswers.set(key, running);
  saveSetting(`unsent:${key}`, live.mode === "message" ? live.input : null);
  setThread(key, { live, note: null });
  const show = createLiveUpdater(key, live);
  show();
  const beat = setInterval(show.beat, HEARTBEAT_MS);
  let failure = null;
  try {
    const events = readAnswerEvents({
      opening: opening && (() => opening(controller.signal)),
      place,
      signal: controller.signal,
      onPlace: () => {
        if (place.streamId) {
          const kept = { mode: live.mode, index: live.index, input: live.input };
          saveSetting(`live:${key}`, { streamId: place.streamId, mode: live.mode, live: kept });
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
      if (event === "error") throw toCallError(data);
      if (event === "done") await showAnswer(assistant, dbId, live, data);
      show();
    }
  } catch (error) {
    failure = error;
  }
  clearInterval(beat);
  show.end();
  await running.ending;
  try {
    if (failure) await handleFailure(assistant, dbId, live, failure);
  } finally {
    activeAnswers.delete(key);
    saveSetting(`live:${key}`, null);
    running.end();
  }
  broadcast({ type: "changed", key });
  refreshConversations();
}

async function showAnswer(assistant, dbId, live, done) {
  const key = threadKey(assistant, dbId);
  saveSetting(`unsent:${key}`, null);
  live.running = false;
  const note = done.context?.turns_left_out ? done.context : null;
  const sources = done.sources?.length ? done.sources : live.sources;
  const index = done.turn ?? live.index;
  if (hasNewInput(live)) {
    if (live.mode === "edit") removeTurnsFrom(key, index);
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
    putTurn(key, withSelectedAnswer(turn));
  } else {
    await refreshTurn(assistant, dbId, index);
  }
  const warnings = done.warnings?.length ? done.warnings : live.warnings;
  setThread(key, { live: null, note: note || warnings.length ? { ...note, warnings } : null });
}

async function handleFailure(assistant, dbId, live, error) {
  const key = threadKey(assistant, dbId);
  live.running = false;
  if (error.name === "AbortError" || error.code === "stream_cancelled") {
    await showStoredAnswer(assistant, dbId, live);
    return;
  }
  if (!(error instanceof CallError)) console.error(error);
  const shown = error instanceof CallError ? error : new CallError("page", t("error_unknown"));
  if (shown.code === "stream_gone") {
    await recoverLostStream(assistant, dbId, live, shown);
    return;
  }
  if (!live.text) {
    setThread(key, { live: { ...live, error: shown } });
    return;
  }
  await showStoredAnswer(assistant, dbId, live);
  toast(shown.message);
}

/** A function that shows `live` at most once per frame here and five times a second in other tabs. */
function createLiveUpdater(key, live) {
  let frame = 0;
  let ended = false;
  let broadcastAt = 0;
  const draw = () => {
    frame = 0;
    if (ended || !live.running) return;
    setThread(key, { live: { ...live } });
  };
  const updateTabs = () => {
    if (ended || !live.running) return;
    broadcastAt = Date.now();
    broadcast({ type: "live", key, live: { ...live, remote: true } });
  };
  const show = () => {
    // not in the frame callback: background tabs get none
    if (Date.now() - broadcastAt > 200) updateTabs();
    if (!frame) frame = document.hidden ? setTimeout(draw, 100) : requestAnimationFrame(draw);
  };
  show.beat = updateTabs;
  show.end = () => {
    ended = true;
  };
  return show;
}

/** Open a conversation: load its turns and resume its running answer. */
export async function openThread(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const known = getState().threads[key];
  if (known?.loaded || known?.loading) return;
  await loadThread(assistant, dbId);
  const left = readSetting(`unsent:${key}`);
  if (readSetting(`live:${key}`)) await resume(assistant, dbId);
  else if (left && getState().threads[key].turns.at(-1)?.input !== left) {
    restoreDraft(key, left);
  }
}
