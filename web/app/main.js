// The page: routing, layout, and messages from other tabs.
import { t } from "../messages.js";
import { resume, stop } from "./answers.js";
import { reloadCharacter, loadCharacters } from "./characters.js";
import { CharacterPage } from "./character-page.js";
import { loadLimits } from "./client.js";
import { readSearchSetting } from "./composer.js";
import { onSettingChange, readSetting } from "./browser-storage.js";
import { Dialogs, applyAppearance } from "./dialogs.js";
import { Gallery, importDroppedFiles } from "./gallery.js";
import { html, render, useEffect, useRef } from "./html.js";
import { Icon } from "./icons.js";
import { loadConversations, refreshConversations } from "./conversations.js";
import { Sidebar } from "./sidebar.js";
import { getState, setState, setThread, useStore } from "./store.js";
import { onMessage } from "./tabs.js";
import { ThreadView } from "./thread-view.js";
import { parseCharacter, forgetThread, loadThread } from "./threads.js";

const DB_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

function parseRoute(hash) {
  const [view, id, action] = hash.replace(/^#\/?/, "").split("/");
  if ((view === "office" || view === "character") && DB_ID.test(id || "")) return { view, dbId: id };
  if (view === "characters") {
    return { view: id ? "one" : "characters", id: id === "new" ? null : id, edits: action === "edit" };
  }
  return { view: "office", dbId: null };
}

function showRoute() {
  const route = parseRoute(location.hash);
  setState({ route, drawer: false });
}

function App() {
  const route = useStore((state) => state.route);
  const drawer = useStore((state) => state.drawer);
  useStore((state) => state.language);
  const main = useRef(null);
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current && route.view !== "office") main.current.focus();
    isFirst.current = false;
  }, [route.view, route.id]);
  const skip = (event) => {
    event.preventDefault();
    (document.getElementById("message") || main.current).focus();
  };
  return html`<a class="skip" href="#message" onClick=${skip}>${t("skip")}</a>
    <div class="frame">
      <${Sidebar} />
      ${drawer && html`<div class="shade" onClick=${() => setState({ drawer: false })}></div>`}
      <main ref=${main} tabindex="-1">
        <${TopBar} />
        <${View} route=${route} />
      </main>
    </div>
    <${Dialogs} />
    <${Toast} />`;
}

function View({ route }) {
  useStore((state) => state.language);
  if (route.view === "characters") return html`<${Gallery} />`;
  if (route.view === "one") return html`<${CharacterPage} id=${route.id} isEditing=${route.edits} />`;
  return html`<${ThreadView}
    key=${route.view}
    assistant=${route.view}
    dbId=${route.dbId}
  />`;
}

function TopBar() {
  const route = useStore((state) => state.route);
  const title = useStore(findTitle);
  useEffect(() => {
    document.title = title ? `${title} · ChatBot AI` : "ChatBot AI";
  }, [title]);
  return html`<header class="topbar">
    <button
      type="button"
      class="quiet"
      aria-label=${t("open_menu")}
      aria-controls="menu"
      onClick=${() => setState({ drawer: true })}
    >
      <${Icon} name="menu" />
    </button>
    <span class="topbar-title" dir="auto">${title || (route.view === "office" ? t("office") : "")}</span>
    <a class="quiet" href="#/" aria-label=${t("new_chat")}><${Icon} name="plus" /></a>
  </header>`;
}

/** The name of a character, from the character itself or from the gallery's list. */
function findName({ byId, items }, id) {
  return byId[id]?.name || items.find((one) => one.id === id)?.name || "";
}

function findTitle({ route, threads, conversations, characters }) {
  if (route.view === "characters") return t("characters");
  if (route.view === "one") return characters.byId[route.id]?.name || t("characters");
  if (!route.dbId) return "";
  const key = `${route.view}/${route.dbId}`;
  const item = conversations.items.find((one) => `${one.assistant}/${one.db_id}` === key);
  const name = route.view === "character" && findName(characters, parseCharacter(route.dbId)?.id);
  const first = threads[key]?.turns[0]?.input || "";
  return item?.title || name || item?.preview || first.slice(0, 80);
}

function Toast() {
  const text = useStore((state) => state.toast);
  return html`<div class="toast" role="status" aria-live="polite" data-open=${Boolean(text)}>
    ${text}
  </div>`;
}

/** Milliseconds without a heartbeat after which a tab counts as closed. */
const SILENCE_MS = 7000;
const takeOverTimers = new Map();

/** The tab that read an answer was closed: resume it here, or show what is stored. */
async function takeOver(assistant, dbId) {
  const key = `${assistant}/${dbId}`;
  clearTimeout(takeOverTimers.get(key));
  if (!getState().threads[key]?.live?.remote) return;
  setThread(key, { live: null });
  await loadThread(assistant, dbId);
  await resume(assistant, dbId);
}

/** Show what happened in another tab. */
function handleMessage({ type, key, live, id }) {
  const known = key && getState().threads[key];
  const [assistant, dbId] = (key || "").split("/");
  if (type === "stop" && known?.live && !known.live.remote) stop(assistant, dbId);
  if (type === "live" && known && (!known.live || known.live.remote)) {
    setThread(key, { live });
    clearTimeout(takeOverTimers.get(key));
    takeOverTimers.set(key, setTimeout(() => takeOver(assistant, dbId), SILENCE_MS));
  }
  if (type === "left" && known?.live?.remote) takeOver(assistant, dbId);
  if (type === "changed") {
    clearTimeout(takeOverTimers.get(key));
    refreshConversations();
    if (known && (!known.live || known.live.remote)) {
      setThread(key, { live: null });
      loadThread(assistant, dbId);
    }
  }
  if (type === "deleted") {
    if (known) forgetThread(key);
    refreshConversations();
    if (`${getState().route.view}/${getState().route.dbId}` === key) location.hash = "#/";
  }
  if (type === "characters") reloadCharacter(id);
}

function restoreSettings() {
  const language = readSetting("language");
  const theme = readSetting("theme", "auto");
  setState({
    ...(language === "ko" || language === "en" ? { language } : {}),
    theme: ["auto", "light", "dark"].includes(theme) ? theme : "auto",
    userName: String(readSetting("userName", "") || ""),
    search: readSearchSetting(),
  });
  applyAppearance();
}

restoreSettings();
showRoute();
addEventListener("hashchange", showRoute);
onMessage(handleMessage);
onSettingChange((name) => {
  if (["language", "theme", "userName", "search"].includes(name)) restoreSettings();
});
const root = document.getElementById("app");
// the placeholder shown while the modules load
root.replaceChildren();
render(html`<${App} />`, root);
importDroppedFiles();
loadLimits();
loadConversations();
loadCharacters();
