const getOutcomes = () => DATA.outcomes;

function drawTimeChart(width, view) {
  const points = view.points;
  const xMax = Math.max(1, ...points.map((p) => p[0]));
  const unit = xMax > 150 ? 60 : 1;
  const { node, edge, x, y } = createFrame({
    width, height: width < 560 ? 280 : 330, label: t('time_title'),
    xTitle: t(unit === 60 ? 'x_time_min' : 'x_time_s'), yTitle: t('y_total'),
    xHigh: xMax / unit, yHigh: Math.max(0.001, ...points.map((p) => p[1])),
  });
  const bands = view.over_time.map(([low, high, n, p5, p50, p95]) => {
    const left = x.place(low / unit); const right = x.place(Math.min(high, xMax) / unit);
    return { left, right, x: (left + right) / 2, low, high, n, p5, p50, p95 };
  });
  for (const b of bands) {
    node.append(createSvg('rect', { x: b.left, width: Math.max(1, b.right - b.left), y: y.place(b.p95), height: Math.max(1, y.place(b.p5) - y.place(b.p95)), fill: 'var(--band)' }));
  }
  const many = points.length > 200;
  const steps = bands.map((b) => `M${b.left} ${y.place(b.p50)}H${Math.max(b.left + 1, b.right)}`).join('');
  const medians = createSvg('g', {},
    createSvg('path', { d: steps, stroke: 'var(--panel)', 'stroke-width': many ? 5 : 0 }), createSvg('path', { d: steps, stroke: 'var(--ink)', 'stroke-width': 2 }));
  const size = points.length > 500 ? 2 : 3;
  const layer = createSvg('g');
  for (const name of getOutcomes()) {
    const own = points.filter((p) => getOutcomes()[p[2]] === name);
    const marks = own.map(([at, total]) => createMark(name, x.place(at / unit), y.place(total), size));
    layer.append(createSvg('g', { opacity: name === 'answered' && points.length > 500 ? 0.55 : 0.8 }, ...marks));
  }
  node.append(...(many ? [layer, medians] : [medians, layer])); // few marks must not hide under a line
  const marks = bands.map((b) => ({ x: b.x, y: y.place(b.p50), weight: 0, text: formatBand(formatRange(b.low, b.high), b) }));
  return { node, marks, edge };
}
function formatRange(low, high) {
  const minutes = high > 150;
  const show = (v) => formatPlain(Math.round((minutes ? v / 60 : v) * 100) / 100);
  return t(minutes ? 'min' : 's', { n: t('range', { a: show(low), b: show(high) }) });
}
function formatBand(where, b) {
  return `${where} · ${t('col_n')} ${t('n', { n: formatNumber(b.n) })} · ${t('p50')} ${formatDuration(b.p50)} · ${t('p95')} ${formatDuration(b.p95)}`;
}

function drawHistogram(width, view) {
  const { width: step, counts } = view.histogram;
  const { node, edge, x, y } = createFrame({
    width, height: 290, headroom: 26, label: t('dist_title'), xTitle: t('x_total'), yTitle: t('y_count'),
    xHigh: step * counts.length, yHigh: Math.max(...counts), yWhole: true,
  });
  const marks = [];
  counts.forEach((count, index) => {
    const left = x.place(index * step); const right = x.place((index + 1) * step);
    const top = y.place(count);
    if (count) node.append(createSvg('rect', { x: left + 0.75, y: top, width: Math.max(1, right - left - 1.5), height: edge.bottom - top, fill: 'var(--answered)', rx: 1 }));
    const range = t('s', { n: t('range', { a: formatPlain(index * step), b: formatPlain((index + 1) * step) }) });
    marks.push({ x: (left + right) / 2, y: top, weight: 0, text: t('over_bar', { range, n: formatNumber(count) }) });
  });
  const { p50_s: p50, p95_s: p95 } = view.overview;
  const names = createSvg('g'); // above both lines; the median's is the lower, so that no line crosses the other's
  [['p50', p50], ['p95', p95]].forEach(([key, value], index) => {
    const at = x.place(value);
    const before = index === 0 ? at > edge.left + 110 : at > edge.right - 110;
    const above = edge.top - 5 - index * 17;
    node.append(createSvg('line', { x1: at, x2: at, y1: above - 9, y2: edge.bottom, class: 'mark-line' }));
    names.append(createSvg('text', { x: at + (before ? -6 : 6), y: above, 'text-anchor': before ? 'end' : 'start', class: 'strong halo' }, `${t(key)} ${formatDuration(value)}`));
  });
  node.append(names);
  return { node, marks };
}

function drawConcurrencyChart(width, view) {
  const bands = view.concurrency;
  const { node, edge, x, y } = createFrame({
    width, height: 290, label: t('flight_title'), xTitle: t('x_flight'), yTitle: t('y_total'),
    xHigh: bands.at(-1)[1], yHigh: Math.max(...bands.map((b) => b[5])), xWhole: true,
  });
  const marks = bands.map(([low, high, n, p5, p50, p95]) => {
    const at = x.place((low + high) / 2);
    node.append(
      createSvg('line', { x1: at, x2: at, y1: y.place(p5), y2: y.place(p95), stroke: 'var(--answered)', 'stroke-width': 2, 'stroke-opacity': 0.6, 'stroke-linecap': 'round' }),
      createSvg('circle', { cx: at, cy: y.place(p50), r: 4.5, fill: 'var(--answered)' }),
    );
    const where = `${t('col_flight')} ${low === high ? formatPlain(low) : t('range', { a: formatPlain(low), b: formatPlain(high) })}`;
    return { x: at, y: y.place(p50), weight: 0, text: formatBand(where, { n, p50, p95 }) };
  });
  return { node, marks, edge };
}

function drawWaitChart(width, view) {
  const points = view.waits;
  const high = Math.max(1, ...points.flat());
  const { node, x, y } = createFrame({ width, height: 290, label: t('wait_title'), xTitle: t('x_actual'), yTitle: t('y_expected'), xHigh: high, yHigh: high });
  const top = x.top;
  const corner = (a, b) => `${x.place(a)},${y.place(b)}`;
  node.append(
    createSvg('polygon', { points: [corner(0, 0), corner(top / 1.3, top), corner(top, top), corner(top, top * 0.7)].join(' '), fill: 'var(--band)' }),
    createSvg('line', { x1: x.place(0), y1: y.place(0), x2: x.place(top), y2: y.place(top), class: 'mark-line' }),
  );
  const marks = points.map(([expected, actual]) => ({
    x: x.place(actual), y: y.place(expected), text: `${t('col_expected')} ${formatDuration(expected)} · ${t('col_actual')} ${formatDuration(actual)}`,
  })).sort((a, b) => a.x - b.x);
  for (const mark of marks) node.append(createSvg('circle', { cx: mark.x, cy: mark.y, r: 3, fill: 'var(--answered)', opacity: 0.7 }));
  return { node, marks };
}

/* Horizontal bars with their figures in words: [{name, value, text, outcome}]. */
function createBarList(label, rows) {
  const most = Math.max(...rows.map((r) => r.value));
  return createElement('ul', { class: 'bars', 'aria-label': label }, ...rows.map(({ name, value, text, outcome }) => createElement('li', {},
    createElement('span', { class: 'bar-name' }, createSvg('svg', { width: 14, height: 14, 'aria-hidden': true }, createMark(outcome, 7, 7, 4)), createElement('span', {}, name)),
    createElement('span', { class: 'bar-text' }, text),
    createElement('span', { class: 'bar' }, createElement('span', { css: { width: `${(100 * value) / most}%`, background: `var(--${outcome})` } })))));
}

function drawCompositionChart(width, parts) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  const node = createSvg('svg', { class: 'chart', viewBox: `0 0 ${width} 34`, height: 34, role: 'img', 'aria-label': t('parts_title'), tabindex: 0 });
  let left = 2;
  const marks = parts.map((part) => {
    const long = total > 0 ? ((width - 4) * part.value) / total : 0;
    node.append(createSvg('rect', { x: left, y: 3, width: Math.max(0, long - 1.5), height: 28, fill: `var(--part-${part.key})`, rx: 2 }));
    const mark = { x: left + long / 2, y: 17, weight: 0, text: `${t(`part_${part.key}`)} · ${formatDuration(part.value)} · ${formatPercent((100 * part.value) / (total || 1), 0)}` };
    left += long;
    return mark;
  });
  return { node, marks };
}

function drawCompareChart(width, runs, chosen) {
  const rows = runs.filter((run) => run.overview.p50_s !== null);
  const beside = width >= 640;
  const names = beside ? 290 : 0;
  const row = beside ? 34 : 46; const top = 6; const bottom = top + rows.length * row; const height = bottom + 44;
  const edge = { left: names + 10, right: width - 16 };
  const x = createScale(Math.max(0.001, ...rows.map((run) => run.overview.p95_s)) * 1.02, edge.left, edge.right, Math.max(3, Math.floor((width - names) / 110)));
  const node = createSvg('svg', { class: 'chart', viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': t('compare_title'), tabindex: 0 });
  for (const mark of x.marks) {
    const at = x.place(mark);
    node.append(
      createSvg('line', { x1: at, x2: at, y1: top, y2: bottom, class: mark === 0 ? 'base-line' : 'grid-line' }),
      createTickLabel(at, bottom + 16, edge.right, mark),
    );
  }
  node.append(createSvg('text', { x: edge.right, y: height - 6, 'text-anchor': 'end' }, t('x_total')));
  const marks = rows.map((run, index) => {
    const { p50_s: p50, p95_s: p95 } = run.overview;
    const at = top + index * row + (beside ? row / 2 : 33);
    const here = run.name === chosen;
    const colour = here ? 'var(--answered)' : 'var(--abandoned)';
    const most = Math.floor((beside ? names - 12 : width - 24) / 8.2);
    node.append(
      createSvg('text', { x: beside ? 0 : edge.left + 6, y: beside ? at + 4 : at - 13, class: here ? 'strong halo' : 'halo' }, shorten(run.title, most)),
      createSvg('line', { x1: x.place(p50), x2: x.place(p95), y1: at, y2: at, stroke: colour, 'stroke-width': 2 }),
      createSvg('line', { x1: x.place(p95), x2: x.place(p95), y1: at - 5, y2: at + 5, stroke: colour, 'stroke-width': 2 }),
      createSvg('circle', { cx: x.place(p50), cy: at, r: 5, fill: colour }),
    );
    return { x: x.place(p50), y: at, text: `${run.title} · ${t('p50')} ${formatDuration(p50)} · ${t('p95')} ${formatDuration(p95)} · ${t('success')} ${formatPercent(run.overview.success_percent)}` };
  });
  return { node, marks };
}
function shorten(text, most) {
  return text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text;
}
