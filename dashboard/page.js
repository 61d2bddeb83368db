import { make, write } from './drawing.js';
import { ASSISTANTS, EVERY_MS, keepKey, key, processes, report, reportAddress, saveReport, status } from './feed.js';
import { Card, stateOf } from './panels.js';
import { clock, moment, say, speak } from './words.js';

const systemDark = matchMedia('(prefers-color-scheme: dark)');
const chosen = { language: kept('language') ?? preferredLanguage(), theme: kept('theme') ?? 'auto' };
const feeds = Object.fromEntries(ASSISTANTS.map((name) => [name, { data: null, at: 0, why: null }]));
let cards = {};
let found = { status: null, at: null };
let group = {};
let asked = 0;
let timer = null;
let lastNews = '';

function kept(name) {
  try { return localStorage.getItem(`dashboard-${name}`); } catch { return null; }
}
function keep(name, value) {
  try { localStorage.setItem(`dashboard-${name}`, value); } catch { /* not kept */ }
}
function preferredLanguage() {
  return (navigator.languages?.[0] ?? 'ko').toLowerCase().startsWith('en') ? 'en' : 'ko';
}
const byId = (id) => document.getElementById(id);

function fillSwitch(id, label, options, current, name) {
  const node = byId(id);
  const focused = /** @type {HTMLElement} */ (document.activeElement);
  const held = node.contains(focused) ? focused.dataset.value : null;
  node.setAttribute('aria-label', label);
  node.replaceChildren(...options.map(([value, text, lang]) => make('button', {
    type: 'button', 'aria-pressed': String(value === current), lang: lang ?? null, 'data-value': value,
    onclick: () => { chosen[name] = value; keep(name, value); dress(); },
  }, text)));
  if (held) /** @type {HTMLElement} */ (node.querySelector(`[data-value="${held}"]`)).focus();
}

/* Everything that depends on the language or the colours; the figures follow. */
function dress() {
  speak(chosen.language);
  const dark = chosen.theme === 'dark' || (chosen.theme === 'auto' && systemDark.matches);
  document.documentElement.lang = chosen.language;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  document.title = `${say('title')} · ChatBot AI`;
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-word]'))) write(node, say(node.dataset.word));
  fillSwitch('languages', say('language'), [['ko', '한국어', 'ko'], ['en', 'English', 'en']], chosen.language, 'language');
  fillSwitch('themes', say('theme'), ['auto', 'light', 'dark'].map((value) => [value, say(value)]), chosen.theme, 'theme');
  cards = Object.fromEntries(ASSISTANTS.map((name) => [name, new Card(name)]));
  byId('assistants').replaceChildren(...Object.values(cards).map((card) => card.node));
  byId('gate').replaceChildren();
  write(byId('foot'), say('foot'));
  show();
  showReport();
}

function show() {
  const now = Date.now();
  for (const name of ASSISTANTS) cards[name].update(feeds[name], group, now);
  const whys = ASSISTANTS.map((name) => feeds[name].why).filter(Boolean);
  const newest = Math.max(...ASSISTANTS.map((name) => feeds[name].at));
  const denied = whys.some((why) => why.key === 'why_denied');
  let state = 'live';
  let text = say('live', { when: newest ? clock(newest / 1000) : '' });
  if (document.hidden) { state = 'paused'; text = say('paused'); }
  else if (denied) { state = 'trouble'; text = say('locked'); }
  else if (whys.length === ASSISTANTS.length && whys.every((why) => why.key === 'why_offline')) { state = 'trouble'; text = say('offline'); }
  else if (whys.length) { state = 'trouble'; text = say('trouble'); }
  else if (!newest) { state = 'loading'; text = say('loading'); }
  byId('pulse').dataset.state = state;
  write(byId('pulse-text'), text);
  showGate(denied, whys.find((why) => why.key === 'why_denied')?.status);
  // only a change of state is read out, never every figure
  const news = ASSISTANTS.map((name) => `${say(name)}: ${say(stateOf(feeds[name]).key)}`).join('. ');
  if (lastNews !== news && newest) { lastNews = news; write(byId('news'), news); }
}

function showGate(denied, code) {
  const gate = byId('gate');
  gate.hidden = !denied && !key();
  if (gate.hidden) { gate.replaceChildren(); return; }
  const kind = denied ? `form-${code}-${Boolean(key())}` : 'forget';
  if (gate.dataset.kind === kind && gate.childElementCount) return;
  gate.dataset.kind = kind;
  if (!denied) {
    gate.replaceChildren(make('p', { class: 'soft' }, say('gate')), make('button', { type: 'button', class: 'plain', onclick: () => change('') }, say('forget_key')));
    return;
  }
  const input = make('input', { id: 'key', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true });
  const wrong = key() ? say(code === 403 ? 'gate_user' : 'gate_wrong') : '';
  gate.replaceChildren(make('h2', {}, say('gate')), make('p', { class: 'soft' }, say('gate_lead')),
    make('form', { onsubmit: (event) => { event.preventDefault(); change(input.value.trim()); } },
      make('label', { for: 'key' }, say('key')), input, make('button', { type: 'submit' }, say('use_key'))),
    make('p', { class: 'wrong', role: 'alert' }, wrong));
}
function change(text) {
  keepKey(text);
  if (!text) for (const name of ASSISTANTS) Object.assign(feeds[name], { data: null, at: 0, why: null });
  poll();
  look();
}

function showReport() {
  const panel = byId('reports');
  panel.hidden = found.status === null || found.status === 401 || found.status === 403;
  if (panel.hidden) return;
  const parts = [make('h2', {}, say('reports'))];
  if (found.status === 200) {
    parts.push(make('p', { class: 'soft' }, say('reports_lead', { when: found.at ? moment(found.at) : '–' })));
    parts.push(key()
      ? make('button', { type: 'button', onclick: async () => { const code = await saveReport(); if (code !== 200) { found = { status: code, at: null }; showReport(); } } }, say('save_report'))
      : make('a', { class: 'button', href: reportAddress, target: '_blank', rel: 'noopener' }, say('open_report')));
  } else {
    parts.push(make('p', { class: 'soft' }, found.status === 404 ? say('no_report') : say('report_failed', { status: found.status || '–' })));
  }
  panel.replaceChildren(...parts);
}
async function look() {
  found = await report();
  showReport();
}

async function poll() {
  clearTimeout(timer);
  asked += 1;
  const turn = asked;
  const denied = ASSISTANTS.some((name) => feeds[name].why?.key === 'why_denied');
  const told = denied && !key() ? {} : processes();
  await Promise.all(ASSISTANTS.map(async (name) => {
    const answer = await status(name);
    if (turn !== asked) return; // a newer round has begun
    group = await told;
    if (answer.data) feeds[name] = { data: answer.data, at: Date.now(), why: null };
    else if (answer.why.key === 'why_denied') feeds[name] = { data: null, at: 0, why: answer.why };
    else feeds[name].why = answer.why;
    show();
  }));
  if (turn === asked && !document.hidden) timer = setTimeout(poll, EVERY_MS);
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) { clearTimeout(timer); asked += 1; show(); } else { poll(); look(); }
});
systemDark.addEventListener('change', dress);
let resizing = 0;
addEventListener('resize', () => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(() => { for (const card of Object.values(cards)) card.redraw(); });
});
dress();
poll();
look();
