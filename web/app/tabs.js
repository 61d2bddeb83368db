// Several tabs of one browser: what happens in one shows in the others.
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("chatbot-ai") : null;
const listeners = new Set();

/** Tell the other tabs. */
export function tell(message) {
  channel?.postMessage(message);
}

/** Tell this tab's own parts. */
export function tellHere(message) {
  for (const listener of listeners) listener(message);
}

export function onTold(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

channel?.addEventListener("message", ({ data }) => {
  for (const listener of listeners) listener(data);
});
