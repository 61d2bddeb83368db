// The field for messages. Drafts survive a reload.
import { t } from "../messages.js";
import { ask, stop } from "./answers.js";
import { saveSetting, readSetting } from "./browser-storage.js";
import { readDraft, saveDraft } from "./drafts.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { getState, setState, useStore } from "./store.js";
import { onMessage, broadcast, notifyTab } from "./tabs.js";
import { createEnterHandlers } from "./enter-key.js";

/** From this share of the limit on the count is shown. */
const COUNTED_SHARE = 0.8;

export function countCharacters(text) {
  return [...text.normalize("NFC").trim()].length;
}

/** Most characters of a message; infinite until the limits are read. */
export function getMaxCharacters() {
  return getState().limits.input_data_chars ?? Infinity;
}

/** False on phones, which have no Shift+Enter: there Enter inserts a line break. */
export function sendsOnEnter() {
  return !matchMedia("(pointer: coarse)").matches;
}

export function Composer({ threadKey, assistant, dbId, onSend, placeholder, disabled }) {
  const [text, setText] = useState(() => readDraft(threadKey));
  const live = useStore((state) => state.threads[threadKey]?.live);
  const search = useStore((state) => state.search);
  useStore((state) => state.limits);
  const field = useRef(null);
  const running = Boolean(live?.running);

  const write = (value) => {
    setText(value);
    saveDraft(threadKey, value);
  };
  const send = (value) => {
    const message = value.trim();
    if (!message || countCharacters(value) > getMaxCharacters() || running || disabled) return false;
    write("");
    onSend?.();
    ask(assistant, dbId, { text: message, search });
    if (!threadKey.endsWith("/new")) broadcast({ type: "draft", key: threadKey, sent: value });
    return true;
  };
  const latest = useRef({ send, text });
  latest.current = { send, text };
  const handlers = useMemo(() => createEnterHandlers((value) => latest.current.send(value), sendsOnEnter), []);

  useEffect(() => {
    setText(readDraft(threadKey));
    if (sendsOnEnter()) field.current?.focus();
    return onMessage(({ type, key, focus, sent }) => {
      if (type !== "draft" || key !== threadKey) return;
      if (sent !== undefined) {
        // another tab sent its draft; keep a different one that is being written here
        const { text: own } = latest.current;
        if (own === sent) setText("");
        else saveDraft(threadKey, own);
        return;
      }
      setText(readDraft(threadKey));
      if (focus) field.current?.focus();
    });
  }, [threadKey]);

  useLayoutEffect(() => {
    const area = field.current;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, 220)}px`;
  }, [text, threadKey]);

  const count = countCharacters(text);
  const limit = getMaxCharacters();
  const over = count > limit;
  return html`<form
    class=${assistant === "office" ? "composer" : "composer slim"}
    onSubmit=${(event) => {
      event.preventDefault();
      if (running) stop(assistant, dbId);
      else send(text);
    }}
  >
    <textarea
      ref=${field}
      id="message"
      dir="auto"
      rows="1"
      value=${text}
      placeholder=${placeholder}
      aria-label=${placeholder}
      aria-invalid=${over}
      aria-describedby="composer-note"
      disabled=${disabled}
      enterkeyhint=${sendsOnEnter() ? "send" : "enter"}
      onInput=${(event) => write(event.currentTarget.value)}
      oncompositionstart=${handlers.onCompositionStart}
      oncompositionupdate=${handlers.onCompositionUpdate}
      oncompositionend=${handlers.onCompositionEnd}
      onKeyDown=${handlers.onKeyDown}
      onbeforeinput=${handlers.onBeforeInput}
    ></textarea>
    <div class="tools">
      ${assistant === "office" &&
      html`<button
        type="button"
        role="switch"
        class="switch"
        aria-checked=${search}
        onClick=${() => {
          setState({ search: !search });
          saveSetting("search", !search);
        }}
      >
        <${Icon} name="globe" /><span>${t("web_search")}</span>
      </button>`}
      <span id="composer-note" class=${over ? "note wrong" : "note"}>
        ${count > limit * COUNTED_SHARE
          ? t(over ? "too_long" : "count", { count, limit })
          : assistant === "office" && sendsOnEnter() && t("enter_hint")}
      </span>
      ${running
        ? html`<button class="send stop" aria-label=${t("stop")} title=${t("stop")}>
            <${Icon} name="stop" />
          </button>`
        : html`<button
            class="send"
            aria-label=${t("send")}
            title=${t("send")}
            disabled=${!count || over || disabled}
          >
            <${Icon} name="send" />
          </button>`}
    </div>
  </form>`;
}

/** Put text into a conversation's field without sending it. */
export function fillComposer(threadKey, text) {
  saveDraft(threadKey, text);
  notifyTab({ type: "draft", key: threadKey, focus: true });
}

export function readSearchSetting() {
  return readSetting("search", false) === true;
}
