// After an answer was stopped or interrupted: show what the server stored of it.
import { CallError } from "./client.js";
import { saveSetting } from "./browser-storage.js";
import { readDraft, saveDraft } from "./drafts.js";
import { getState, setThread } from "./store.js";
import { notifyTab } from "./tabs.js";
import { withSelectedAnswer, loadThread, putTurn, readTurns, refreshTurn, threadKey } from "./threads.js";

/** How often the stored turn is looked for; the server stores it right after the stream ends. */
const ATTEMPTS = 8;
const ATTEMPT_PAUSE_MS = 250;
/** A stream that could not be stopped runs on for its grace period; the turn is read again then. */
const REFRESH_DELAYS_MS = [5_000, 35_000];

export function hasNewInput(live) {
  return live.mode === "message" || live.mode === "edit";
}

/** Remove the turns from `index` on, before an edited message replaces them. */
export function removeTurnsFrom(key, index) {
  setThread(key, ({ turns }) => ({ turns: turns.filter((turn) => turn.index < index) }));
}

/** After an interrupted answer: show the stored turn, else the text received so far, else put the
 * message back into its field. */
export async function showStoredAnswer(assistant, dbId, live) {
  const key = threadKey(assistant, dbId);
  const thread = getState().threads[key];
  if (!thread) return;
  const before = thread.turns.find((turn) => turn.index === live.index);
  const turn = await findStoredTurn(assistant, dbId, live, before);
  if (turn) {
    if (live.mode === "edit") removeTurnsFrom(key, live.index);
    putTurn(key, turn);
  } else if (live.mode === "edit" || (live.mode === "message" && !live.text)) {
    // an interrupted edit has changed nothing
    restoreDraft(key, live.input);
  } else if (live.text) {
    if (live.mode === "message") putTurn(key, withSelectedAnswer(createInterruptedTurn(live)));
    scheduleRefresh(assistant, dbId, live.index);
  }
  saveSetting(`unsent:${key}`, null);
  setThread(key, { live: null });
}

/** After the server has discarded a stream: show `error` unless the answer is stored. */
export async function recoverLostStream(assistant, dbId, live, error) {
  const key = threadKey(assistant, dbId);
  await loadThread(assistant, dbId);
  const thread = getState().threads[key];
  if (!thread) return;
  const turn = thread.turns.find(({ index }) => index === live.index);
  const isStored = hasNewInput(live) ? turn && isSameText(turn.input, live.input) : true;
  if (isStored) saveSetting(`unsent:${key}`, null);
  // if the turns cannot be read, that error is shown instead
  setThread(key, { live: isStored || thread.error ? null : { ...live, error } });
}

async function findStoredTurn(assistant, dbId, live, before) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const [turn] = await readTurns(assistant, dbId, live.index, 1);
      if (turn && isUpdated(turn, live, before)) return turn;
    } catch (error) {
      if (error instanceof CallError && error.status === 401) return null;
    }
    const comes = live.text && live.mode !== "edit";
    if (!comes || attempt === ATTEMPTS) return null;
    await new Promise((resolve) => setTimeout(resolve, ATTEMPT_PAUSE_MS));
  }
}

function isUpdated(turn, live, before) {
  if (!before) return isSameText(turn.input, live.input);
  return turn.output !== before.output || turn.input !== before.input;
}

function isSameText(one, other) {
  return one.normalize("NFC").trim() === other.normalize("NFC").trim();
}

function createInterruptedTurn(live) {
  return {
    index: live.index,
    input: live.input,
    outputs: [live.text],
    selected: 0,
    alternatives: [
      {
        text: live.text,
        status: "interrupted",
        finish_reason: null,
        model: null,
        sources: live.sources,
      },
    ],
  };
}

function scheduleRefresh(assistant, dbId, index) {
  for (const wait of REFRESH_DELAYS_MS) {
    setTimeout(() => {
      const thread = getState().threads[threadKey(assistant, dbId)];
      if (thread && !thread.live) refreshTurn(assistant, dbId, index).catch(() => {});
    }, wait);
  }
}

/** Put a message that got no answer back into its field, before what is being written there. */
export function restoreDraft(key, input) {
  const draft = readDraft(key);
  if (!draft.startsWith(input)) saveDraft(key, draft ? `${input}\n\n${draft}` : input);
  saveSetting(`unsent:${key}`, null);
  notifyTab({ type: "draft", key });
}
