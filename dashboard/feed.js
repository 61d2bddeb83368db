/* Where the figures come from: one answer per assistant, and the operator's key if one is needed. */

export const ASSISTANTS = ['office', 'character'];
export const EVERY_MS = 2000;
const TIMEOUT_MS = 5000;
const KEY = 'dashboard-key';
const REPORT = 'reports/visualization.html';

let memory = '';

/* The tab's own storage; where that is closed the key lives as long as the page. */
export function readKey() {
  try { return sessionStorage.getItem(KEY) ?? memory; } catch { return memory; }
}
export function saveKey(text) {
  memory = text;
  try {
    if (text) sessionStorage.setItem(KEY, text); else sessionStorage.removeItem(KEY);
  } catch { /* kept in memory only */ }
}

async function request(address, method = 'GET') {
  const headers = { 'Accept-Language': document.documentElement.lang };
  if (readKey()) headers['X-API-Key'] = readKey();
  return fetch(address, { method, headers, cache: 'no-store', credentials: 'omit', redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
}

/* { data } or { why: { key, status? } }, the reason in a word of messages.js. */
export async function fetchStatus(assistant) {
  try {
    const response = await request(`../${assistant}/status`);
    if (response.ok) return { data: await response.json() };
    if (response.status === 401 || response.status === 403) return { why: { key: 'why_denied', status: response.status } };
    return { why: { key: 'why_status', status: response.status } };
  } catch (error) {
    return { why: { key: error.name === 'TimeoutError' ? 'why_timeout' : 'why_offline' } };
  }
}

/* name -> { state, restarts } of the group that runs everything; {} where there is none, as in
   containers, which is asked once only. */
let hasProcesses = true;
export async function fetchProcesses() {
  if (!hasProcesses) return {};
  try {
    const response = await request('processes.json');
    if (response.status === 404) hasProcesses = false;
    if (!response.ok) return {};
    const found = (await response.json()).processes;
    return Object.fromEntries(found.map(({ name, ...state }) => [name, state]));
  } catch {
    return {};
  }
}

/* { status, at }: whether there is a load-test report, and when it was written. */
export async function fetchReport() {
  try {
    const response = await request(REPORT, 'HEAD');
    const written = response.headers.get('Last-Modified');
    return { status: response.status, at: written ? new Date(written) : null };
  } catch {
    return { status: 0, at: null };
  }
}

/* A link cannot carry a key, so with one the report is fetched and saved as a file. */
export async function downloadReport() {
  const response = await request(REPORT);
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
