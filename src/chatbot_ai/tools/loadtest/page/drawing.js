const SVG = 'http://www.w3.org/2000/svg';

function createElement(name, attributes = {}, ...children) {
  return fillNode(document.createElement(name), attributes, children);
}
function createSvg(name, attributes = {}, ...children) {
  return fillNode(document.createElementNS(SVG, name), attributes, children);
}
function fillNode(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'css') for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}
function chooseStep(span, count, whole) {
  const raw = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  return (whole ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10]).map((step) => step * power).find((step) => step >= raw * 0.999);
}
/* From 0 to just beyond `high`, with marks at round figures. */
function createScale(high, from, to, ticks, whole = false) {
  const top = high > 0 ? high : 1;
  let step = chooseStep(top, ticks, whole);
  if (whole) step = Math.max(1, Math.round(step));
  const place = (value) => from + ((to - from) * value) / top;
  const marks = [];
  for (let index = 0; index * step <= top * 1.0001; index += 1) marks.push(Number((index * step).toPrecision(12)));
  return { place, marks, top };
}

/* A frame with both axes. Returns the node, the plot's edges and its scales. */
function createFrame({ width, height, label, xTitle, yTitle, xHigh, yHigh, xTicks = null, xWhole = false, yWhole = false, headroom = 0 }) {
  const yRough = createScale(yHigh, 0, 1, 5, yWhole);
  const widest = Math.max(...yRough.marks.map((mark) => formatPlain(mark).length));
  const edge = { left: 14 + widest * 7.5, right: width - 14, top: 26 + headroom, bottom: height - 44 };
  const x = createScale(xHigh, edge.left, edge.right, xTicks ?? Math.max(3, Math.floor((edge.right - edge.left) / 90)), xWhole);
  const y = createScale(yHigh * 1.04, edge.bottom, edge.top, 5, yWhole);
  const node = createSvg('svg', { class: 'chart', viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': label, tabindex: 0 });
  for (const mark of y.marks) {
    const at = y.place(mark);
    node.append(
      createSvg('line', { x1: edge.left, x2: edge.right, y1: at, y2: at, class: mark === 0 ? 'base-line' : 'grid-line' }),
      createSvg('text', { x: edge.left - 7, y: at + 4, 'text-anchor': 'end' }, formatPlain(mark)),
    );
  }
  for (const mark of x.marks) {
    const at = x.place(mark);
    node.append(
      createSvg('line', { x1: at, x2: at, y1: edge.bottom, y2: edge.bottom + 4, class: 'base-line' }),
      createTickLabel(at, edge.bottom + 18, edge.right, mark),
    );
  }
  node.append(
    createSvg('text', { x: 0, y: 12 }, yTitle),
    createSvg('text', { x: edge.right, y: height - 6, 'text-anchor': 'end' }, xTitle),
  );
  return { node, edge, x, y };
}
function createTickLabel(at, y, right, mark) {
  const atEdge = right - at < 10;
  return createSvg('text', { x: atEdge ? right + 8 : at, y, 'text-anchor': atEdge ? 'end' : 'middle' }, formatPlain(mark));
}
function createMark(outcome, x, y, size) {
  const colour = `var(--${outcome})`;
  const d = size;
  if (outcome === 'answered') return createSvg('circle', { cx: x, cy: y, r: d, fill: colour });
  if (outcome === 'refused') return createSvg('path', { d: `M${x} ${y - d * 1.35}l${d * 1.35} ${d * 1.35}l${-d * 1.35} ${d * 1.35}l${-d * 1.35} ${-d * 1.35}z`, fill: colour });
  if (outcome === 'interrupted') return createSvg('path', { d: `M${x} ${y - d * 1.3}l${d * 1.3} ${d * 2.3}h${-d * 2.6}z`, fill: colour });
  if (outcome === 'failed') return createSvg('path', { d: `M${x - d} ${y - d}l${d * 2} ${d * 2}m0 ${-d * 2}l${-d * 2} ${d * 2}`, stroke: colour, 'stroke-width': 2, fill: 'none' });
  return createSvg('circle', { cx: x, cy: y, r: d - 0.5, fill: 'none', stroke: colour, 'stroke-width': 1.5 });
}

/* Lets pointer and arrow keys step through marks [{x, y, text}]; the text appears in `readout`.
   A mark's `weight` 0 lets the pointer choose by its horizontal place alone. */
function makeReadable(node, marks, readout, ring = 7) {
  const focus = createSvg('circle', { r: ring, class: 'focus-mark', visibility: 'hidden' });
  node.append(focus);
  let current = -1;
  function show(index) {
    current = index;
    const mark = marks[index];
    focus.setAttribute('visibility', mark ? 'visible' : 'hidden');
    readout.classList.toggle('live', Boolean(mark));
    readout.textContent = mark ? mark.text : document.activeElement === node ? t('hint') : '';
    if (mark) { focus.setAttribute('cx', mark.x); focus.setAttribute('cy', mark.y); }
  }
  function nearest(event) {
    const box = node.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * node.viewBox.baseVal.width;
    const y = ((event.clientY - box.top) / box.height) * node.viewBox.baseVal.height;
    let best = -1; let least = Infinity;
    marks.forEach((mark, index) => {
      const far = (mark.x - x) ** 2 + ((mark.y - y) * (mark.weight ?? 1)) ** 2;
      if (far < least) { least = far; best = index; }
    });
    if (best !== current) show(best);
  }
  node.addEventListener('pointermove', nearest);
  node.addEventListener('pointerdown', nearest);
  node.addEventListener('pointerleave', () => { if (document.activeElement !== node) show(-1); });
  node.addEventListener('focus', () => { if (current < 0) show(-1); });
  node.addEventListener('blur', () => show(-1));
  node.addEventListener('keydown', (event) => {
    const last = marks.length - 1;
    const target = {
      ArrowRight: Math.min(last, current + 1), ArrowDown: Math.min(last, current + 1),
      ArrowLeft: Math.max(0, current - 1), ArrowUp: Math.max(0, current - 1), Home: 0, End: last, Escape: -1,
    }[event.key];
    if (target === undefined || last < 0) return;
    event.preventDefault();
    show(target);
  });
}
