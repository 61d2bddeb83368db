const DATA = JSON.parse(document.getElementById('data').textContent);
const newestFirst = [...DATA.runs].reverse();
const state = {
  language: readSetting('language') ?? getPreferredLanguage(),
  theme: readSetting('theme') ?? 'auto',
  run: newestFirst[0]?.name ?? null,
  mode: 'all',
};
const systemDark = matchMedia('(prefers-color-scheme: dark)');

/* Storage may be closed to a page opened from a file; the page then forgets, no more. */
function readSetting(name) {
  try { return localStorage.getItem(`loadtest-${name}`); } catch { return null; }
}
function saveSetting(name, value) {
  try { localStorage.setItem(`loadtest-${name}`, value); } catch { /* not kept */ }
}
function getPreferredLanguage() {
  return (navigator.languages?.[0] ?? 'ko').toLowerCase().startsWith('en') ? 'en' : 'ko';
}
function formatRunTitle(run) {
  return run.label ? `${run.label} · ${run.name}` : run.name;
}
function formatShortTitle(run) {
  if (!run.label) return run.name;
  return `${run.label} · ${new Intl.DateTimeFormat(language, { month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', hour12: false }).format(new Date(run.started))}`;
}
function fillSwitch(node, label, options, current, pick) {
  node.setAttribute('aria-label', label);
  node.replaceChildren(...options.map(([value, name, lang]) => createElement('button', {
    type: 'button', 'aria-pressed': String(value === current), lang: lang ?? null, 'data-value': value, onclick: () => pick(value),
  }, name)));
}
function changeState(name, value) {
  state[name] = value;
  if (name === 'language' || name === 'theme') saveSetting(name, value);
  const held = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.value;
  const group = document.activeElement?.parentElement?.id;
  render();
  if (held && group) /** @type {HTMLElement | null} */ (document.querySelector(`#${group} [data-value="${held}"]`))?.focus();
}
function chooseRun(name) {
  state.mode = 'all';
  changeState('run', name);
  document.getElementById('main').focus({ preventScroll: true });
  document.getElementById('main').scrollIntoView({ block: 'start' });
}
function createRunChoice(run) {
  const select = createElement('select', { id: 'runs', onchange: (event) => { state.mode = 'all'; changeState('run', event.target.value); document.getElementById('runs').focus(); } },
    ...newestFirst.map((item) => createElement('option', { value: item.name, selected: item.name === state.run }, formatRunTitle(item))));
  const row = createElement('div', { class: 'choice' }, createElement('label', {}, t('run'), select));
  if (Object.keys(run.views).length > 1) {
    const modes = createElement('div', { class: 'switch', id: 'modes', role: 'group' });
    fillSwitch(modes, t('answers_as'), ['all', 'json', 'stream'].filter((m) => run.views[m]).map((m) => [m, t(m)]), state.mode, (value) => changeState('mode', value));
    row.append(modes);
  }
  return row;
}
function createFacts(run) {
  const o = run.views.all.overview;
  const start = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(run.started));
  const duration = o.duration_s >= 120 ? t('min', { n: formatNumber(o.duration_s / 60, 1) }) : formatDuration(o.duration_s);
  return createElement('p', { class: 'facts' }, t(o.users === null ? 'facts_no_users' : 'facts', { start, duration, endpoints: run.endpoints.join(', '), users: o.users, peak: run.peak }));
}
function render() {
  language = state.language;
  const dark = state.theme === 'dark' || (state.theme === 'auto' && systemDark.matches);
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  document.title = `${t('title')} · ChatBot AI`;
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-word]'))) node.textContent = t(node.dataset.word);
  fillSwitch(document.getElementById('languages'), t('language'), [['ko', '한국어', 'ko'], ['en', 'English', 'en']], state.language, (value) => changeState('language', value));
  fillSwitch(document.getElementById('themes'), t('theme'), ['auto', 'light', 'dark'].map((value) => [value, t(value)]), state.theme, (value) => changeState('theme', value));
  const main = document.getElementById('main');
  const run = DATA.runs.find((item) => item.name === state.run);
  if (run) {
    const view = run.views[state.mode] ?? run.views.all;
    const compared = newestFirst.map((item) => ({ ...item, title: formatShortTitle(item), overview: item.views.all.overview }));
    main.replaceChildren(...[
      createRunChoice(run), createFacts(run), createTiles(view.overview),
      createElement('div', { class: 'grid' }, ...[createTimePanel(view), createCompositionPanel(view), createHistogramPanel(view), createConcurrencyPanel(view), createCausePanel(view, !view.waits.length), createWaitPanel(view),
        createComparePanel(compared, run.name, chooseRun)].filter(Boolean)),
    ]);
  } else {
    main.replaceChildren(createElement('p', { class: 'empty' }, t('no_runs')));
  }
  const when = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(DATA.generated));
  const notes = [`${t('generated', { when })} · ${t('privacy')}`];
  if (DATA.left_out) notes.push(t('left_out', { n: formatNumber(DATA.left_out) }));
  if (DATA.skipped.length) notes.push(t('skipped', { names: DATA.skipped.join(', ') }));
  document.getElementById('foot').replaceChildren(...notes.map((note) => createElement('p', {}, note)));
}
systemDark.addEventListener('change', render);
render();
