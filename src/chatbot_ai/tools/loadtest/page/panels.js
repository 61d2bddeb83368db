const MAX_TABLE_ROWS = 200;
let panels = 0;

function createPanel(title, lead, { wide = false, legend = null } = {}, ...body) {
  panels += 1;
  const id = `panel-${panels}`;
  return createElement('section', { class: wide ? 'panel wide' : 'panel', 'aria-labelledby': id },
    createElement('h2', { id }, title), createElement('p', { class: 'lead' }, lead), legend, ...body);
}
function createTable(caption, heads, rows) {
  const shown = rows.slice(0, MAX_TABLE_ROWS);
  const note = rows.length > shown.length ? ` ${t('first_rows', { n: formatNumber(shown.length) })}` : '';
  return createElement('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    createElement('table', {},
      createElement('caption', note ? {} : { class: 'unseen' }, caption + note),
      createElement('thead', {}, createElement('tr', {}, ...heads.map((head) => createElement('th', { scope: 'col' }, head)))),
      createElement('tbody', {}, ...shown.map((row) => createElement('tr', row.chosen ? { class: 'chosen' } : {},
        ...row.cells.map((cell, index) => createElement(index ? 'td' : 'th', index ? {} : { scope: 'row' }, cell)))))));
}
/* What lies under a chart: the button that opens its table, beside it the values under the pointer. */
function createTableToggle(caption, heads, rows, readout = null) {
  const body = createTable(caption, heads, rows.map((cells) => ({ cells })));
  body.hidden = true;
  const button = createElement('button', { type: 'button', class: 'opener', 'aria-expanded': 'false', onclick: () => {
    body.hidden = !body.hidden;
    button.setAttribute('aria-expanded', String(!body.hidden));
  } }, t('table'));
  return createElement('div', { class: 'behind' }, createElement('div', { class: 'under' }, button, readout), body);
}
/* A chart that is drawn again when its width changes. `paint(width)` gives {node, marks}. */
function createChartWithTable(paint, caption, heads, rows) {
  const readout = createElement('p', { class: 'readout', 'aria-live': 'polite' });
  return createElement('div', {}, createChart(paint, readout), createTableToggle(caption, heads, rows, readout));
}
function createChart(paint, readout) {
  const figure = createElement('figure');
  let drawn = 0;
  function redraw() {
    const width = Math.round(figure.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    const { node, marks } = paint(width);
    makeReadable(node, marks, readout);
    figure.replaceChildren(node);
  }
  new ResizeObserver(redraw).observe(figure);
  return figure;
}
function createEmptyNote() { return createElement('p', { class: 'empty' }, t('empty')); }

function createTiles(o) {
  const tile = (name, value, note) => createElement('div', { class: 'tile' }, createElement('dt', {}, name), createElement('dd', {}, value), createElement('dd', { class: 'note' }, note));
  const timed = (key, name) => tile(name, formatDuration(o[`${key}p50_s`]), o[`${key}p50_s`] === null ? t('not_recorded') : t('median_note', { p95: formatDuration(o[`${key}p95_s`]) }));
  const success = t('success_note', { questions: formatNumber(o.questions), answered: formatNumber(o.answered) });
  return createElement('dl', { class: 'tiles', 'aria-label': t('key_figures') },
    tile(t('success'), formatPercent(o.success_percent), success + (o.unfinished ? t('unfinished_note', { n: formatNumber(o.unfinished) }) : '')),
    timed('', t('total')), timed('first_token_', t('first')), timed('queue_', t('queue')),
    tile(t('rate'), o.answers_per_h === null ? '–' : formatNumber(o.answers_per_h), t('rate_note', { mean: formatDuration(o.mean_s) })),
    tile(t('requests'), formatNumber(o.requests), t('requests_note', { n: formatNumber(o.repeated) })),
    tile(t('refused_tile'), t('n', { n: formatNumber(o.refused) }), o.refused ? t('refused_note', { s: formatDuration(o.refusal_s) }) : t('refused_none')),
    tile(t('expected'), o.wait_error === null ? '–' : `±${formatNumber(100 * o.wait_error)}%`, o.waits ? t('expected_note', { n: formatNumber(o.waits) }) : t('expected_none')));
}

function createTimePanel(view) {
  const all = view.overview.requests;
  const lead = t('time_lead') + (view.points.length < all ? t('points_shown', { all: formatNumber(all), shown: formatNumber(view.points.length) }) : '');
  const counts = new Map();
  for (const [outcome, , count] of view.causes) counts.set(outcome, (counts.get(outcome) ?? 0) + count);
  const legend = createElement('ul', { class: 'legend' }, ...[...counts].map(([name, count]) => createElement('li', {},
    createSvg('svg', { width: 14, height: 14, 'aria-hidden': true }, createMark(name, 7, 7, 4)), `${t(`o_${name}`)} ${t('n', { n: formatNumber(count) })}`)));
  const rows = view.over_time.map(([low, high, n, p5, p50, p95]) => [formatRange(low, high), formatNumber(n), formatDuration(p5), formatDuration(p50), formatDuration(p95)]);
  const heads = [t('col_time'), ...getBandHeads()];
  return createPanel(t('time_title'), lead, { wide: true, legend },
    view.points.length ? createChartWithTable((width) => drawTimeChart(width, view), t('time_title'), heads, rows) : createEmptyNote());
}
function getBandHeads() { return ['col_n', 'p5', 'p50', 'p95'].map((key) => t(key)); }

function createHistogramPanel(view) {
  const { width: step, counts } = view.histogram;
  const rows = counts.map((count, index) => [t('s', { n: t('range', { a: formatPlain(index * step), b: formatPlain((index + 1) * step) }) }), formatNumber(count)]);
  return createPanel(t('dist_title'), t('dist_lead', { n: formatNumber(view.overview.answered) }), {},
    counts.length ? createChartWithTable((width) => drawHistogram(width, view), t('dist_title'), [t('total'), t('col_n')], rows) : createEmptyNote());
}
function createCausePanel(view, wide) {
  const all = view.overview.requests;
  const share = (count) => formatPercent((100 * count) / all);
  const bars = view.causes.map(([outcome, cause, count]) => ({
    outcome, value: count, text: `${t('n', { n: formatNumber(count) })} · ${share(count)}`,
    name: cause ? `${t(`o_${outcome}`)}: ${getCauseName(outcome, cause)}` : t(`o_${outcome}`),
  }));
  const heads = ['col_outcome', 'col_cause', 'col_requests', 'col_share'].map((key) => t(key));
  const rows = view.causes.map(([outcome, cause, count]) => [t(`o_${outcome}`), cause ? getCauseName(outcome, cause) : '–', formatNumber(count), share(count)]);
  return createPanel(t('cause_title'), t('cause_lead', { n: formatNumber(all) }), { wide },
    ...(bars.length ? [createBarList(t('cause_title'), bars), createTableToggle(t('cause_title'), heads, rows)] : [createEmptyNote()]));
}
function createConcurrencyPanel(view) {
  const rows = view.concurrency.map(([low, high, n, p5, p50, p95]) => [low === high ? formatPlain(low) : t('range', { a: formatPlain(low), b: formatPlain(high) }), formatNumber(n), formatDuration(p5), formatDuration(p50), formatDuration(p95)]);
  return createPanel(t('flight_title'), t('flight_lead'), {},
    rows.length ? createChartWithTable((width) => drawConcurrencyChart(width, view), t('flight_title'), [t('col_flight'), ...getBandHeads()], rows) : createEmptyNote());
}
function createCompositionPanel(view) {
  if (!view.composition) return null;
  const [queue, first, write, n] = view.composition;
  const parts = [{ key: 'queue', value: queue }, { key: 'first', value: first }, { key: 'write', value: write }];
  const legend = createElement('ul', { class: 'legend' }, ...parts.map(({ key, value }) => createElement('li', {},
    createSvg('svg', { width: 12, height: 12, 'aria-hidden': true }, createSvg('rect', { width: 12, height: 12, rx: 2, fill: `var(--part-${key})` })), `${t(`part_${key}`)} ${formatDuration(value)}`)));
  return createPanel(t('parts_title'), t('parts_lead', { n: formatNumber(n), total: formatDuration(queue + first + write) }), { wide: true, legend },
    createChartWithTable((width) => drawCompositionChart(width, parts), t('parts_title'), [t('col_part'), t('col_seconds')], parts.map(({ key, value }) => [t(`part_${key}`), formatDuration(value)])));
}
function createWaitPanel(view) {
  if (!view.waits.length) return null;
  const inside = view.waits.filter(([expected, actual]) => Math.abs(expected - actual) <= 0.3 * actual).length;
  return createPanel(t('wait_title'), t('wait_lead', { inside: formatNumber((100 * inside) / view.waits.length) }), {},
    createChartWithTable((width) => drawWaitChart(width, view), t('wait_title'), [t('col_expected'), t('col_actual')], view.waits.map(([expected, actual]) => [formatDuration(expected), formatDuration(actual)])));
}
function createComparePanel(runs, chosen, choose) {
  const rows = runs.map((run) => {
    const o = run.overview;
    const name = createElement('span', {}, createElement('button', { class: 'run-link', type: 'button', 'aria-current': run.name === chosen ? 'true' : null, onclick: () => choose(run.name) }, run.name),
      run.label ? createElement('span', { class: 'run-label' }, run.label) : null);
    return { chosen: run.name === chosen, cells: [name, o.users === null ? '–' : formatNumber(o.users), formatNumber(o.questions), formatPercent(o.success_percent), o.answers_per_h === null ? '–' : formatNumber(o.answers_per_h), formatDuration(o.p50_s), formatDuration(o.p95_s), formatDuration(o.p99_s), formatDuration(o.first_token_p50_s), formatNumber(o.refused)] };
  });
  const heads = ['col_run', 'col_users', 'col_questions', 'col_success', 'col_rate', 'p50', 'p95', 'p99', 'col_first', 'col_refused'].map((key) => t(key));
  const readout = createElement('p', { class: 'readout', 'aria-live': 'polite' });
  return createPanel(t('compare_title'), t('compare_lead'), { wide: true },
    ...(runs.some((run) => run.overview.p50_s !== null) ? [createChart((width) => drawCompareChart(width, runs, chosen), readout), readout] : [createEmptyNote()]), createTable(t('compare_title'), heads, rows));
}
