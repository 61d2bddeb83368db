// Messages between the tabs of one browser.
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("chatbot-ai") : null;
const listeners = new Set();

/** Send a message to the other tabs. */
export function broadcast(message) {
  channel?.postMessage(message);
}

/** Send a message within this tab. */
export function notifyTab(message) {
  for (const listener of listeners) listener(message);
}

export function onMessage(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

channel?.addEventListener("message", ({ data }) => {
  for (const listener of listeners) listener(data);
});
