// Several tabs of one browser: what happens in one shows in the others.
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("chatbot-ai") : null;
const listeners = new Set();

/** Tell the other tabs, and this one too where `here` is set. */
export function tell(message, here = false) {
  channel?.postMessage(message);
  if (here) for (const listener of listeners) listener(message);
}

export function onTold(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

channel?.addEventListener("message", ({ data }) => {
  for (const listener of listeners) listener(data);
});
