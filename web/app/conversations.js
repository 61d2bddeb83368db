// The list of conversations with both assistants.
import { requestJson, request, downloadResponse } from "./client.js";
import { saveSetting } from "./browser-storage.js";
import { getState, setState, setThread } from "./store.js";
import { broadcast } from "./tabs.js";
import { forgetThread, conversationPath, threadKey } from "./threads.js";

const ASSISTANTS = ["office", "character"];
const PAGE_SIZE = 40;
let latest = 0;
let timer = 0;

function setConversations(patch) {
  setState(({ conversations }) => ({ conversations: { ...conversations, ...patch } }));
}

/** Load the list again. Only the latest of several calls counts. */
export async function loadConversations() {
  const call = ++latest;
  const { query } = getState().conversations;
  setConversations({ loading: true });
  try {
    const asked = ASSISTANTS.map((assistant) => loadPage(assistant, query, null));
    // a conversation's id starts with its character's id: search by the character's name too
    for (const id of findCharactersByName(query)) asked.push(loadPage("character", "", null, id));
    /** @type {{ value?: any, reason?: any }[]} */
    const outcomes = await Promise.allSettled(asked);
    if (call !== latest) return;
    const pages = outcomes.map(({ value }) => value);
    const error = outcomes.find(({ reason }) => reason)?.reason ?? null;
    // keep the items of an assistant that is down
    const lost = ASSISTANTS.filter((_name, place) => !pages[place]);
    const kept = getState().conversations.items.filter((item) => !query && lost.includes(item.assistant));
    setConversations({ ...mergePages(kept, pages), loading: false, error });
  } catch (error) {
    if (call === latest) setConversations({ loading: false, error });
  }
}

/** Most characters of a matching name that are searched for. */
const MAX_NAMED = 5;

function findCharactersByName(query) {
  const wanted = query.normalize("NFC").toLowerCase().trim();
  if (!wanted) return [];
  const { items } = getState().characters;
  const named = items.filter(({ name }) => name.normalize("NFC").toLowerCase().includes(wanted));
  return named.slice(0, MAX_NAMED).map(({ id }) => id);
}

export async function loadMoreConversations() {
  const call = ++latest;
  const { query, items, more } = getState().conversations;
  const pages = await Promise.all(
    ASSISTANTS.map((assistant) => more[assistant] && loadPage(assistant, query, more[assistant])),
  );
  if (call === latest) setConversations(mergePages(items, pages));
}

/** Load the list again soon; several calls in a row become one. */
export function refreshConversations() {
  clearTimeout(timer);
  timer = setTimeout(loadConversations, 250);
}

export function searchConversations(query) {
  setConversations({ query });
  refreshConversations();
}

async function loadPage(assistant, q, before, prefix = "") {
  const query = { limit: PAGE_SIZE, q, before, db_id_prefix: prefix };
  const found = await requestJson(`${assistant}/conversations`, { query });
  return {
    assistant,
    items: found.conversations.map((one) => ({ ...one, assistant })),
    next: found.next_before,
  };
}

function mergePages(items, pages) {
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
  const named = await requestJson(conversationPath(assistant, dbId), { method: "PATCH", body: { title } });
  setThread(threadKey(assistant, dbId), { title: named.title });
  broadcast({ type: "changed", key: threadKey(assistant, dbId) });
  await loadConversations();
}

export async function deleteConversation({ assistant, db_id: dbId }) {
  const key = threadKey(assistant, dbId);
  await request(conversationPath(assistant, dbId), { method: "DELETE" });
  for (const kind of ["draft", "unsent", "live"]) saveSetting(`${kind}:${key}`, null);
  forgetThread(key);
  broadcast({ type: "deleted", key });
  await loadConversations();
}

export async function exportConversation({ assistant, db_id: dbId, title, preview }, format) {
  const response = await request(`${conversationPath(assistant, dbId)}/export`, { query: { format } });
  const ending = format === "markdown" ? "md" : "jsonl";
  const name = (title || preview || dbId).replace(/[\\/:*?"<>|\s]+/g, " ").trim().slice(0, 60);
  await downloadResponse(response, `${name}.${ending}`);
}
