import { createSvg, createElement, Sparkline, setText } from './chart.js';
import { formatAge, formatBriefly, formatTime, getCodeName, formatNumber, t, formatShare, formatDuration } from './messages.js';

const ENGINE_STATES = ['ready', 'starting', 'stalled', 'waiting', 'stopped'];
/* An error counts as "just now" for so many seconds. */
const FRESH_S = 60;
const FAILED = new Set(['busy', 'rate_limited']);

/* One assistant's card: built once for a language, then only its figures change. */
export class Card {
  constructor(name) {
    this.name = name;
    this.badge = createElement('p', { class: 'badge' });
    this.subtitle = createElement('p', { class: 'soft' });
    this.note = createElement('p', { class: 'note', hidden: true });
    this.tiles = Object.fromEntries(['running', 'waiting', 'per_hour', 'success', 'speed', 'cache'].map((key) => [key, createTile(t(key))]));
    this.slots = createElement('p', { class: 'slots', 'aria-hidden': 'true' });
    this.room = createElement('p', { class: 'room', 'aria-hidden': 'true' }, createElement('span'));
    this.tiles.running.node.append(this.slots);
    this.tiles.waiting.node.append(this.room);
    this.latency = createLatencyTable();
    this.charts = describeCharts().map((chart) => createChart(chart));
    this.outcomes = createElement('ul', { class: 'bars' });
    this.parts = createElement('dl', { class: 'parts' });
    this.errors = createElement('div', {});
    this.body = createElement('div', { class: 'body', hidden: true },
      createElement('dl', { class: 'tiles' }, ...Object.values(this.tiles).map(({ node }) => node)),
      createElement('div', { class: 'charts' }, ...this.charts.map(({ node }) => node)),
      createElement('div', { class: 'halves' },
        createElement('div', {}, createElement('h3', {}, t('latency')), this.latency.node),
        createElement('div', {}, createElement('h3', {}, t('outcomes')), this.outcomes),
        createElement('div', {}, createElement('h3', {}, t('parts')), this.parts),
        createElement('div', {}, createElement('h3', {}, t('recent')), this.errors)));
    this.node = createElement('section', { class: 'panel card', 'aria-labelledby': `${name}-title`, 'data-assistant': name },
      createElement('header', {}, createElement('div', {}, createElement('h2', { id: `${name}-title` }, t(name), createElement('span', { class: 'soft' }, t(`${name}_note`))), this.subtitle), this.badge),
      this.note, this.body);
  }

  /* feed       { data, at, why }: the newest data, when it came (page's clock), why there is none now
     processes  name -> { state, restarts }, where one group runs everything; else empty */
  update(feed, processes, now) {
    const { data, why } = feed;
    this.processes = processes;
    this.body.hidden = !data;
    this.node.dataset.stale = String(Boolean(why && data));
    const text = why ? t(data ? 'old' : 'unreachable', { why: t(why.key, why), age: data ? formatAge((now - feed.at) / 1000) : '' }) : '';
    this.note.hidden = !why;
    setText(this.note, text);
    const state = getState(feed);
    this.badge.dataset.level = state.level;
    if (this.badge.dataset.key !== state.key) {
      this.badge.dataset.key = state.key;
      this.badge.replaceChildren(createSign(state.level), state.key === 'loading' ? t('loading') : t(state.key));
    }
    if (data && feed.at !== this.drawn) {
      this.drawn = feed.at;
      this.draw(data);
    }
  }

  draw(data) {
    const p = data.performance;
    const w = p.last_15_minutes;
    setText(this.subtitle, `${p.model} · ${t('uptime')} ${formatAge(p.uptime_s)}`);
    const tried = w.answered + w.failed + w.refused;
    this.tiles.running.set(formatNumber(p.running), t('of', { n: formatNumber(p.max_concurrent) }), '');
    this.tiles.waiting.set(formatNumber(p.waiting), t('of', { n: formatNumber(p.max_waiting) }), formatWait(p.expected_wait_s));
    this.tiles.per_hour.set(formatNumber(w.requests_per_hour), '', t('answers_n', { n: formatNumber(w.answered) }));
    this.tiles.success.set(tried ? formatShare(w.success_rate / 100) : '–', '', tried ? t('tried_n', { n: formatNumber(tried) }) : t('none_yet'));
    this.tiles.speed.set(w.tokens_per_second ? formatNumber(w.tokens_per_second, 1) : '–', '', t('speed_note'));
    this.tiles.cache.set(w.answered ? formatShare(w.cache_hit_share) : '–', '', t('cache_note'));
    this.slots.replaceChildren(...Array.from({ length: Math.min(p.max_concurrent, 24) }, (_, index) => createElement('span', { class: index < p.running ? 'busy' : null })));
    this.room.firstChild.style.inlineSize = `${p.max_waiting ? Math.min(100, (100 * p.waiting) / p.max_waiting) : 0}%`;
    this.room.dataset.full = String(p.max_waiting > 0 && p.waiting >= p.max_waiting);
    this.latency.update(w);
    for (const chart of this.charts) chart.update(data);
    this.outcomes.replaceChildren(...createOutcomeRows(w));
    this.parts.replaceChildren(...createPartRows(data, this.processes));
    this.errors.replaceChildren(createErrorList(p.recent_errors, data.at));
  }

  redraw() {
    for (const chart of this.charts) chart.redraw();
  }
}

/* The worst thing to say about an assistant: { level: ok|warn|bad|none, key }. */
export function getState({ data, why }) {
  if (why) return { level: why.key === 'why_denied' ? 'warn' : 'bad', key: 'stale' };
  if (!data) return { level: 'none', key: 'loading' };
  const { performance: p, readiness } = data;
  if (readiness.model !== 'ok') return { level: 'bad', key: 'model_down' };
  if (readiness.store !== 'ok') return { level: 'bad', key: 'store_down' };
  if (data.outbox_turns > 0) return { level: 'warn', key: 'outbox' };
  if (p.waiting >= p.max_waiting && p.max_waiting > 0) return { level: 'warn', key: 'full' };
  if (p.recent_errors.some((error) => data.at - error.at < FRESH_S && !FAILED.has(error.code))) return { level: 'warn', key: 'errors' };
  return { level: 'ok', key: 'ok' };
}

function createSign(level) {
  const shapes = {
    ok: ['circle', { cx: 8, cy: 8, r: 5 }],
    warn: ['path', { d: 'M8 2.2l6.3 11H1.7z' }],
    bad: ['path', { d: 'M4.9 2h6.2L14.5 5.4v5.2L11.1 14H4.9L1.5 10.6V5.4z' }],
    none: ['circle', { cx: 8, cy: 8, r: 4, fill: 'none', stroke: 'currentColor', 'stroke-width': 2 }],
  };
  const [name, attributes] = shapes[level];
  return createSvg('svg', { viewBox: '0 0 16 16', width: 14, height: 14, 'aria-hidden': 'true', fill: 'currentColor' }, createSvg(name, attributes));
}

function formatWait(seconds) {
  if (seconds === null) return t('expected_unknown');
  return seconds > 0 ? t('expected', { s: formatBriefly(seconds) }) : t('expected_none');
}

function createTile(name) {
  const value = createElement('b');
  const unit = createElement('span', { class: 'soft' });
  const note = createElement('dd', { class: 'soft small' });
  return {
    node: createElement('div', { class: 'tile' }, createElement('dt', {}, name), createElement('dd', { class: 'value' }, value, ' ', unit), note),
    set(figure, of, text) { setText(value, figure); setText(unit, of); setText(note, text); },
  };
}

function createLatencyTable() {
  const rows = ['total', 'queue', 'first'];
  const shares = ['p50', 'p95', 'p99'];
  const cells = rows.map(() => shares.map(() => createElement('td')));
  const node = createElement('table', {}, createElement('caption', { class: 'soft' }, t('latency_caption')),
    createElement('thead', {}, createElement('tr', {}, createElement('td'), ...shares.map((name) => createElement('th', { scope: 'col' }, t(name))))),
    createElement('tbody', {}, ...rows.map((name, row) => createElement('tr', {}, createElement('th', { scope: 'row' }, t(name)), ...cells[row]))));
  return {
    node,
    update(w) {
      const from = [w.total_s, w.queue_s, w.first_token_s];
      for (const [row, line] of cells.entries()) {
        for (const [column, cell] of line.entries()) setText(cell, w.answered ? formatDuration(from[row][shares[column]]) : '–');
      }
    },
  };
}

/* The four charts: what they draw, and what stands beside their title. */
function describeCharts() {
  const named = (key, of, more = {}) => ({ key, of, name: t(`k_${key}`), ...more });
  const refused = (point) => point.refused + point.limited;
  return [
    { title: 'c_load', whole: true, step: true, show: (v) => formatNumber(v), lines: [named('waiting', (p) => p.waiting, { kind: 'area' }), named('running', (p) => p.running, { kind: 'line' })], text: (points) => `${t('peak')} ${formatNumber(findMost(points, (p) => Math.max(p.running, p.waiting)))}` },
    { title: 'c_time', show: formatDuration, axis: formatBriefly, lines: [named('p95', (p) => p.p95_s, { kind: 'line', thin: true }), named('p50', (p) => p.p50_s, { kind: 'line' })], text: (points) => formatLatest(points, (p) => p.p50_s) },
    { title: 'c_results', whole: true, show: (v) => formatNumber(v), lines: [named('answered', (p) => p.answered, { kind: 'bar' }), named('refused', refused, { kind: 'bar' }), named('failed', (p) => p.failed, { kind: 'bar' }), named('cancelled', (p) => p.cancelled, { kind: 'bar' })], text: (points) => `${t('peak')} ${formatNumber(findMost(points, (p) => p.answered + refused(p) + p.failed + p.cancelled))}` },
    { title: 'c_tokens', show: (v) => formatNumber(v, v < 10 ? 1 : 0), lines: [named('tokens', (p, seconds) => p.tokens / seconds, { kind: 'area' })], text: (points, seconds) => `${t('peak')} ${formatNumber(findMost(points, (p) => p.tokens / seconds), 1)}` },
  ];
}
function findMost(points, of) { return Math.max(0, ...points.map(of)); }
function formatLatest(points, of) {
  const found = [...points].reverse().find((point) => of(point) !== null);
  return found ? `${t('last')} ${formatDuration(of(found))}` : t('none_yet');
}

function createChart({ title, lines, text, show, ...options }) {
  let seconds = 15;
  for (const line of lines) { const { of } = line; line.of = (point) => of(point, seconds); }
  const chart = new Sparkline(lines, { title: t(title), show, ...options });
  const beside = createElement('span', { class: 'soft' });
  const rows = createElement('tbody');
  const behind = createElement('details', { ontoggle: () => fillRows() }, createElement('summary', {}, t('table')),
    createElement('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': t(title) }, createElement('table', {},
      createElement('caption', { class: 'unseen' }, t(title)),
      createElement('thead', {}, createElement('tr', {}, createElement('th', { scope: 'col' }, t('time')), ...lines.map((line) => createElement('th', { scope: 'col' }, line.name)))), rows)));
  const fillRows = () => {
    if (!behind.open) return;
    rows.replaceChildren(...chart.rows().map(([at, ...values]) => createElement('tr', {}, createElement('th', { scope: 'row' }, at), ...values.map((value) => createElement('td', {}, value)))));
  };
  return {
    node: createElement('figure', { class: 'chart' }, createElement('figcaption', {}, createElement('h3', {}, t(title)), beside), chart.node, chart.readout, behind),
    update(data) {
      seconds = data.point_s;
      const said = text(data.series, seconds);
      setText(beside, said);
      chart.update(data.series, { seconds, text: said });
      fillRows();
    },
    redraw() { if (chart.points.length) chart.render(); },
  };
}

function createOutcomeRows(w) {
  const known = ['answered', 'refused', 'limited', 'cancelled', 'failed'].filter((name) => w[name] || name === 'answered');
  const all = known.reduce((sum, name) => sum + w[name], 0);
  const rows = known.map((name) => {
    const bar = createElement('span', { class: `fill ${name === 'limited' ? 'refused' : name}` });
    bar.style.inlineSize = `${all ? (100 * w[name]) / all : 0}%`;
    return createElement('li', {}, createElement('span', {}, t(`o_${name}`)), createElement('span', { class: 'figure' }, formatNumber(w[name])), createElement('span', { class: 'bar', 'aria-hidden': 'true' }, bar));
  });
  const causes = Object.entries(w.causes);
  if (causes.length) rows.push(createElement('li', { class: 'causes' }, createElement('span', { class: 'soft' }, t('causes')), createElement('ul', {}, ...causes.map(([code, count]) => createElement('li', {}, `${getCodeName(code)} `, createElement('b', {}, formatNumber(count)))))));
  return rows;
}

/* What is known of the engine: from the service that started it, else from the whole group. */
function findEngine(data, processes) {
  const { engine } = data.performance;
  if (engine.managed) return engine;
  return processes[`engine-${data.assistant}`] ?? processes.engine ?? null;
}

function createPartRows(data, processes) {
  const { performance: p, readiness, outbox_turns: outbox } = data;
  const engine = findEngine(data, processes);
  const service = processes[data.assistant];
  const restarts = (key, of) => [key, of ? t('n_times', { n: formatNumber(of.restarts) }) : t('unknown'), of && of.restarts > 0 ? 'warn' : null];
  const checked = (key) => [key, readiness[key] === 'ok' ? t('yes') : getCodeName(readiness[key]), readiness[key] === 'ok' ? 'ok' : 'bad'];
  const rows = [
    checked('model'),
    checked('store'),
    ['engine', engine ? (ENGINE_STATES.includes(engine.state) ? t(`engine_${engine.state}`) : engine.state) : t('engine_elsewhere'), engine ? (engine.state === 'ready' ? 'ok' : 'warn') : null],
    restarts('restarts', engine),
    service ? restarts('service_restarts', service) : null,
    ['slots', t('n_slots', { n: formatNumber(p.max_concurrent) }), null],
    ['outbox_turns', t('n_items', { n: formatNumber(outbox) }), outbox > 0 ? 'warn' : null],
    ['wasted', formatNumber(p.since_start.wasted_tokens), null],
    ['version', data.version, null],
  ];
  return rows.filter(Boolean).map(([key, text, level]) => createElement('div', {}, createElement('dt', {}, t(key)), createElement('dd', { 'data-level': level }, level ? createSign(level) : null, text)));
}

/* One line for each run of equal errors, the newest first. */
function createErrorList(errors, now) {
  if (!errors.length) return createElement('p', { class: 'errors soft' }, t('no_errors'));
  const runs = [];
  for (const error of errors) {
    const last = runs.at(-1);
    if (last && last.code === error.code) last.count += 1; else runs.push({ ...error, count: 1 });
  }
  return createElement('ol', { class: 'errors' }, ...runs.slice(0, 6).map(({ at, code, count }) => createElement('li', {},
    createElement('time', { datetime: new Date(at * 1000).toISOString() }, formatTime(at)),
    createElement('span', {}, getCodeName(code)),
    createElement('span', { class: 'soft' }, t(count > 1 ? 'times' : 'ago', { n: formatNumber(count), age: formatAge(now - at) })))));
}
