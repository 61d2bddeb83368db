// The open conversations and their turns.
import { requestJson } from "./client.js";
import { randomId, randomUuid } from "./browser-storage.js";
import { getState, setState, setThread } from "./store.js";

const PAGE_TURNS = 50;
const CHARACTER_ID = /^([0-9a-f]{32})-(\d{1,3})-/;

export function threadKey(assistant, dbId) {
  return `${assistant}/${dbId}`;
}

/** The id of a new conversation. It holds the character's id and the greeting's index, so that
 * every browser of this user knows the character. */
export function newDbId(characterId = null, greeting = 0) {
  if (characterId === null) return randomUuid();
  return `${characterId}-${greeting}-${randomId().slice(0, 24)}`;
}

/** `{id, greeting}` of the character that a conversation is with, or null. */
export function parseCharacter(dbId) {
  const found = CHARACTER_ID.exec(dbId || "");
  return found ? { id: found[1], greeting: Number(found[2]) } : null;
}

function createThread(assistant, dbId) {
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

/** The thread, created if needed; `isNew` means that the server does not have it yet. */
export function ensureThread(assistant, dbId, isNew = false) {
  const key = threadKey(assistant, dbId);
  const known = getState().threads[key];
  if (known) return known;
  const thread = { ...createThread(assistant, dbId), loaded: isNew };
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

/** Longest wait for turns that are being loaded, in milliseconds. */
const LOAD_WAIT_MS = 4000;

/** Resolves when the turns that are being loaded have arrived, or after LOAD_WAIT_MS. */
export function waitForLoad(key) {
  const patience = new Promise((resolve) => setTimeout(resolve, LOAD_WAIT_MS));
  return loads.has(key) ? Promise.race([loads.get(key), patience]) : Promise.resolve();
}

/** Load the newest turns. A conversation unknown to the server is empty. */
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
      // turns answered here in the meantime are newer
      const fresh = turns.filter((turn) => !before.includes(turn));
      const older = read.filter(({ index }) => !fresh.some((turn) => turn.index === index));
      const all = [...older, ...fresh].sort((a, b) => a.index - b.index);
      return { turns: all, loading: false, loaded: true, ...others };
    });
  try {
    const summary = await requestJson(conversationPath(assistant, dbId));
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

/** Load the page of turns before the first one shown. */
export async function loadEarlier(assistant, dbId) {
  const key = threadKey(assistant, dbId);
  const { first } = getState().threads[key];
  const from = Math.max(0, first - PAGE_TURNS);
  const earlier = await readTurns(assistant, dbId, from, first - from);
  setThread(key, ({ turns }) => ({ turns: [...earlier, ...turns], first: from }));
}

export async function readTurns(assistant, dbId, first, limit = PAGE_TURNS) {
  const page = await requestJson(`${conversationPath(assistant, dbId)}/turns`, { query: { first, limit } });
  return page.turns.map(withSelectedAnswer);
}

/** Load one turn again and show it; null if it was deleted. */
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

/** Select another answer of a turn. It shows at once and is reverted if the request fails. */
export async function selectAnswer(assistant, dbId, turn, selected) {
  const key = threadKey(assistant, dbId);
  putTurn(key, withSelectedAnswer({ ...turn, selected }));
  try {
    const path = `${conversationPath(assistant, dbId)}/turns/${turn.index}/select`;
    const stored = await requestJson(path, { method: "POST", body: { selected } });
    putTurn(key, withSelectedAnswer(stored));
  } catch (error) {
    putTurn(key, turn);
    throw error;
  }
}

export function conversationPath(assistant, dbId) {
  return `${assistant}/conversations/${dbId}`;
}

/** A turn with the text, status, sources and finish reason of its selected answer. */
export function withSelectedAnswer(turn) {
  const { text, status, model, sources, finish_reason: finish } = turn.alternatives[turn.selected];
  return { ...turn, output: text, status, model, sources, finish };
}
