const DATA = JSON.parse(document.getElementById('data').textContent);
const newestFirst = [...DATA.runs].reverse();
const state = {
  language: kept('language') ?? preferredLanguage(),
  theme: kept('theme') ?? 'auto',
  run: newestFirst[0]?.name ?? null,
  mode: 'all',
};
const systemDark = matchMedia('(prefers-color-scheme: dark)');

/* Storage may be closed to a page opened from a file; the page then forgets, no more. */
function kept(name) {
  try { return localStorage.getItem(`loadtest-${name}`); } catch { return null; }
}
function keep(name, value) {
  try { localStorage.setItem(`loadtest-${name}`, value); } catch { /* not kept */ }
}
function preferredLanguage() {
  return (navigator.languages?.[0] ?? 'ko').toLowerCase().startsWith('en') ? 'en' : 'ko';
}
function runTitle(run) {
  return run.label ? `${run.label} · ${run.name}` : run.name;
}
function shortTitle(run) {
  if (!run.label) return run.name;
  return `${run.label} · ${new Intl.DateTimeFormat(language, { month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', hour12: false }).format(new Date(run.started))}`;
}
function fillSwitch(node, label, options, current, pick) {
  node.setAttribute('aria-label', label);
  node.replaceChildren(...options.map(([value, name, lang]) => make('button', {
    type: 'button', 'aria-pressed': String(value === current), lang: lang ?? null, 'data-value': value, onclick: () => pick(value),
  }, name)));
}
function set(name, value) {
  state[name] = value;
  if (name === 'language' || name === 'theme') keep(name, value);
  const held = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.value;
  const group = document.activeElement?.parentElement?.id;
  render();
  if (held && group) /** @type {HTMLElement | null} */ (document.querySelector(`#${group} [data-value="${held}"]`))?.focus();
}
function choose(name) {
  state.mode = 'all';
  set('run', name);
  document.getElementById('main').focus({ preventScroll: true });
  document.getElementById('main').scrollIntoView({ block: 'start' });
}
function choice(run) {
  const select = make('select', { id: 'runs', onchange: (event) => { state.mode = 'all'; set('run', event.target.value); document.getElementById('runs').focus(); } },
    ...newestFirst.map((item) => make('option', { value: item.name, selected: item.name === state.run }, runTitle(item))));
  const row = make('div', { class: 'choice' }, make('label', {}, say('run'), select));
  if (Object.keys(run.views).length > 1) {
    const modes = make('div', { class: 'switch', id: 'modes', role: 'group' });
    fillSwitch(modes, say('answers_as'), ['all', 'json', 'stream'].filter((m) => run.views[m]).map((m) => [m, say(m)]), state.mode, (value) => set('mode', value));
    row.append(modes);
  }
  return row;
}
function facts(run) {
  const o = run.views.all.overview;
  const start = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(run.started));
  const duration = o.duration_s >= 120 ? say('min', { n: number(o.duration_s / 60, 1) }) : span(o.duration_s);
  return make('p', { class: 'facts' }, say(o.users === null ? 'facts_no_users' : 'facts', { start, duration, endpoints: run.endpoints.join(', '), users: o.users, peak: run.peak }));
}
function render() {
  language = state.language;
  const dark = state.theme === 'dark' || (state.theme === 'auto' && systemDark.matches);
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  document.title = `${say('title')} · ChatBot AI`;
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-word]'))) node.textContent = say(node.dataset.word);
  fillSwitch(document.getElementById('languages'), say('language'), [['ko', '한국어', 'ko'], ['en', 'English', 'en']], state.language, (value) => set('language', value));
  fillSwitch(document.getElementById('themes'), say('theme'), ['auto', 'light', 'dark'].map((value) => [value, say(value)]), state.theme, (value) => set('theme', value));
  const main = document.getElementById('main');
  const run = DATA.runs.find((item) => item.name === state.run);
  if (run) {
    const view = run.views[state.mode] ?? run.views.all;
    const compared = newestFirst.map((item) => ({ ...item, title: shortTitle(item), overview: item.views.all.overview }));
    main.replaceChildren(...[
      choice(run), facts(run), tiles(view.overview),
      make('div', { class: 'grid' }, ...[timePanel(view), compositionPanel(view), histogramPanel(view), concurrencyPanel(view), causePanel(view, !view.waits.length), waitPanel(view),
        comparePanel(compared, run.name, choose)].filter(Boolean)),
    ]);
  } else {
    main.replaceChildren(make('p', { class: 'empty' }, say('no_runs')));
  }
  const when = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(DATA.generated));
  const notes = [`${say('generated', { when })} · ${say('privacy')}`];
  if (DATA.left_out) notes.push(say('left_out', { n: number(DATA.left_out) }));
  if (DATA.skipped.length) notes.push(say('skipped', { names: DATA.skipped.join(', ') }));
  document.getElementById('foot').replaceChildren(...notes.map((note) => make('p', {}, note)));
}
systemDark.addEventListener('change', render);
render();
