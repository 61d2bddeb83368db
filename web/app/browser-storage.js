// Settings kept in the browser. Where its storage is closed they last as long as the page.
const PREFIX = "chatbot.";
const memory = new Map();
const here = new Map();

export function readSetting(name, fallback = null) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return memory.has(name) ? memory.get(name) : fallback;
  }
}

/** Store a value; null removes it. */
export function saveSetting(name, value) {
  memory.set(name, value);
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // storage full or closed: `memory` holds the value
  }
}

/** A value of this tab alone; it survives a reload. */
export function readTabSetting(name, fallback = null) {
  try {
    const text = sessionStorage.getItem(PREFIX + name);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return here.has(name) ? here.get(name) : fallback;
  }
}

export function saveTabSetting(name, value) {
  here.set(name, value);
  try {
    sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // storage full or closed: `here` holds the value
  }
}

/** Call `callback` with the name when another tab changes a value. */
export function onSettingChange(callback) {
  addEventListener("storage", (event) => {
    if (event.key?.startsWith(PREFIX)) callback(event.key.slice(PREFIX.length));
  });
}

/** 128 random bits in hexadecimal. crypto.randomUUID exists on secure origins only. */
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

/** The user id of this browser, or null with an API key that is bound to its own user. */
export function userId() {
  if (readSetting("keyBound", false)) return null;
  let id = readSetting("user");
  if (typeof id !== "string" || !id) {
    id = `web-${randomId()}`;
    saveSetting("user", id);
  }
  return id;
}
