// The list of conversations with both assistants.
import { json, request, saveAs } from "./client.js";
import { remember } from "./device.js";
import { getState, setState, setThread } from "./store.js";
import { tell } from "./tabs.js";
import { forgetThread, pathOf, threadKey } from "./threads.js";

const ASSISTANTS = ["office", "character"];
const PAGE = 40;
let latest = 0;
let timer = 0;

function setLibrary(patch) {
  setState(({ library }) => ({ library: { ...library, ...patch } }));
}

/** Read the list anew. Only the latest of several calls counts. */
export async function loadLibrary() {
  const call = ++latest;
  const { query } = getState().library;
  setLibrary({ loading: true });
  try {
    const asked = ASSISTANTS.map((assistant) => page(assistant, query, null));
    // a conversation's id begins with its character's: found by the character's name as well
    for (const id of charactersNamed(query)) asked.push(page("character", "", null, id));
    /** @type {{ value?: any, reason?: any }[]} */
    const outcomes = await Promise.allSettled(asked);
    if (call !== latest) return;
    const pages = outcomes.map(({ value }) => value);
    const error = outcomes.find(({ reason }) => reason)?.reason ?? null;
    // one assistant that is down leaves its lines as they were
    const lost = ASSISTANTS.filter((_name, place) => !pages[place]);
    const kept = getState().library.items.filter((item) => !query && lost.includes(item.assistant));
    setLibrary({ ...merged(kept, pages), loading: false, error });
  } catch (error) {
    if (call === latest) setLibrary({ loading: false, error });
  }
}

/** At most so many characters of a name are asked for. */
const NAMED = 5;

function charactersNamed(query) {
  const wanted = query.normalize("NFC").toLowerCase().trim();
  if (!wanted) return [];
  const { items } = getState().cast;
  const named = items.filter(({ name }) => name.normalize("NFC").toLowerCase().includes(wanted));
  return named.slice(0, NAMED).map(({ id }) => id);
}

export async function loadMore() {
  const call = ++latest;
  const { query, items, more } = getState().library;
  const pages = await Promise.all(
    ASSISTANTS.map((assistant) => more[assistant] && page(assistant, query, more[assistant])),
  );
  if (call === latest) setLibrary(merged(items, pages));
}

/** Read the list again soon; many calls in a row become one. */
export function refreshLibrary() {
  clearTimeout(timer);
  timer = setTimeout(loadLibrary, 250);
}

export function searchLibrary(query) {
  setLibrary({ query });
  refreshLibrary();
}

async function page(assistant, q, before, prefix = "") {
  const query = { limit: PAGE, q, before, db_id_prefix: prefix };
  const found = await json(`${assistant}/conversations`, { query });
  return {
    assistant,
    items: found.conversations.map((one) => ({ ...one, assistant })),
    next: found.next_before,
  };
}

function merged(items, pages) {
  const found = new Map(items.map((item) => [threadKey(item.assistant, item.db_id), item]));
  const more = {};
  for (const one of pages) {
    if (!one) continue;
    more[one.assistant] ||= one.next;
    for (const item of one.items) found.set(threadKey(item.assistant, item.db_id), item);
  }
  const sorted = [...found.values()].sort((a, b) => b.updated_at - a.updated_at);
  return { items: sorted, more };
}

export async function renameConversation({ assistant, db_id: dbId }, title) {
  const named = await json(pathOf(assistant, dbId), { method: "PATCH", body: { title } });
  setThread(threadKey(assistant, dbId), { title: named.title });
  tell({ type: "changed", key: threadKey(assistant, dbId) });
  await loadLibrary();
}

export async function deleteConversation({ assistant, db_id: dbId }) {
  const key = threadKey(assistant, dbId);
  await request(pathOf(assistant, dbId), { method: "DELETE" });
  for (const kind of ["draft", "unsent", "live"]) remember(`${kind}:${key}`, null);
  forgetThread(key);
  tell({ type: "deleted", key });
  await loadLibrary();
}

export async function exportConversation({ assistant, db_id: dbId, title, preview }, format) {
  const response = await request(`${pathOf(assistant, dbId)}/export`, { query: { format } });
  const ending = format === "markdown" ? "md" : "jsonl";
  const name = (title || preview || dbId).replace(/[\\/:*?"<>|\s]+/g, " ").trim().slice(0, 60);
  await saveAs(response, `${name}.${ending}`);
}
