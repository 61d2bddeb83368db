const outcomes = () => DATA.outcomes;

function timeChart(width, view) {
  const points = view.points;
  const xMax = Math.max(1, ...points.map((p) => p[0]));
  const unit = xMax > 150 ? 60 : 1;
  const { node, edge, x, y } = frame({
    width, height: width < 560 ? 280 : 330, label: say('time_title'),
    xTitle: say(unit === 60 ? 'x_time_min' : 'x_time_s'), yTitle: say('y_total'),
    xHigh: xMax / unit, yHigh: Math.max(0.001, ...points.map((p) => p[1])),
  });
  const bands = view.over_time.map(([low, high, n, p5, p50, p95]) => {
    const left = x.place(low / unit); const right = x.place(Math.min(high, xMax) / unit);
    return { left, right, x: (left + right) / 2, low, high, n, p5, p50, p95 };
  });
  for (const b of bands) {
    node.append(draw('rect', { x: b.left, width: Math.max(1, b.right - b.left), y: y.place(b.p95), height: Math.max(1, y.place(b.p5) - y.place(b.p95)), fill: 'var(--band)' }));
  }
  const many = points.length > 200;
  const steps = bands.map((b) => `M${b.left} ${y.place(b.p50)}H${Math.max(b.left + 1, b.right)}`).join('');
  const medians = draw('g', {},
    draw('path', { d: steps, stroke: 'var(--panel)', 'stroke-width': many ? 5 : 0 }), draw('path', { d: steps, stroke: 'var(--ink)', 'stroke-width': 2 }));
  const size = points.length > 500 ? 2 : 3;
  const layer = draw('g');
  for (const name of outcomes()) {
    const own = points.filter((p) => outcomes()[p[2]] === name);
    const marks = own.map(([at, total]) => shape(name, x.place(at / unit), y.place(total), size));
    layer.append(draw('g', { opacity: name === 'answered' && points.length > 500 ? 0.55 : 0.8 }, ...marks));
  }
  node.append(...(many ? [layer, medians] : [medians, layer])); // few marks must not hide under a line
  const marks = bands.map((b) => ({ x: b.x, y: y.place(b.p50), weight: 0, text: bandText(stretch(b.low, b.high), b) }));
  return { node, marks, edge };
}
function stretch(low, high) {
  const minutes = high > 150;
  const show = (v) => plain(Math.round((minutes ? v / 60 : v) * 100) / 100);
  return say(minutes ? 'min' : 's', { n: say('range', { a: show(low), b: show(high) }) });
}
function bandText(where, b) {
  return `${where} · ${say('col_n')} ${say('n', { n: number(b.n) })} · ${say('p50')} ${span(b.p50)} · ${say('p95')} ${span(b.p95)}`;
}

function histogramChart(width, view) {
  const { width: step, counts } = view.histogram;
  const { node, edge, x, y } = frame({
    width, height: 290, headroom: 26, label: say('dist_title'), xTitle: say('x_total'), yTitle: say('y_count'),
    xHigh: step * counts.length, yHigh: Math.max(...counts), yWhole: true,
  });
  const marks = [];
  counts.forEach((count, index) => {
    const left = x.place(index * step); const right = x.place((index + 1) * step);
    const top = y.place(count);
    if (count) node.append(draw('rect', { x: left + 0.75, y: top, width: Math.max(1, right - left - 1.5), height: edge.bottom - top, fill: 'var(--answered)', rx: 1 }));
    const range = say('s', { n: say('range', { a: plain(index * step), b: plain((index + 1) * step) }) });
    marks.push({ x: (left + right) / 2, y: top, weight: 0, text: say('over_bar', { range, n: number(count) }) });
  });
  const { p50_s: p50, p95_s: p95 } = view.overview;
  const names = draw('g'); // above both lines; the median's is the lower, so that no line crosses the other's
  [['p50', p50], ['p95', p95]].forEach(([key, value], index) => {
    const at = x.place(value);
    const before = index === 0 ? at > edge.left + 110 : at > edge.right - 110;
    const above = edge.top - 5 - index * 17;
    node.append(draw('line', { x1: at, x2: at, y1: above - 9, y2: edge.bottom, class: 'mark-line' }));
    names.append(draw('text', { x: at + (before ? -6 : 6), y: above, 'text-anchor': before ? 'end' : 'start', class: 'strong halo' }, `${say(key)} ${span(value)}`));
  });
  node.append(names);
  return { node, marks };
}

function concurrencyChart(width, view) {
  const bands = view.concurrency;
  const { node, edge, x, y } = frame({
    width, height: 290, label: say('flight_title'), xTitle: say('x_flight'), yTitle: say('y_total'),
    xHigh: bands.at(-1)[1], yHigh: Math.max(...bands.map((b) => b[5])), xWhole: true,
  });
  const marks = bands.map(([low, high, n, p5, p50, p95]) => {
    const at = x.place((low + high) / 2);
    node.append(
      draw('line', { x1: at, x2: at, y1: y.place(p5), y2: y.place(p95), stroke: 'var(--answered)', 'stroke-width': 2, 'stroke-opacity': 0.6, 'stroke-linecap': 'round' }),
      draw('circle', { cx: at, cy: y.place(p50), r: 4.5, fill: 'var(--answered)' }),
    );
    const where = `${say('col_flight')} ${low === high ? plain(low) : say('range', { a: plain(low), b: plain(high) })}`;
    return { x: at, y: y.place(p50), weight: 0, text: bandText(where, { n, p50, p95 }) };
  });
  return { node, marks, edge };
}

function waitChart(width, view) {
  const points = view.waits;
  const high = Math.max(1, ...points.flat());
  const { node, x, y } = frame({ width, height: 290, label: say('wait_title'), xTitle: say('x_real'), yTitle: say('y_told'), xHigh: high, yHigh: high });
  const top = x.top;
  const corner = (a, b) => `${x.place(a)},${y.place(b)}`;
  node.append(
    draw('polygon', { points: [corner(0, 0), corner(top / 1.3, top), corner(top, top), corner(top, top * 0.7)].join(' '), fill: 'var(--band)' }),
    draw('line', { x1: x.place(0), y1: y.place(0), x2: x.place(top), y2: y.place(top), class: 'mark-line' }),
  );
  const marks = points.map(([told, real]) => ({
    x: x.place(real), y: y.place(told), text: `${say('col_told')} ${span(told)} · ${say('col_real')} ${span(real)}`,
  })).sort((a, b) => a.x - b.x);
  for (const mark of marks) node.append(draw('circle', { cx: mark.x, cy: mark.y, r: 3, fill: 'var(--answered)', opacity: 0.7 }));
  return { node, marks };
}

/* Horizontal bars with their figures in words: [{name, value, text, outcome}]. */
function barList(label, rows) {
  const most = Math.max(...rows.map((r) => r.value));
  return make('ul', { class: 'bars', 'aria-label': label }, ...rows.map(({ name, value, text, outcome }) => make('li', {},
    make('span', { class: 'bar-name' }, draw('svg', { width: 14, height: 14, 'aria-hidden': true }, shape(outcome, 7, 7, 4)), make('span', {}, name)),
    make('span', { class: 'bar-text' }, text),
    make('span', { class: 'bar' }, make('span', { css: { width: `${(100 * value) / most}%`, background: `var(--${outcome})` } })))));
}

function compositionChart(width, parts) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  const node = draw('svg', { class: 'chart', viewBox: `0 0 ${width} 34`, height: 34, role: 'img', 'aria-label': say('parts_title'), tabindex: 0 });
  let left = 2;
  const marks = parts.map((part) => {
    const long = total > 0 ? ((width - 4) * part.value) / total : 0;
    node.append(draw('rect', { x: left, y: 3, width: Math.max(0, long - 1.5), height: 28, fill: `var(--part-${part.key})`, rx: 2 }));
    const mark = { x: left + long / 2, y: 17, weight: 0, text: `${say(`part_${part.key}`)} · ${span(part.value)} · ${percent((100 * part.value) / (total || 1), 0)}` };
    left += long;
    return mark;
  });
  return { node, marks };
}

function compareChart(width, runs, chosen) {
  const rows = runs.filter((run) => run.overview.p50_s !== null);
  const beside = width >= 640;
  const names = beside ? 290 : 0;
  const row = beside ? 34 : 46; const top = 6; const bottom = top + rows.length * row; const height = bottom + 44;
  const edge = { left: names + 10, right: width - 16 };
  const x = scale(Math.max(0.001, ...rows.map((run) => run.overview.p95_s)) * 1.02, edge.left, edge.right, Math.max(3, Math.floor((width - names) / 110)));
  const node = draw('svg', { class: 'chart', viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': say('compare_title'), tabindex: 0 });
  for (const mark of x.marks) {
    const at = x.place(mark);
    node.append(
      draw('line', { x1: at, x2: at, y1: top, y2: bottom, class: mark === 0 ? 'base-line' : 'grid-line' }),
      tickText(at, bottom + 16, edge.right, mark),
    );
  }
  node.append(draw('text', { x: edge.right, y: height - 6, 'text-anchor': 'end' }, say('x_total')));
  const marks = rows.map((run, index) => {
    const { p50_s: p50, p95_s: p95 } = run.overview;
    const at = top + index * row + (beside ? row / 2 : 33);
    const here = run.name === chosen;
    const colour = here ? 'var(--answered)' : 'var(--abandoned)';
    const most = Math.floor((beside ? names - 12 : width - 24) / 8.2);
    node.append(
      draw('text', { x: beside ? 0 : edge.left + 6, y: beside ? at + 4 : at - 13, class: here ? 'strong halo' : 'halo' }, shorten(run.title, most)),
      draw('line', { x1: x.place(p50), x2: x.place(p95), y1: at, y2: at, stroke: colour, 'stroke-width': 2 }),
      draw('line', { x1: x.place(p95), x2: x.place(p95), y1: at - 5, y2: at + 5, stroke: colour, 'stroke-width': 2 }),
      draw('circle', { cx: x.place(p50), cy: at, r: 5, fill: colour }),
    );
    return { x: x.place(p50), y: at, text: `${run.title} · ${say('p50')} ${span(p50)} · ${say('p95')} ${span(p95)} · ${say('success')} ${percent(run.overview.success_percent)}` };
  });
  return { node, marks };
}
function shorten(text, most) {
  return text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text;
}
