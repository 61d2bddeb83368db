const MAX_TABLE_ROWS = 200;

let panels = 0;

function panel(title, lead, { wide = false, legend = null } = {}, ...body) {
  panels += 1;
  const id = `panel-${panels}`;
  return make('section', { class: wide ? 'panel wide' : 'panel', 'aria-labelledby': id },
    make('h2', { id }, title), make('p', { class: 'lead' }, lead), legend, ...body);
}
function table(caption, heads, rows) {
  const shown = rows.slice(0, MAX_TABLE_ROWS);
  const note = rows.length > shown.length ? ` ${say('first_rows', { n: number(shown.length) })}` : '';
  return make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    make('table', {},
      make('caption', note ? {} : { class: 'unseen' }, caption + note),
      make('thead', {}, make('tr', {}, ...heads.map((head) => make('th', { scope: 'col' }, head)))),
      make('tbody', {}, ...shown.map((row) => make('tr', row.chosen ? { class: 'chosen' } : {},
        ...row.cells.map((cell, index) => make(index ? 'td' : 'th', index ? {} : { scope: 'row' }, cell)))))));
}
/* What lies under a chart: the button that opens its table, beside it the values under the pointer. */
function behind(caption, heads, rows, readout = null) {
  const body = table(caption, heads, rows.map((cells) => ({ cells })));
  body.hidden = true;
  const button = make('button', { type: 'button', class: 'opener', 'aria-expanded': 'false', onclick: () => {
    body.hidden = !body.hidden;
    button.setAttribute('aria-expanded', String(!body.hidden));
  } }, say('table'));
  return make('div', { class: 'behind' }, make('div', { class: 'under' }, button, readout), body);
}
/* A chart that is drawn again when its width changes. `paint(width)` gives {node, marks}. */
function charted(paint, caption, heads, rows) {
  const readout = make('p', { class: 'readout', 'aria-live': 'polite' });
  return make('div', {}, chart(paint, readout), behind(caption, heads, rows, readout));
}
function chart(paint, readout) {
  const figure = make('figure');
  let drawn = 0;
  function redraw() {
    const width = Math.round(figure.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    const { node, marks } = paint(width);
    readable(node, marks, readout);
    figure.replaceChildren(node);
  }
  new ResizeObserver(redraw).observe(figure);
  return figure;
}
function nothing() { return make('p', { class: 'empty' }, say('empty')); }

function tiles(o) {
  const tile = (name, value, note) => make('div', { class: 'tile' }, make('dt', {}, name), make('dd', {}, value), make('dd', { class: 'note' }, note));
  const timed = (key, name) => tile(name, span(o[`${key}p50_s`]), o[`${key}p50_s`] === null ? say('none_told') : say('median_note', { p95: span(o[`${key}p95_s`]) }));
  const success = say('success_note', { questions: number(o.questions), answered: number(o.answered) });
  return make('dl', { class: 'tiles', 'aria-label': say('key_figures') },
    tile(say('success'), percent(o.success_percent), success + (o.unfinished ? say('unfinished_note', { n: number(o.unfinished) }) : '')),
    timed('', say('total')), timed('first_token_', say('first')), timed('queue_', say('queue')),
    tile(say('rate'), o.answers_per_h === null ? '–' : number(o.answers_per_h), say('rate_note', { mean: span(o.mean_s) })),
    tile(say('requests'), number(o.requests), say('requests_note', { n: number(o.repeated) })),
    tile(say('refused_tile'), say('n', { n: number(o.refused) }), o.refused ? say('refused_note', { s: span(o.refusal_s) }) : say('refused_none')),
    tile(say('foretold'), o.wait_error === null ? '–' : `±${number(100 * o.wait_error)}%`, o.waits ? say('foretold_note', { n: number(o.waits) }) : say('foretold_none')));
}

function timePanel(view) {
  const all = view.overview.requests;
  const lead = say('time_lead') + (view.points.length < all ? say('points_shown', { all: number(all), shown: number(view.points.length) }) : '');
  const counts = new Map();
  for (const [outcome, , count] of view.causes) counts.set(outcome, (counts.get(outcome) ?? 0) + count);
  const legend = make('ul', { class: 'legend' }, ...[...counts].map(([name, count]) => make('li', {},
    draw('svg', { width: 14, height: 14, 'aria-hidden': true }, shape(name, 7, 7, 4)), `${say(`o_${name}`)} ${say('n', { n: number(count) })}`)));
  const rows = view.over_time.map(([low, high, n, p5, p50, p95]) => [stretch(low, high), number(n), span(p5), span(p50), span(p95)]);
  const heads = [say('col_time'), ...bandHeads()];
  return panel(say('time_title'), lead, { wide: true, legend },
    view.points.length ? charted((width) => timeChart(width, view), say('time_title'), heads, rows) : nothing());
}
function bandHeads() { return ['col_n', 'p5', 'p50', 'p95'].map((key) => say(key)); }

function histogramPanel(view) {
  const { width: step, counts } = view.histogram;
  const rows = counts.map((count, index) => [say('s', { n: say('range', { a: plain(index * step), b: plain((index + 1) * step) }) }), number(count)]);
  return panel(say('dist_title'), say('dist_lead', { n: number(view.overview.answered) }), {},
    counts.length ? charted((width) => histogramChart(width, view), say('dist_title'), [say('total'), say('col_n')], rows) : nothing());
}
function causePanel(view, wide) {
  const all = view.overview.requests;
  const share = (count) => percent((100 * count) / all);
  const bars = view.causes.map(([outcome, cause, count]) => ({
    outcome, value: count, text: `${say('n', { n: number(count) })} · ${share(count)}`,
    name: cause ? `${say(`o_${outcome}`)}: ${causeName(outcome, cause)}` : say(`o_${outcome}`),
  }));
  const heads = ['col_outcome', 'col_cause', 'col_requests', 'col_share'].map((key) => say(key));
  const rows = view.causes.map(([outcome, cause, count]) => [say(`o_${outcome}`), cause ? causeName(outcome, cause) : '–', number(count), share(count)]);
  return panel(say('cause_title'), say('cause_lead', { n: number(all) }), { wide },
    ...(bars.length ? [barList(say('cause_title'), bars), behind(say('cause_title'), heads, rows)] : [nothing()]));
}
function concurrencyPanel(view) {
  const rows = view.concurrency.map(([low, high, n, p5, p50, p95]) => [low === high ? plain(low) : say('range', { a: plain(low), b: plain(high) }), number(n), span(p5), span(p50), span(p95)]);
  return panel(say('flight_title'), say('flight_lead'), {},
    rows.length ? charted((width) => concurrencyChart(width, view), say('flight_title'), [say('col_flight'), ...bandHeads()], rows) : nothing());
}
function compositionPanel(view) {
  if (!view.composition) return null;
  const [queue, first, write, n] = view.composition;
  const parts = [{ key: 'queue', value: queue }, { key: 'first', value: first }, { key: 'write', value: write }];
  const legend = make('ul', { class: 'legend' }, ...parts.map(({ key, value }) => make('li', {},
    draw('svg', { width: 12, height: 12, 'aria-hidden': true }, draw('rect', { width: 12, height: 12, rx: 2, fill: `var(--part-${key})` })), `${say(`part_${key}`)} ${span(value)}`)));
  return panel(say('parts_title'), say('parts_lead', { n: number(n), total: span(queue + first + write) }), { wide: true, legend },
    charted((width) => compositionChart(width, parts), say('parts_title'), [say('col_part'), say('col_seconds')], parts.map(({ key, value }) => [say(`part_${key}`), span(value)])));
}
function waitPanel(view) {
  if (!view.waits.length) return null;
  const inside = view.waits.filter(([told, real]) => Math.abs(told - real) <= 0.3 * real).length;
  return panel(say('wait_title'), say('wait_lead', { inside: number((100 * inside) / view.waits.length) }), {},
    charted((width) => waitChart(width, view), say('wait_title'), [say('col_told'), say('col_real')], view.waits.map(([told, real]) => [span(told), span(real)])));
}
function comparePanel(runs, chosen, choose) {
  const rows = runs.map((run) => {
    const o = run.overview;
    const name = make('span', {}, make('button', { class: 'run-link', type: 'button', 'aria-current': run.name === chosen ? 'true' : null, onclick: () => choose(run.name) }, run.name),
      run.label ? make('span', { class: 'run-label' }, run.label) : null);
    return { chosen: run.name === chosen, cells: [name, o.users === null ? '–' : number(o.users), number(o.questions), percent(o.success_percent), o.answers_per_h === null ? '–' : number(o.answers_per_h), span(o.p50_s), span(o.p95_s), span(o.p99_s), span(o.first_token_p50_s), number(o.refused)] };
  });
  const heads = ['col_run', 'col_users', 'col_questions', 'col_success', 'col_rate', 'p50', 'p95', 'p99', 'col_first', 'col_refused'].map((key) => say(key));
  const readout = make('p', { class: 'readout', 'aria-live': 'polite' });
  return panel(say('compare_title'), say('compare_lead'), { wide: true },
    ...(runs.some((run) => run.overview.p50_s !== null) ? [chart((width) => compareChart(width, runs, chosen), readout), readout] : [nothing()]), table(say('compare_title'), heads, rows));
}
