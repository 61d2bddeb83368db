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
    const pages = await Promise.all(ASSISTANTS.map((assistant) => page(assistant, query, null)));
    if (call !== latest) return;
    setLibrary({ ...merged([], pages), loading: false, error: null });
  } catch (error) {
    if (call === latest) setLibrary({ loading: false, error });
  }
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

async function page(assistant, q, before) {
  const found = await json(`${assistant}/conversations`, { query: { limit: PAGE, q, before } });
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
    more[one.assistant] = one.next;
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
