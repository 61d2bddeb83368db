// What this browser remembers between visits. Without storage everything still works, once.
const PREFIX = "chatbot.";
const memory = new Map();
const here = new Map();

export function remembered(name, fallback = null) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return memory.has(name) ? memory.get(name) : fallback;
  }
}

/** Keep a value; null forgets it. */
export function remember(name, value) {
  memory.set(name, value);
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // full or closed: this tab's memory has to do
  }
}

/** What this tab alone keeps; it survives a reload. */
export function rememberedHere(name, fallback = null) {
  try {
    const text = sessionStorage.getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return here.has(name) ? here.get(name) : fallback;
  }
}

export function rememberHere(name, value) {
  here.set(name, value);
  try {
    sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // full or closed: this page's memory has to do
  }
}

/** Call back when another tab changes a value. */
export function onRemembered(callback) {
  addEventListener("storage", (event) => {
    if (event.key?.startsWith(PREFIX)) callback(event.key.slice(PREFIX.length));
  });
}

/** 128 random bits in hexadecimal. randomUUID exists on secure origins only. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function randomUuid() {
  const id = randomId().split("");
  id[12] = "4";
  id[16] = "89ab"[parseInt(id[16], 16) & 3];
  const hex = id.join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)]
    .join("-");
}

/** Who speaks. A key that is bound to its own user is told no user at all. */
export function userId() {
  if (remembered("keyBound", false)) return null;
  let id = remembered("user");
  if (typeof id !== "string" || !id) {
    id = `web-${randomId()}`;
    remember("user", id);
  }
  return id;
}
