/* Where the figures come from: one answer per assistant, and the operator's key if one is needed. */

export const ASSISTANTS = ['office', 'character'];
export const EVERY_MS = 2000;
const TIMEOUT_MS = 5000;
const KEY = 'dashboard-key';
const REPORT = 'reports/visualization.html';

let memory = '';

/* The tab's own storage; where that is closed the key lives as long as the page. */
export function key() {
  try { return sessionStorage.getItem(KEY) ?? memory; } catch { return memory; }
}
export function keepKey(text) {
  memory = text;
  try {
    if (text) sessionStorage.setItem(KEY, text); else sessionStorage.removeItem(KEY);
  } catch { /* kept in memory only */ }
}

async function ask(address, method = 'GET') {
  const headers = { 'Accept-Language': document.documentElement.lang };
  if (key()) headers['X-API-Key'] = key();
  return fetch(address, { method, headers, cache: 'no-store', credentials: 'omit', redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
}

/* { data } or { why: { key, status? } }, the reason in a word of words.js. */
export async function status(assistant) {
  try {
    const response = await ask(`../${assistant}/status`);
    if (response.ok) return { data: await response.json() };
    if (response.status === 401 || response.status === 403) return { why: { key: 'why_denied', status: response.status } };
    return { why: { key: 'why_status', status: response.status } };
  } catch (error) {
    return { why: { key: error.name === 'TimeoutError' ? 'why_timeout' : 'why_offline' } };
  }
}

/* name -> { state, restarts } of the group that runs everything; {} where there is none, as in
   containers, which is asked once only. */
let grouped = true;
export async function processes() {
  if (!grouped) return {};
  try {
    const response = await ask('processes.json');
    if (response.status === 404) grouped = false;
    if (!response.ok) return {};
    const found = (await response.json()).processes;
    return Object.fromEntries(found.map(({ name, ...state }) => [name, state]));
  } catch {
    return {};
  }
}

/* { status, at }: whether there is a load-test report, and when it was written. */
export async function report() {
  try {
    const response = await ask(REPORT, 'HEAD');
    const written = response.headers.get('Last-Modified');
    return { status: response.status, at: written ? new Date(written) : null };
  } catch {
    return { status: 0, at: null };
  }
}

/* A link cannot carry a key, so with one the report is fetched and saved as a file. */
export async function saveReport() {
  const response = await ask(REPORT);
  if (!response.ok) return response.status;
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = address;
  link.download = 'visualization.html';
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  return response.status;
}
export const reportAddress = REPORT;
