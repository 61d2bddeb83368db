// Asking for an answer and following it: new, again, onwards, or to an edited input.
import { t } from "../messages.js";
import { promptFields } from "./cast.js";
import { CallError, eventError, request } from "./client.js";
import { remember, remembered, userId } from "./device.js";
import { answerEvents } from "./events.js";
import { refreshLibrary } from "./library.js";
import { getState, setThread, toast } from "./store.js";
import { tell } from "./tabs.js";
import {
  asShown,
  ensureThread,
  loadThread,
  pathOf,
  putTurn,
  readTurns,
  refreshTurn,
  threadKey,
} from "./threads.js";

const controllers = new Map();

/** Say something. `mode` is message, edit (of the turn at `index`), regenerate or proceed. */
export async function ask(assistant, dbId, { mode = "message", text = "", index = null, search }) {
  const key = threadKey(assistant, dbId);
  if (ensureThread(assistant, dbId).live?.running) return;
  const { turns, first } = getState().threads[key];
  const last = turns.at(-1);
  const at = { message: last ? last.index + 1 : first, edit: index }[mode] ?? last.index;
  const live = {
    mode,
    index: at,
    input: mode === "message" || mode === "edit" ? text : last.input,
    text: "",
    base: mode === "proceed" ? last.output : "",
    search: Boolean(search),
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
  if (!left || controllers.has(key)) return;
  const { turns } = getState().threads[key];
  const base = left.mode === "proceed" ? turns.at(-1)?.output || "" : "";
  const live = { ...left.live, base, text: "", error: null, running: true, queue: null };
  await follow(assistant, dbId, live, null, left.streamId);
}

/** End the answer that is under way. What was said of it stays. */
export async function stop(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const running = controllers.get(key);
  if (!running) {
    tell({ type: "stop", key });
    return;
  }
  const { streamId } = running.place;
  if (streamId) {
    // a stream that can be taken up again goes on without its reader
    request(`${assistant}/streams/${streamId}`, { method: "DELETE" }).catch(() => {});
  }
  running.abort();
}

async function open(assistant, dbId, live, signal) {
  const { mode, input, index, search } = live;
  const who = assistant === "character" ? await promptFields(dbId) : {};
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
  return request(path, { method: "POST", body, headers, signal, anonymous });
}

async function follow(assistant, dbId, live, opening, streamId = null) {
  const key = threadKey(assistant, dbId);
  const controller = new AbortController();
  const place = { assistant, streamId, lastId: null };
  controllers.set(key, { abort: () => controller.abort(), place });
  remember(`unsent:${key}`, live.mode === "message" ? live.input : null);
  setThread(key, { live, note: null });
  const show = throttled(key, live);
  show();
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
  } finally {
    show.end();
    controllers.delete(key);
    remember(`live:${key}`, null);
  }
  if (failure) await fail(assistant, dbId, live, failure);
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
  if (live.mode === "message" || live.mode === "edit") {
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
  if (error.name === "AbortError") {
    await settle(assistant, dbId, live);
    return;
  }
  if (!(error instanceof CallError)) console.error(error);
  if (live.text) await settle(assistant, dbId, live);
  const told = error instanceof CallError ? error : new CallError("page", t("error_unknown"));
  setThread(key, ({ turns }) => {
    const isStored = live.text && turns.at(-1)?.index >= live.index;
    if (isStored && live.mode === "message") remember(`unsent:${key}`, null);
    return { live: isStored ? null : { ...live, error: told } };
  });
  if (getState().threads[key].live === null) toast(told.message);
}

/** After an answer that was cut short: wait until the server has stored what there was of it. */
async function settle(assistant, dbId, live) {
  const key = threadKey(assistant, dbId);
  const asked = live.mode === "message" || live.mode === "edit";
  if (!live.text || live.mode === "edit") {
    // an edit that broke off has changed nothing
    setThread(key, { live: null });
    if (live.mode === "message") {
      if (!remembered(`draft:${key}`)) remember(`draft:${key}`, live.input);
      tell({ type: "draft", key }, true);
    }
    remember(`unsent:${key}`, null);
    return;
  }
  const before = getState().threads[key].turns.find((turn) => turn.index === live.index);
  for (let attempt = 0; attempt < 12; attempt += 1) {
    try {
      const [turn] = await readTurns(assistant, dbId, live.index, 1);
      const changed = turn && (turn.output !== before?.output || turn.input !== before?.input);
      if (changed) {
        putTurn(key, turn);
        remember(`unsent:${key}`, null);
        setThread(key, { live: null });
        return;
      }
    } catch {
      // the next attempt may do
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  if (asked) return;
  setThread(key, { live: null });
}

function dropFrom(key, index) {
  setThread(key, ({ turns }) => ({ turns: turns.filter((turn) => turn.index < index) }));
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
    if (Date.now() - told > 200) {
      told = Date.now();
      tell({ type: "live", key, live: { ...live, remote: true } });
    }
  };
  const show = () => {
    frame ||= document.hidden ? setTimeout(draw, 100) : requestAnimationFrame(draw);
  };
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
    if (!remembered(`draft:${key}`)) remember(`draft:${key}`, left);
    remember(`unsent:${key}`, null);
    tell({ type: "draft", key }, true);
  }
}

