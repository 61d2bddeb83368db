// The sidebar: new chat, characters, the list of conversations, settings.
import { t } from "../messages.js";
import { stopInAnyTab } from "./answers.js";
import { openDialog } from "./dialogs.js";
import { html, useLayoutEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import {
  deleteConversation,
  exportConversation,
  loadMoreConversations,
  renameConversation,
  searchConversations,
} from "./conversations.js";
import { Portrait } from "./portrait.js";
import { getState, setState, toast, useStore } from "./store.js";
import { parseCharacter } from "./threads.js";

export function Sidebar() {
  const drawer = useStore((state) => state.drawer);
  const conversations = useStore((state) => state.conversations);
  const route = useStore((state) => state.route);
  useStore((state) => state.language);
  const own = useRef(null);
  const close = () => setState({ drawer: false });
  // before the first paint: Escape may be pressed at once
  useLayoutEffect(() => {
    if (!drawer) return undefined;
    own.current.querySelector("a, button").focus();
    const closeOnEscape = (event) => event.key === "Escape" && close();
    addEventListener("keydown", closeOnEscape);
    return () => removeEventListener("keydown", closeOnEscape);
  }, [drawer]);
  const more = Object.values(conversations.more).some(Boolean);
  return html`<nav
    ref=${own}
    id="menu"
    class=${drawer ? "sidebar open" : "sidebar"}
    aria-label=${t("menu")}
  >
    <header>
      <a class="brand" href="#/"><img src="icon.svg" alt="" /><span>ChatBot AI</span></a>
      <button type="button" class="quiet only-phone" aria-label=${t("close_menu")} onClick=${close}>
        <${Icon} name="close" />
      </button>
    </header>
    <a class="place" href="#/" aria-current=${route.view === "office" && !route.dbId && "page"}>
      <${Icon} name="plus" />${t("new_chat")}
    </a>
    <a class="place" href="#/characters" aria-current=${route.view === "characters" && "page"}>
      <${Icon} name="mask" />${t("characters")}
    </a>
    <label class="search">
      <${Icon} name="search" />
      <input
        type="search"
        dir="auto"
        aria-label=${t("search_chats")}
        placeholder=${t("search_chats")}
        value=${conversations.query}
        maxlength=${getState().limits.search_chars}
        onInput=${(event) => searchConversations(event.currentTarget.value)}
      />
    </label>
    <div class="chats">
      ${groupByDate(conversations.items).map(
        ([label, items]) => html`<section key=${label} aria-label=${t(label)}>
          <h2>${t(label)}</h2>
          <ul>
            ${items.map(
              (item) => html`<${ConversationLink}
                key=${`${item.assistant}/${item.db_id}`}
                item=${item}
                current=${route.dbId === item.db_id && route.view === item.assistant}
              />`,
            )}
          </ul>
        </section>`,
      )}
      ${more && html`<button type="button" class="more" onClick=${() => loadMoreConversations().catch((error) => toast(error.message))}>${t("more")}</button>`}
      ${conversations.error
        ? html`<p class="nothing">${conversations.error.message}</p>`
        : !conversations.items.length &&
          !conversations.loading &&
          html`<p class="nothing">${t(conversations.query ? "no_matches" : "no_chats")}</p>`}
    </div>
    <footer>
      <button type="button" class="place" onClick=${() => openDialog({ kind: "settings" })}>
        <${Icon} name="gear" />${t("settings")}
      </button>
    </footer>
  </nav>`;
}

function groupByDate(items) {
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  const today = midnight.getTime() / 1000;
  const limits = [
    ["today", today],
    ["yesterday", today - 86_400],
    ["this_week", today - 7 * 86_400],
    ["older", -Infinity],
  ];
  const found = new Map();
  for (const item of items) {
    const [label] = limits.find(([, from]) => item.updated_at >= from);
    if (!found.has(label)) found.set(label, []);
    found.get(label).push(item);
  }
  return [...found];
}

function ConversationLink({ item, current }) {
  const character = useStore((state) => {
    const ref = item.assistant === "character" ? parseCharacter(item.db_id) : null;
    if (!ref) return null;
    return state.characters.byId[ref.id] || state.characters.items.find((one) => one.id === ref.id) || null;
  });
  const [open, setOpen] = useState(false);
  const text = item.preview || t("new_chat");
  const title = item.title || (character ? `${character.name} · ${text}` : text);
  return html`<li class=${current ? "current" : ""}>
    <a href=${`#/${item.assistant}/${item.db_id}`} aria-current=${current && "page"}>
      ${item.assistant === "character"
        ? html`<${Portrait} character=${character || { name: title }} />`
        : html`<${Icon} name="chat" />`}
      <span class="title" dir="auto">${title}</span>
    </a>
    <button
      type="button"
      class="quiet"
      aria-label=${t("options_of", { title })}
      aria-haspopup="menu"
      aria-expanded=${open}
      onClick=${() => setOpen(!open)}
    >
      <${Icon} name="dots" />
    </button>
    ${open &&
    html`<${Menu} items=${createActions(item, title)} label=${title} onClose=${() => setOpen(false)} />`}
  </li>`;
}

function createActions(item, title) {
  const failed = (error) => toast(error.message);
  const remove = async () => {
    await stopInAnyTab(item.assistant, item.db_id);
    await deleteConversation(item);
    const { route } = getState();
    if (route.dbId === item.db_id) location.hash = "#/";
  };
  return [
    [
      t("rename"),
      () =>
        openDialog({
          kind: "rename",
          value: item.title || item.preview,
          run: (name) => renameConversation(item, name),
        }),
    ],
    [t("export_markdown"), () => exportConversation(item, "markdown").catch(failed)],
    [t("export_jsonl"), () => exportConversation(item, "jsonl").catch(failed)],
    [
      t("delete"),
      () =>
        openDialog({
          kind: "confirm",
          title: t("delete_chat"),
          text: t("delete_chat_text", { title }),
          action: t("delete"),
          run: remove,
        }),
      "danger",
    ],
  ];
}

/** A menu: arrow keys move the focus, Escape and a click elsewhere close it. */
export function Menu({ items, label, onClose }) {
  const own = useRef(null);
  useLayoutEffect(() => {
    own.current.querySelector("button").focus();
    const opener = own.current.previousElementSibling;
    const outside = (event) => {
      if (!own.current?.contains(event.target) && !opener?.contains(event.target)) onClose();
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, []);
  const move = (event) => {
    const all = [...own.current.querySelectorAll("button")];
    const at = all.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      all[(at + step + all.length) % all.length].focus();
    }
    if (event.key === "Escape" || event.key === "Tab") {
      event.stopPropagation();
      own.current.previousElementSibling?.focus();
      onClose();
    }
  };
  return html`<div ref=${own} class="menu" role="menu" aria-label=${label} onKeyDown=${move}>
    ${items.map(
      ([text, run, kind]) => html`<button
        type="button"
        role="menuitem"
        key=${text}
        class=${kind || ""}
        onClick=${() => {
          onClose();
          run();
        }}
      >
        ${text}
      </button>`,
    )}
  </div>`;
}
