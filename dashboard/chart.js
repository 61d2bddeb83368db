import { formatTime, t } from './messages.js';

const SVG = 'http://www.w3.org/2000/svg';
/* A young service has few points: the chart then shows a shorter time. */
const MIN_POINTS = 16;
const HEIGHT = 84;
const EDGE = { top: 6, bottom: 66, right: 2 };

export function createElement(name, attributes = {}, ...children) {
  return fillNode(document.createElement(name), attributes, children);
}
export function createSvg(name, attributes = {}, ...children) {
  return fillNode(document.createElementNS(SVG, name), attributes, children);
}
function fillNode(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
/* Text is set only where it differs, so that a screen reader or a selection is not disturbed. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
/* A round figure at or above `value`, for the top of a chart. */
function roundUp(value, whole) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = (whole && power === 1 ? [1, 2, 3, 4, 5, 6, 8, 10] : [1, 1.5, 2, 3, 4, 5, 6, 8, 10]);
  return steps.map((step) => step * power).find((step) => step >= value * 0.9999);
}

/* A small chart of a time series: lines, areas and stacked bars over the points there are.
   lines  [{ key, of(point) -> number|null, kind: 'line'|'area'|'bar' }], drawn in this order */
export class Sparkline {
  constructor(lines, { title, show, axis = show, whole = false, step = false }) {
    this.lines = lines;
    this.title = title;
    this.show = show;
    this.axis = axis;
    this.whole = whole;
    this.step = step;
    this.body = createSvg('g');
    this.mark = createSvg('line', { class: 'mark', y1: EDGE.top, y2: EDGE.bottom, visibility: 'hidden' });
    this.node = createSvg('svg', { class: 'spark', role: 'img', tabindex: 0, height: HEIGHT }, this.body, this.mark);
    this.readout = createElement('p', { class: 'readout', 'aria-live': 'polite' });
    this.chosen = null;
    this.points = [];
    this.listen();
  }

  update(points, { seconds, text }) {
    this.points = points;
    this.count = Math.max(MIN_POINTS, points.length);
    this.seconds = seconds;
    this.node.setAttribute('aria-label', t('chart_label', { title: this.title, text }));
    this.render();
  }

  render() {
    const width = Math.max(120, this.node.clientWidth || 300);
    this.node.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    const bars = this.lines.filter((line) => line.kind === 'bar');
    const tops = this.points.map((point) => Math.max(bars.reduce((sum, line) => sum + (line.of(point) ?? 0), 0), ...this.lines.map((line) => line.of(point) ?? 0)));
    const top = roundUp(Math.max(0, ...tops), this.whole);
    const label = this.axis(top);
    const left = 7 + [...label].reduce((sum, letter) => sum + (letter > '\u2fff' ? 11.5 : 7.2), 0);
    const right = width - EDGE.right;
    const slot = (right - left) / this.count;
    this.first = this.count - this.points.length;
    this.place = (index) => left + slot * (this.first + index + 0.5);
    const y = (value) => EDGE.bottom - ((EDGE.bottom - EDGE.top) * value) / top;
    const shapes = [
      createSvg('line', { class: 'grid', x1: left, x2: right, y1: y(top), y2: y(top) }),
      createSvg('line', { class: 'grid', x1: left, x2: right, y1: y(top / 2), y2: y(top / 2) }),
      createSvg('line', { class: 'base', x1: left, x2: right, y1: EDGE.bottom, y2: EDGE.bottom }),
      createSvg('text', { x: left - 5, y: EDGE.top + 5, 'text-anchor': 'end' }, label),
      createSvg('text', { x: left - 5, y: EDGE.bottom, 'text-anchor': 'end' }, '0'),
      createSvg('text', { x: left, y: HEIGHT - 3 }, t('ago', { age: t('min', { n: Math.round((this.count * this.seconds) / 60) }) })),
      createSvg('text', { x: right, y: HEIGHT - 3, 'text-anchor': 'end' }, t('now')),
    ];
    const stacked = this.points.map(() => 0);
    for (const line of this.lines) {
      const colour = `var(--${line.key})`;
      if (line.kind === 'bar') {
        this.points.forEach((point, index) => {
          const value = line.of(point) ?? 0;
          if (!value) return;
          const from = stacked[index];
          stacked[index] = from + value;
          const high = Math.max(1.5, y(from) - y(from + value));
          shapes.push(createSvg('rect', { x: this.place(index) - slot * 0.4, width: Math.max(1.5, slot * 0.8), y: y(from) - high, height: high, fill: colour, 'data-key': line.key }));
        });
        continue;
      }
      for (const run of this.runs(line)) {
        const path = this.path(run, y, slot);
        if (line.kind === 'area') {
          const [a, b] = [this.place(run[0][0]) - (this.step ? slot / 2 : 0), this.place(run.at(-1)[0]) + (this.step ? slot / 2 : 0)];
          shapes.push(createSvg('path', { d: `${path}L${b} ${EDGE.bottom}L${a} ${EDGE.bottom}Z`, fill: colour, 'fill-opacity': 0.22 }));
        }
        shapes.push(createSvg('path', { d: path, stroke: colour, 'stroke-width': line.thin ? 1.25 : 2, 'stroke-dasharray': line.thin ? '3 2.5' : null, fill: 'none', 'stroke-linejoin': 'round', 'stroke-linecap': 'round', 'data-key': line.key }));
      }
    }
    this.body.replaceChildren(...shapes);
    this.point();
  }

  /* Unbroken stretches of points that have a value: a gap in the data is a gap in the line. */
  runs(line) {
    const runs = [];
    let open = null;
    this.points.forEach((point, index) => {
      const value = line.of(point);
      if (value === null || value === undefined) { open = null; return; }
      if (!open) { open = []; runs.push(open); }
      open.push([index, value]);
    });
    return runs;
  }

  path(run, y, slot) {
    if (this.step) return run.map(([index, value], nth) => `${nth ? 'L' : 'M'}${this.place(index) - slot / 2} ${y(value)}L${this.place(index) + slot / 2} ${y(value)}`).join('');
    if (run.length === 1) return `M${this.place(run[0][0]) - slot * 0.4} ${y(run[0][1])}h${slot * 0.8}`;
    return run.map(([index, value], nth) => `${nth ? 'L' : 'M'}${this.place(index)} ${y(value)}`).join('');
  }

  listen() {
    const { node } = this;
    const choose = (index) => { this.chosen = index === null ? null : this.points[Math.max(0, Math.min(this.points.length - 1, index))]?.at ?? null; this.point(); };
    node.addEventListener('pointermove', (event) => {
      const box = node.getBoundingClientRect();
      const x = event.clientX - box.left;
      let best = 0;
      this.points.forEach((_, index) => { if (Math.abs(this.place(index) - x) < Math.abs(this.place(best) - x)) best = index; });
      choose(best);
    });
    node.addEventListener('pointerleave', () => { if (document.activeElement !== node) choose(null); });
    node.addEventListener('blur', () => choose(null));
    node.addEventListener('keydown', (event) => {
      const last = this.points.length - 1;
      const at = this.points.findIndex((point) => point.at === this.chosen);
      const target = { ArrowLeft: at < 0 ? last : at - 1, ArrowRight: at < 0 ? last : at + 1, Home: 0, End: last, Escape: null }[event.key];
      if (target === undefined || last < 0) return;
      event.preventDefault();
      choose(target);
    });
  }

  /* What the chosen point says; without one the key of the chart. */
  point() {
    const index = this.chosen === null ? -1 : this.points.findIndex((point) => point.at === this.chosen);
    this.mark.setAttribute('visibility', index < 0 ? 'hidden' : 'visible');
    if (index < 0) {
      this.readout.replaceChildren(...this.lines.map((line) => createElement('span', { class: 'key' }, createSvg('svg', { viewBox: '0 0 10 10', width: 10, height: 10, 'aria-hidden': 'true' }, line.thin
        ? createSvg('path', { d: 'M0 5h10', stroke: `var(--${line.key})`, 'stroke-width': 2, 'stroke-dasharray': '3 1.5' })
        : createSvg('rect', { width: 10, height: 10, rx: 2, fill: `var(--${line.key})` })), line.name)));
      return;
    }
    const x = this.place(index);
    this.mark.setAttribute('x1', x);
    this.mark.setAttribute('x2', x);
    const point = this.points[index];
    const values = this.lines.map((line) => { const value = line.of(point); return `${line.name} ${value === null ? '–' : this.show(value)}`; });
    this.readout.replaceChildren(`${formatTime(point.at)} · ${values.join(' · ')}`);
  }

  /* The same figures as rows: [time, ...values], newest first. */
  rows() {
    return [...this.points].reverse().map((point) => [formatTime(point.at), ...this.lines.map((line) => { const value = line.of(point); return value === null ? '–' : this.show(value); })]);
  }
}
