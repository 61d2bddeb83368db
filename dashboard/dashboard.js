import { createElement, setText } from './chart.js';
import { ASSISTANTS, EVERY_MS, saveKey, readKey, fetchProcesses, fetchReport, reportAddress, downloadReport, fetchStatus } from './feed.js';
import { Card, getState } from './assistant-card.js';
import { formatTime, formatDate, t, setLanguage } from './messages.js';

const systemDark = matchMedia('(prefers-color-scheme: dark)');
const settings = { language: readSetting('language') ?? getPreferredLanguage(), theme: readSetting('theme') ?? 'auto' };
const feeds = Object.fromEntries(ASSISTANTS.map((name) => [name, { data: null, at: 0, why: null }]));
let cards = {};
let report = { status: null, at: null };
let processes = {};
let round = 0;
let timer = null;
let lastNews = '';

function readSetting(name) {
  try { return localStorage.getItem(`dashboard-${name}`); } catch { return null; }
}
function saveSetting(name, value) {
  try { localStorage.setItem(`dashboard-${name}`, value); } catch { /* not kept */ }
}
function getPreferredLanguage() {
  return (navigator.languages?.[0] ?? 'ko').toLowerCase().startsWith('en') ? 'en' : 'ko';
}
const byId = (id) => document.getElementById(id);

function fillSwitch(id, label, options, current, name) {
  const node = byId(id);
  const focused = /** @type {HTMLElement} */ (document.activeElement);
  const held = node.contains(focused) ? focused.dataset.value : null;
  node.setAttribute('aria-label', label);
  node.replaceChildren(...options.map(([value, text, lang]) => createElement('button', {
    type: 'button', 'aria-pressed': String(value === current), lang: lang ?? null, 'data-value': value,
    onclick: () => { settings[name] = value; saveSetting(name, value); renderPage(); },
  }, text)));
  if (held) /** @type {HTMLElement} */ (node.querySelector(`[data-value="${held}"]`)).focus();
}

/* Everything that depends on the language or the colours; the figures follow. */
function renderPage() {
  setLanguage(settings.language);
  const dark = settings.theme === 'dark' || (settings.theme === 'auto' && systemDark.matches);
  document.documentElement.lang = settings.language;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  document.title = `${t('title')} · ChatBot AI`;
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-word]'))) setText(node, t(node.dataset.word));
  fillSwitch('languages', t('language'), [['ko', '한국어', 'ko'], ['en', 'English', 'en']], settings.language, 'language');
  fillSwitch('themes', t('theme'), ['auto', 'light', 'dark'].map((value) => [value, t(value)]), settings.theme, 'theme');
  cards = Object.fromEntries(ASSISTANTS.map((name) => [name, new Card(name)]));
  byId('assistants').replaceChildren(...Object.values(cards).map((card) => card.node));
  byId('gate').replaceChildren();
  setText(byId('foot'), t('foot'));
  renderFigures();
  renderReport();
}

function renderFigures() {
  const now = Date.now();
  for (const name of ASSISTANTS) cards[name].update(feeds[name], processes, now);
  const whys = ASSISTANTS.map((name) => feeds[name].why).filter(Boolean);
  const newest = Math.max(...ASSISTANTS.map((name) => feeds[name].at));
  const denied = whys.some((why) => why.key === 'why_denied');
  let state = 'live';
  let text = t('live', { when: newest ? formatTime(newest / 1000) : '' });
  if (document.hidden) { state = 'paused'; text = t('paused'); }
  else if (denied) { state = 'trouble'; text = t('locked'); }
  else if (whys.length === ASSISTANTS.length && whys.every((why) => why.key === 'why_offline')) { state = 'trouble'; text = t('offline'); }
  else if (whys.length) { state = 'trouble'; text = t('trouble'); }
  else if (!newest) { state = 'loading'; text = t('loading'); }
  byId('pulse').dataset.state = state;
  setText(byId('pulse-text'), text);
  renderKeyForm(denied, whys.find((why) => why.key === 'why_denied')?.status);
  // only a change of state is read out, never every figure
  const news = ASSISTANTS.map((name) => `${t(name)}: ${t(getState(feeds[name]).key)}`).join('. ');
  if (lastNews !== news && newest) { lastNews = news; setText(byId('news'), news); }
}

function renderKeyForm(denied, code) {
  const gate = byId('gate');
  gate.hidden = !denied && !readKey();
  if (gate.hidden) { gate.replaceChildren(); return; }
  const kind = denied ? `form-${code}-${Boolean(readKey())}` : 'forget';
  if (gate.dataset.kind === kind && gate.childElementCount) return;
  gate.dataset.kind = kind;
  if (!denied) {
    gate.replaceChildren(createElement('p', { class: 'soft' }, t('gate')), createElement('button', { type: 'button', class: 'plain', onclick: () => changeKey('') }, t('forget_key')));
    return;
  }
  const input = createElement('input', { id: 'key', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true });
  const wrong = readKey() ? t(code === 403 ? 'gate_user' : 'gate_wrong') : '';
  gate.replaceChildren(createElement('h2', {}, t('gate')), createElement('p', { class: 'soft' }, t('gate_lead')),
    createElement('form', { onsubmit: (event) => { event.preventDefault(); changeKey(input.value.trim()); } },
      createElement('label', { for: 'key' }, t('key')), input, createElement('button', { type: 'submit' }, t('use_key'))),
    createElement('p', { class: 'wrong', role: 'alert' }, wrong));
}
function changeKey(text) {
  saveKey(text);
  if (!text) for (const name of ASSISTANTS) Object.assign(feeds[name], { data: null, at: 0, why: null });
  poll();
  refreshReport();
}

function renderReport() {
  const panel = byId('reports');
  panel.hidden = report.status === null || report.status === 401 || report.status === 403;
  if (panel.hidden) return;
  const parts = [createElement('h2', {}, t('reports'))];
  if (report.status === 200) {
    parts.push(createElement('p', { class: 'soft' }, t('reports_lead', { when: report.at ? formatDate(report.at) : '–' })));
    parts.push(readKey()
      ? createElement('button', { type: 'button', onclick: async () => { const code = await downloadReport(); if (code !== 200) { report = { status: code, at: null }; renderReport(); } } }, t('save_report'))
      : createElement('a', { class: 'button', href: reportAddress, target: '_blank', rel: 'noopener' }, t('open_report')));
  } else {
    parts.push(createElement('p', { class: 'soft' }, report.status === 404 ? t('no_report') : t('report_failed', { status: report.status || '–' })));
  }
  panel.replaceChildren(...parts);
}
async function refreshReport() {
  report = await fetchReport();
  renderReport();
}

async function poll() {
  clearTimeout(timer);
  round += 1;
  const turn = round;
  const denied = ASSISTANTS.some((name) => feeds[name].why?.key === 'why_denied');
  const told = denied && !readKey() ? {} : fetchProcesses();
  await Promise.all(ASSISTANTS.map(async (name) => {
    const answer = await fetchStatus(name);
    if (turn !== round) return; // a newer round has begun
    processes = await told;
    if (answer.data) feeds[name] = { data: answer.data, at: Date.now(), why: null };
    else if (answer.why.key === 'why_denied') feeds[name] = { data: null, at: 0, why: answer.why };
    else feeds[name].why = answer.why;
    renderFigures();
  }));
  if (turn === round && !document.hidden) timer = setTimeout(poll, EVERY_MS);
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) { clearTimeout(timer); round += 1; renderFigures(); } else { poll(); refreshReport(); }
});
systemDark.addEventListener('change', renderPage);
let resizing = 0;
addEventListener('resize', () => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(() => { for (const card of Object.values(cards)) card.redraw(); });
});
renderPage();
poll();
refreshReport();
