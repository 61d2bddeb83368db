// After an answer that did not end by itself: show what the server has of it.
import { CallError } from "./client.js";
import { remember } from "./device.js";
import { draftOf, keepDraft } from "./drafts.js";
import { getState, setThread } from "./store.js";
import { tellHere } from "./tabs.js";
import { asShown, loadThread, putTurn, readTurns, refreshTurn, threadKey } from "./threads.js";

/** How often a cut answer is looked for; the server stores it right after the stream's end. */
const ATTEMPTS = 8;
const PAUSE_MS = 250;
/** A stream that could not be ended goes on for its grace: then it is looked at once more. */
const LATER_MS = [5_000, 35_000];

export function isAsked(live) {
  return live.mode === "message" || live.mode === "edit";
}

/** Forget the turns from `index` on: an edited message takes their place. */
export function dropFrom(key, index) {
  setThread(key, ({ turns }) => ({ turns: turns.filter((turn) => turn.index < index) }));
}

/** After an answer that was cut short: show what the server stored, or else what had been said,
 * or else give the message back to be sent again. */
export async function settle(assistant, dbId, live) {
  const key = threadKey(assistant, dbId);
  const thread = getState().threads[key];
  if (!thread) return;
  const before = thread.turns.find((turn) => turn.index === live.index);
  const turn = await stored(assistant, dbId, live, before);
  if (turn) {
    if (live.mode === "edit") dropFrom(key, live.index);
    putTurn(key, turn);
  } else if (live.mode === "edit" || (live.mode === "message" && !live.text)) {
    // an edit that broke off has changed nothing
    giveBack(key, live.input);
  } else if (live.text) {
    if (live.mode === "message") putTurn(key, asShown(provisional(live)));
    lookAgain(assistant, dbId, live.index);
  }
  remember(`unsent:${key}`, null);
  setThread(key, { live: null });
}

/** After a stream that the server does not have any more: silent where its answer is stored. */
export async function recover(assistant, dbId, live, error) {
  const key = threadKey(assistant, dbId);
  await loadThread(assistant, dbId);
  const thread = getState().threads[key];
  if (!thread) return;
  const turn = thread.turns.find(({ index }) => index === live.index);
  const isStored = isAsked(live) ? turn && same(turn.input, live.input) : true;
  if (isStored) remember(`unsent:${key}`, null);
  // where the turns cannot be read, that is what is said
  setThread(key, { live: isStored || thread.error ? null : { ...live, error } });
}

async function stored(assistant, dbId, live, before) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const [turn] = await readTurns(assistant, dbId, live.index, 1);
      if (turn && isNews(turn, live, before)) return turn;
    } catch (error) {
      if (error instanceof CallError && error.status === 401) return null;
    }
    const comes = live.text && live.mode !== "edit";
    if (!comes || attempt === ATTEMPTS) return null;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function isNews(turn, live, before) {
  if (!before) return same(turn.input, live.input);
  return turn.output !== before.output || turn.input !== before.input;
}

function same(one, other) {
  return one.normalize("NFC").trim() === other.normalize("NFC").trim();
}

function provisional(live) {
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

function lookAgain(assistant, dbId, index) {
  for (const wait of LATER_MS) {
    setTimeout(() => {
      const thread = getState().threads[threadKey(assistant, dbId)];
      if (thread && !thread.live) refreshTurn(assistant, dbId, index).catch(() => {});
    }, wait);
  }
}

/** Put a message that came to nothing back into its field. */
export function giveBack(key, input) {
  if (!draftOf(key)) keepDraft(key, input);
  remember(`unsent:${key}`, null);
  tellHere({ type: "draft", key });
}
