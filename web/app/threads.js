// Conversations that are open in this page: their turns as the server has them.
import { json } from "./client.js";
import { randomId, randomUuid } from "./device.js";
import { getState, setState, setThread } from "./store.js";

const PAGE_TURNS = 50;
const CHARACTER_ID = /^([0-9a-f]{32})-(\d{1,3})-/;

export function threadKey(assistant, dbId) {
  return `${assistant}/${dbId}`;
}

/** The id of a new conversation. With a character it names the character and the greeting, so
 * that every browser of this user knows with whom the conversation is. */
export function newDbId(characterId = null, greeting = 0) {
  if (characterId === null) return randomUuid();
  return `${characterId}-${greeting}-${randomId().slice(0, 24)}`;
}

/** `{id, greeting}` of the character that a conversation is with, or null. */
export function characterOf(dbId) {
  const found = CHARACTER_ID.exec(dbId || "");
  return found ? { id: found[1], greeting: Number(found[2]) } : null;
}

function blank(assistant, dbId) {
  return {
    assistant,
    dbId,
    title: null,
    turns: [],
    first: 0,
    loaded: false,
    loading: false,
    error: null,
    live: null,
    note: null,
  };
}

/** Make sure that a thread is known; `isNew` says that the server cannot have it yet. */
export function ensureThread(assistant, dbId, isNew = false) {
  const key = threadKey(assistant, dbId);
  const known = getState().threads[key];
  if (known) return known;
  const thread = { ...blank(assistant, dbId), loaded: isNew };
  setState(({ threads }) => ({ threads: { ...threads, [key]: thread } }));
  return thread;
}

export function forgetThread(key) {
  setState(({ threads }) => {
    const { [key]: _gone, ...others } = threads;
    return { threads: others };
  });
}

const loads = new Map();

/** Milliseconds for which a reading is waited for. */
const READ_MS = 4000;

/** Resolves when the turns of a conversation have been read, if that is under way. */
export function whenRead(key) {
  const patience = new Promise((resolve) => setTimeout(resolve, READ_MS));
  return loads.has(key) ? Promise.race([loads.get(key), patience]) : Promise.resolve();
}

/** Read the newest turns. A conversation that the server does not have is an empty one. */
export function loadThread(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const load = readThread(assistant, dbId, key).finally(() => {
    if (loads.get(key) === load) loads.delete(key);
  });
  loads.set(key, load);
  return load;
}

async function readThread(assistant, dbId, key) {
  const before = ensureThread(assistant, dbId).turns;
  setThread(key, { loading: true, error: null });
  const show = (read, others) =>
    setThread(key, ({ turns }) => {
      // what was answered here while the reading took its time is newer
      const fresh = turns.filter((turn) => !before.includes(turn));
      const older = read.filter(({ index }) => !fresh.some((turn) => turn.index === index));
      const all = [...older, ...fresh].sort((a, b) => a.index - b.index);
      return { turns: all, loading: false, loaded: true, ...others };
    });
  try {
    const summary = await json(pathOf(assistant, dbId));
    const first = Math.max(0, summary.turns - PAGE_TURNS);
    show(await readTurns(assistant, dbId, first), { first, title: summary.title });
  } catch (error) {
    if (error.status === 404) {
      show([], { first: 0 });
    } else {
      setThread(key, { loading: false, error });
    }
  }
}

/** Put the page of turns before the ones that are shown. */
export async function loadEarlier(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const { first } = getState().threads[key];
  const from = Math.max(0, first - PAGE_TURNS);
  const earlier = await readTurns(assistant, dbId, from, first - from);
  setThread(key, ({ turns }) => ({ turns: [...earlier, ...turns], first: from }));
}

export async function readTurns(assistant, dbId, first, limit = PAGE_TURNS) {
  const page = await json(`${pathOf(assistant, dbId)}/turns`, { query: { first, limit } });
  return page.turns.map(asShown);
}

/** Read one turn anew and put it, or nothing if it is gone, into the thread. */
export async function refreshTurn(assistant, dbId, index) {
  const [turn] = await readTurns(assistant, dbId, index, 1);
  if (turn) putTurn(threadKey(assistant, dbId), turn);
  return turn || null;
}

export function putTurn(key, turn) {
  setThread(key, ({ turns }) => {
    const kept = turns.filter((other) => other.index < turn.index);
    const later = turns.filter((other) => other.index > turn.index);
    return { turns: [...kept, turn, ...later] };
  });
}

/** Choose another of a turn's answers. It shows at once and is taken back if that fails. */
export async function selectAnswer(assistant, dbId, turn, selected) {
  const key = threadKey(assistant, dbId);
  putTurn(key, asShown({ ...turn, selected }));
  try {
    const path = `${pathOf(assistant, dbId)}/turns/${turn.index}/select`;
    const stored = await json(path, { method: "POST", body: { selected } });
    putTurn(key, asShown(stored));
  } catch (error) {
    putTurn(key, turn);
    throw error;
  }
}

export function pathOf(assistant, dbId) {
  return `${assistant}/conversations/${dbId}`;
}

/** A turn with what is true of its selected answer: text, status, sources and how it ended. */
export function asShown(turn) {
  const { text, status, model, sources, finish_reason: finish } = turn.alternatives[turn.selected];
  return { ...turn, output: text, status, model, sources, finish };
}
