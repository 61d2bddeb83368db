// What the page knows: one object, replaced piece by piece, watched by the views.
import { useLayoutEffect, useState } from "./html.js";

let state = {
  route: { view: "office", dbId: null },
  language: document.documentElement.lang === "en" ? "en" : "ko",
  theme: "auto",
  userName: "",
  search: false,
  keyNeeded: false,
  drawer: false,
  dialog: null,
  toast: null,
  /** Files that were no cards: `{name, message}`. */
  refused: [],
  threads: {},
  library: { items: [], more: {}, query: "", loading: true, error: null },
  cast: { items: [], byId: {}, more: null, loaded: false, error: null },
};
const listeners = new Set();

export function getState() {
  return state;
}

/** Replace some of the top-level pieces; `change` may be a function of the state. */
export function setState(change) {
  const patch = typeof change === "function" ? change(state) : change;
  state = { ...state, ...patch };
  for (const listener of listeners) listener();
}

export function setThread(key, change) {
  setState(({ threads }) => {
    const before = threads[key];
    if (before === undefined) return {};
    const patch = typeof change === "function" ? change(before) : change;
    return { threads: { ...threads, [key]: { ...before, ...patch } } };
  });
}

/** A piece of the state in a view; the view is drawn again when that piece changes. */
export function useStore(select) {
  const [, redraw] = useState(0);
  const value = select(state);
  useLayoutEffect(() => {
    let last = value;
    const listener = () => {
      const next = select(state);
      if (Object.is(next, last)) return;
      last = next;
      redraw((n) => n + 1);
    };
    listeners.add(listener);
    listener();
    return () => listeners.delete(listener);
  });
  return value;
}

let toastTimer = 0;

/** Say something in passing; screen readers hear it too. */
export function toast(text) {
  clearTimeout(toastTimer);
  setState({ toast: text });
  toastTimer = setTimeout(() => setState({ toast: null }), 4000);
}
