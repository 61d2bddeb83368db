// The state of the page: one immutable object that the views subscribe to.
import { useLayoutEffect, useState } from "./html.js";

let state = {
  route: { view: "office", dbId: null },
  language: document.documentElement.lang === "en" ? "en" : "ko",
  theme: "auto",
  userName: "",
  search: false,
  keyNeeded: false,
  /** Size limits of the API (`GET /office/limits`); empty until they are read. */
  limits: {},
  /** By assistant: `GET /office/model`; absent until it is read. */
  models: {},
  drawer: false,
  dialog: null,
  toast: null,
  /** Files that could not be imported: `{name, message}`. */
  refused: [],
  threads: {},
  conversations: { items: [], more: {}, query: "", loading: true, error: null },
  characters: { items: [], byId: {}, more: null, loaded: false, error: null },
};
const listeners = new Set();

export function getState() {
  return state;
}

/** Replace some top-level values; `change` may be a function of the state. */
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

/** A value of the state; the view is rendered again when it changes. */
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

/** Whether people are to be told that an AI answers: yes, unless the operator has said no. */
export function useAiNotice(assistant) {
  return useStore((state) => state.models[assistant]?.ai_notice !== false);
}

let toastTimer = 0;

/** Show a brief message, also announced by screen readers. */
export function toast(text) {
  clearTimeout(toastTimer);
  setState({ toast: text });
  toastTimer = setTimeout(() => setState({ toast: null }), 4000);
}
