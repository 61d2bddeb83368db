// Dialogs: confirmation, rename, settings, API key.
import { t } from "../messages.js";
import { requestJson } from "./client.js";
import { saveSetting, readSetting } from "./browser-storage.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { loadConversations } from "./conversations.js";
import { getState, setState, useStore } from "./store.js";

export function openDialog(dialog) {
  setState({ dialog });
}

export function closeDialog() {
  setState({ dialog: null });
}

/** A native modal dialog: it keeps focus inside and restores it when closed. */
export function Dialog({ title, onClose, required, children, wide }) {
  const own = useRef(null);
  useEffect(() => {
    const dialog = own.current;
    if (!dialog.open) dialog.showModal();
  }, []);
  const refuse = (event) => {
    event.preventDefault();
    if (!required) onClose();
  };
  const outside = (event) => event.target === own.current && !required && onClose();
  return html`<dialog
    ref=${own}
    class=${wide ? "wide" : ""}
    aria-label=${title}
    onCancel=${refuse}
    onMouseDown=${outside}
  >
    <div class="dialog">
      <header>
        <h2>${title}</h2>
        ${!required &&
        html`<button type="button" class="quiet" aria-label=${t("close")} onClick=${onClose}>
          <${Icon} name="close" />
        </button>`}
      </header>
      ${children}
    </div>
  </dialog>`;
}

function Confirm({ title, text, action, run }) {
  const [error, setError] = useState(null);
  const go = async () => {
    try {
      await run();
      closeDialog();
    } catch (failure) {
      setError(failure.message);
    }
  };
  return html`<${Dialog} title=${title} onClose=${closeDialog}>
    <p class="dialog-text" dir="auto">${text}</p>
    ${error && html`<p class="wrong" role="alert">${error}</p>`}
    <footer>
      <button type="button" class="button" autofocus onClick=${closeDialog}>${t("cancel")}</button>
      <button type="button" class="button danger" onClick=${go}>${action}</button>
    </footer>
  <//>`;
}

function Rename({ value, run }) {
  const [error, setError] = useState(null);
  const field = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    const title = field.current.value.trim();
    try {
      await run(title || null);
      closeDialog();
    } catch (failure) {
      setError(failure.message);
    }
  };
  return html`<${Dialog} title=${t("rename")} onClose=${closeDialog}>
    <form onSubmit=${submit}>
      <label class="field">
        <span>${t("title_label")}</span>
        <input ref=${field} dir="auto" autofocus defaultValue=${value} maxlength=${getState().limits.title_chars} autocomplete="off" />
      </label>
      ${error && html`<p class="wrong" role="alert">${error}</p>`}
      <footer>
        <button type="button" class="button" onClick=${closeDialog}>${t("cancel")}</button>
        <button class="button primary">${t("save")}</button>
      </footer>
    </form>
  <//>`;
}

/** Apply the language and theme of the state to the page. */
export function applyAppearance() {
  const { language, theme } = getState();
  document.documentElement.lang = language;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function changeSetting(name, value) {
  setState({ [name]: value });
  saveSetting(name, value);
  applyAppearance();
}

function Choice({ label, name, options }) {
  const value = useStore((state) => state[name]);
  return html`<fieldset class="choice">
    <legend>${label}</legend>
    <div>
      ${options.map(
        ([option, text]) => html`<label key=${option}>
          <input
            type="radio"
            name=${name}
            checked=${value === option}
            onChange=${() => changeSetting(name, option)}
          /><span>${text}</span>
        </label>`,
      )}
    </div>
  </fieldset>`;
}

function Settings() {
  const userName = useStore((state) => state.userName);
  const forget = () => {
    saveSetting("key", null);
    saveSetting("keyBound", null);
    closeDialog();
    loadConversations();
  };
  return html`<${Dialog} title=${t("settings")} onClose=${closeDialog}>
    <${Choice}
      label=${t("theme")}
      name="theme"
      options=${[
        ["auto", t("theme_auto")],
        ["light", t("theme_light")],
        ["dark", t("theme_dark")],
      ]}
    />
    <${Choice}
      label=${t("language")}
      name="language"
      options=${[
        ["ko", "한국어"],
        ["en", "English"],
      ]}
    />
    <label class="field">
      <span>${t("my_name")}</span>
      <input
        dir="auto"
        value=${userName}
        maxlength=${getState().limits.user_name_chars}
        autocomplete="off"
        onInput=${(event) => changeSetting("userName", event.currentTarget.value)}
      />
      <small>${t("my_name_hint")}</small>
    </label>
    ${readSetting("key") &&
    html`<div class="field">
      <span>${t("key")}</span>
      <button type="button" class="button" onClick=${forget}>${t("key_forget")}</button>
    </div>`}
  <//>`;
}

/** Asks for the API key. A key bound to a user acts for that user, any other key for this
 * browser's user id. */
function KeyDialog() {
  const [error, setError] = useState(null);
  const field = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    const key = field.current.value.trim();
    if (!key) return;
    saveSetting("key", key);
    saveSetting("keyBound", null);
    try {
      await checkKey();
      setState({ keyNeeded: false });
      location.reload();
    } catch (failure) {
      if (failure.status === 401) saveSetting("key", null);
      setError(failure.status === 401 ? t("key_wrong") : failure.message);
    }
  };
  return html`<${Dialog} title=${t("key_title")} required>
    <form onSubmit=${submit}>
      <p class="dialog-text">${t("key_text")}</p>
      <label class="field">
        <span>${t("key")}</span>
        <input ref=${field} type="password" autofocus autocomplete="off" spellcheck="false" />
      </label>
      ${error && html`<p class="wrong" role="alert">${error}</p>`}
      <footer><button class="button primary">${t("key_enter")}</button></footer>
    </form>
  <//>`;
}

async function checkKey() {
  const ask = () => requestJson("office/conversations", { query: { limit: 1 } });
  try {
    await ask();
  } catch (failure) {
    if (failure.status !== 403) throw failure;
    saveSetting("keyBound", true);
    await ask();
  }
}

const KINDS = { confirm: Confirm, rename: Rename, settings: Settings };

export function Dialogs() {
  const dialog = useStore((state) => state.dialog);
  const keyNeeded = useStore((state) => state.keyNeeded);
  useStore((state) => state.language);
  if (keyNeeded) return html`<${KeyDialog} />`;
  if (!dialog) return null;
  const Kind = KINDS[dialog.kind];
  return html`<${Kind} key=${dialog.kind} ...${dialog} />`;
}
