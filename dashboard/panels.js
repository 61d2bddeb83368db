import { draw, make, Sparkline, write } from './drawing.js';
import { age, brief, clock, codeName, number, say, share, span } from './words.js';

const ENGINE_STATES = ['ready', 'starting', 'waiting', 'stopped'];
/* An error counts as "just now" for so many seconds. */
const FRESH_S = 60;
const FAILED = new Set(['busy', 'rate_limited']);

/* One assistant's card: built once for a language, then only its figures change. */
export class Card {
  constructor(name) {
    this.name = name;
    this.badge = make('p', { class: 'badge' });
    this.subtitle = make('p', { class: 'soft' });
    this.note = make('p', { class: 'note', hidden: true });
    this.tiles = Object.fromEntries(['running', 'waiting', 'per_hour', 'success', 'speed', 'cache'].map((key) => [key, tile(say(key))]));
    this.slots = make('p', { class: 'slots', 'aria-hidden': 'true' });
    this.room = make('p', { class: 'room', 'aria-hidden': 'true' }, make('span'));
    this.tiles.running.node.append(this.slots);
    this.tiles.waiting.node.append(this.room);
    this.latency = latencyTable();
    this.charts = charts().map((chart) => chartBlock(chart));
    this.outcomes = make('ul', { class: 'bars' });
    this.parts = make('dl', { class: 'parts' });
    this.errors = make('div', {});
    this.body = make('div', { class: 'body', hidden: true },
      make('dl', { class: 'tiles' }, ...Object.values(this.tiles).map(({ node }) => node)),
      make('div', { class: 'charts' }, ...this.charts.map(({ node }) => node)),
      make('div', { class: 'halves' },
        make('div', {}, make('h3', {}, say('latency')), this.latency.node),
        make('div', {}, make('h3', {}, say('outcomes')), this.outcomes),
        make('div', {}, make('h3', {}, say('parts')), this.parts),
        make('div', {}, make('h3', {}, say('recent')), this.errors)));
    this.node = make('section', { class: 'panel card', 'aria-labelledby': `${name}-title`, 'data-assistant': name },
      make('header', {}, make('div', {}, make('h2', { id: `${name}-title` }, say(name), make('span', { class: 'soft' }, say(`${name}_note`))), this.subtitle), this.badge),
      this.note, this.body);
  }

  /* feed       { data, at, why }: the newest data, when it came (page's clock), why there is none now
     processes  name -> { state, restarts }, where one group runs everything; else empty */
  update(feed, processes, now) {
    const { data, why } = feed;
    this.processes = processes;
    this.body.hidden = !data;
    this.node.dataset.stale = String(Boolean(why && data));
    const text = why ? say(data ? 'old' : 'unreachable', { why: say(why.key, why), age: data ? age((now - feed.at) / 1000) : '' }) : '';
    this.note.hidden = !why;
    write(this.note, text);
    const state = stateOf(feed);
    this.badge.dataset.level = state.level;
    if (this.badge.dataset.key !== state.key) {
      this.badge.dataset.key = state.key;
      this.badge.replaceChildren(sign(state.level), state.key === 'loading' ? say('loading') : say(state.key));
    }
    if (data && feed.at !== this.drawn) {
      this.drawn = feed.at;
      this.draw(data);
    }
  }

  draw(data) {
    const p = data.performance;
    const w = p.last_15_minutes;
    write(this.subtitle, `${p.model} · ${say('uptime')} ${age(p.uptime_s)}`);
    const tried = w.answered + w.failed + w.refused;
    this.tiles.running.set(number(p.running), say('of', { n: number(p.max_concurrent) }), '');
    this.tiles.waiting.set(number(p.waiting), say('of', { n: number(p.max_waiting) }), waitText(p.expected_wait_s));
    this.tiles.per_hour.set(number(w.requests_per_hour), '', say('answers_n', { n: number(w.answered) }));
    this.tiles.success.set(tried ? share(w.success_rate / 100) : '–', '', tried ? say('tried_n', { n: number(tried) }) : say('none_yet'));
    this.tiles.speed.set(w.tokens_per_second ? number(w.tokens_per_second, 1) : '–', '', say('speed_note'));
    this.tiles.cache.set(w.answered ? share(w.cache_hit_share) : '–', '', say('cache_note'));
    this.slots.replaceChildren(...Array.from({ length: Math.min(p.max_concurrent, 24) }, (_, index) => make('span', { class: index < p.running ? 'busy' : null })));
    this.room.firstChild.style.inlineSize = `${p.max_waiting ? Math.min(100, (100 * p.waiting) / p.max_waiting) : 0}%`;
    this.room.dataset.full = String(p.max_waiting > 0 && p.waiting >= p.max_waiting);
    this.latency.update(w);
    for (const chart of this.charts) chart.update(data);
    this.outcomes.replaceChildren(...outcomeRows(w));
    this.parts.replaceChildren(...partRows(data, this.processes));
    this.errors.replaceChildren(errorList(p.recent_errors, data.at));
  }

  redraw() {
    for (const chart of this.charts) chart.redraw();
  }
}

/* The worst thing to say about an assistant: { level: ok|warn|bad|none, key }. */
export function stateOf({ data, why }) {
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

function sign(level) {
  const shapes = {
    ok: ['circle', { cx: 8, cy: 8, r: 5 }],
    warn: ['path', { d: 'M8 2.2l6.3 11H1.7z' }],
    bad: ['path', { d: 'M4.9 2h6.2L14.5 5.4v5.2L11.1 14H4.9L1.5 10.6V5.4z' }],
    none: ['circle', { cx: 8, cy: 8, r: 4, fill: 'none', stroke: 'currentColor', 'stroke-width': 2 }],
  };
  const [name, attributes] = shapes[level];
  return draw('svg', { viewBox: '0 0 16 16', width: 14, height: 14, 'aria-hidden': 'true', fill: 'currentColor' }, draw(name, attributes));
}

function waitText(seconds) {
  if (seconds === null) return say('expected_unknown');
  return seconds > 0 ? say('expected', { s: brief(seconds) }) : say('expected_none');
}

function tile(name) {
  const value = make('b');
  const unit = make('span', { class: 'soft' });
  const note = make('dd', { class: 'soft small' });
  return {
    node: make('div', { class: 'tile' }, make('dt', {}, name), make('dd', { class: 'value' }, value, ' ', unit), note),
    set(figure, of, text) { write(value, figure); write(unit, of); write(note, text); },
  };
}

function latencyTable() {
  const rows = ['total', 'queue', 'first'];
  const shares = ['p50', 'p95', 'p99'];
  const cells = rows.map(() => shares.map(() => make('td')));
  const node = make('table', {}, make('caption', { class: 'soft' }, say('latency_caption')),
    make('thead', {}, make('tr', {}, make('td'), ...shares.map((name) => make('th', { scope: 'col' }, say(name))))),
    make('tbody', {}, ...rows.map((name, row) => make('tr', {}, make('th', { scope: 'row' }, say(name)), ...cells[row]))));
  return {
    node,
    update(w) {
      const from = [w.total_s, w.queue_s, w.first_token_s];
      for (const [row, line] of cells.entries()) {
        for (const [column, cell] of line.entries()) write(cell, w.answered ? span(from[row][shares[column]]) : '–');
      }
    },
  };
}

/* The four charts: what they draw, and what stands beside their title. */
function charts() {
  const named = (key, of, more = {}) => ({ key, of, name: say(`k_${key}`), ...more });
  const refused = (point) => point.refused + point.limited;
  return [
    { title: 'c_load', whole: true, step: true, show: (v) => number(v), lines: [named('waiting', (p) => p.waiting, { kind: 'area' }), named('running', (p) => p.running, { kind: 'line' })], text: (points) => `${say('peak')} ${number(most(points, (p) => Math.max(p.running, p.waiting)))}` },
    { title: 'c_time', show: span, axis: brief, lines: [named('p95', (p) => p.p95_s, { kind: 'line', thin: true }), named('p50', (p) => p.p50_s, { kind: 'line' })], text: (points) => latest(points, (p) => p.p50_s) },
    { title: 'c_results', whole: true, show: (v) => number(v), lines: [named('answered', (p) => p.answered, { kind: 'bar' }), named('refused', refused, { kind: 'bar' }), named('failed', (p) => p.failed, { kind: 'bar' }), named('cancelled', (p) => p.cancelled, { kind: 'bar' })], text: (points) => `${say('peak')} ${number(most(points, (p) => p.answered + refused(p) + p.failed + p.cancelled))}` },
    { title: 'c_tokens', show: (v) => number(v, v < 10 ? 1 : 0), lines: [named('tokens', (p, seconds) => p.tokens / seconds, { kind: 'area' })], text: (points, seconds) => `${say('peak')} ${number(most(points, (p) => p.tokens / seconds), 1)}` },
  ];
}
function most(points, of) { return Math.max(0, ...points.map(of)); }
function latest(points, of) {
  const found = [...points].reverse().find((point) => of(point) !== null);
  return found ? `${say('last')} ${span(of(found))}` : say('none_yet');
}

function chartBlock({ title, lines, text, show, ...options }) {
  let seconds = 15;
  for (const line of lines) { const { of } = line; line.of = (point) => of(point, seconds); }
  const chart = new Sparkline(lines, { title: say(title), show, ...options });
  const beside = make('span', { class: 'soft' });
  const rows = make('tbody');
  const behind = make('details', { ontoggle: () => fillRows() }, make('summary', {}, say('table')),
    make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': say(title) }, make('table', {},
      make('caption', { class: 'unseen' }, say(title)),
      make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, say('time')), ...lines.map((line) => make('th', { scope: 'col' }, line.name)))), rows)));
  const fillRows = () => {
    if (!behind.open) return;
    rows.replaceChildren(...chart.rows().map(([at, ...values]) => make('tr', {}, make('th', { scope: 'row' }, at), ...values.map((value) => make('td', {}, value)))));
  };
  return {
    node: make('figure', { class: 'chart' }, make('figcaption', {}, make('h3', {}, say(title)), beside), chart.node, chart.readout, behind),
    update(data) {
      seconds = data.point_s;
      const said = text(data.series, seconds);
      write(beside, said);
      chart.update(data.series, { seconds, text: said });
      fillRows();
    },
    redraw() { if (chart.points.length) chart.render(); },
  };
}

function outcomeRows(w) {
  const known = ['answered', 'refused', 'limited', 'cancelled', 'failed'].filter((name) => w[name] || name === 'answered');
  const all = known.reduce((sum, name) => sum + w[name], 0);
  const rows = known.map((name) => {
    const bar = make('span', { class: `fill ${name === 'limited' ? 'refused' : name}` });
    bar.style.inlineSize = `${all ? (100 * w[name]) / all : 0}%`;
    return make('li', {}, make('span', {}, say(`o_${name}`)), make('span', { class: 'figure' }, number(w[name])), make('span', { class: 'bar', 'aria-hidden': 'true' }, bar));
  });
  const causes = Object.entries(w.causes);
  if (causes.length) rows.push(make('li', { class: 'causes' }, make('span', { class: 'soft' }, say('causes')), make('ul', {}, ...causes.map(([code, count]) => make('li', {}, `${codeName(code)} `, make('b', {}, number(count)))))));
  return rows;
}

/* What is known of the engine: from the service that started it, else from the whole group. */
function engineOf(data, processes) {
  const { engine } = data.performance;
  if (engine.managed) return engine;
  return processes[`engine-${data.assistant}`] ?? processes.engine ?? null;
}

function partRows(data, processes) {
  const { performance: p, readiness, outbox_turns: outbox } = data;
  const engine = engineOf(data, processes);
  const service = processes[data.assistant];
  const restarts = (key, of) => [key, of ? say('n_times', { n: number(of.restarts) }) : say('unknown'), of && of.restarts > 0 ? 'warn' : null];
  const checked = (key) => [key, readiness[key] === 'ok' ? say('yes') : codeName(readiness[key]), readiness[key] === 'ok' ? 'ok' : 'bad'];
  const rows = [
    checked('model'),
    checked('store'),
    ['engine', engine ? (ENGINE_STATES.includes(engine.state) ? say(`engine_${engine.state}`) : engine.state) : say('engine_elsewhere'), engine ? (engine.state === 'ready' ? 'ok' : 'warn') : null],
    restarts('restarts', engine),
    service ? restarts('service_restarts', service) : null,
    ['slots', say('n_slots', { n: number(p.max_concurrent) }), null],
    ['outbox_turns', say('n_items', { n: number(outbox) }), outbox > 0 ? 'warn' : null],
    ['wasted', number(p.since_start.wasted_tokens), null],
    ['version', data.version, null],
  ];
  return rows.filter(Boolean).map(([key, text, level]) => make('div', {}, make('dt', {}, say(key)), make('dd', { 'data-level': level }, level ? sign(level) : null, text)));
}

/* One line for each run of equal errors, the newest first. */
function errorList(errors, now) {
  if (!errors.length) return make('p', { class: 'errors soft' }, say('no_errors'));
  const runs = [];
  for (const error of errors) {
    const last = runs.at(-1);
    if (last && last.code === error.code) last.count += 1; else runs.push({ ...error, count: 1 });
  }
  return make('ol', { class: 'errors' }, ...runs.slice(0, 6).map(({ at, code, count }) => make('li', {},
    make('time', { datetime: new Date(at * 1000).toISOString() }, clock(at)),
    make('span', {}, codeName(code)),
    make('span', { class: 'soft' }, say(count > 1 ? 'times' : 'ago', { n: number(count), age: age(now - at) })))));
}
