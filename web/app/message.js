// One turn: the message, the answer, and their actions.
import { t } from "../messages.js";
import { ask, retry } from "./answers.js";
import { copyText } from "./code-block.js";
import { countCharacters, getMaxCharacters, sendsOnEnter } from "./composer.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { renderMarkdown } from "./markdown.js";
import { toast, useAiNotice, useStore } from "./store.js";
import { selectAnswer } from "./threads.js";
import { createEnterHandlers } from "./enter-key.js";

function Action({ icon, label, onClick, disabled }) {
  return html`<button
    type="button"
    class="quiet"
    aria-label=${label}
    title=${label}
    disabled=${disabled}
    onClick=${onClick}
  >
    <${Icon} name=${icon} />
  </button>`;
}

/** ‹ 2/3 › */
export function Pager({ at, count, previous, next, nth = "nth_answer", onChoose, disabled }) {
  if (count < 2) return null;
  return html`<span class="flipper">
    <${Action}
      icon="left"
      label=${previous}
      disabled=${disabled || at === 0}
      onClick=${() => onChoose(at - 1)}
    />
    <span aria-label=${t(nth, { n: at + 1, all: count })}>
      ${t("of", { n: at + 1, all: count })}
    </span>
    <${Action}
      icon="right"
      label=${next}
      disabled=${disabled || at === count - 1}
      onClick=${() => onChoose(at + 1)}
    />
  </span>`;
}

export function UserMessage({ text, onEdit, disabled }) {
  const [editing, setEditing] = useState(false);
  const own = useRef(null);
  const done = () => {
    setEditing(false);
    requestAnimationFrame(() => own.current?.querySelector("[data-edit]")?.focus());
  };
  if (editing) {
    return html`<div class="said by-user" ref=${own}>
      <${Edit}
        text=${text}
        onCancel=${done}
        onSave=${(changed) => onEdit(changed, () => setEditing(false))}
      />
    </div>`;
  }
  return html`<div class="said by-user" ref=${own}>
    <h3 class="offscreen">${t("you")}</h3>
    <p class="bubble" dir="auto">${text}</p>
    <div class="actions">
      <${Action} icon="copy" label=${t("copy")} onClick=${() => copyText(text)} />
      ${onEdit &&
      html`<button
        type="button"
        class="quiet"
        data-edit
        aria-label=${t("edit")}
        title=${t("edit")}
        disabled=${disabled}
        onClick=${() => setEditing(true)}
      >
        <${Icon} name="edit" />
      </button>`}
    </div>
  </div>`;
}

function Edit({ text, onSave, onCancel }) {
  const [value, setValue] = useState(text);
  const field = useRef(null);
  const save = (written) => {
    const changed = written.trim();
    if (!changed || countCharacters(written) > getMaxCharacters()) return false;
    return onSave(changed);
  };
  const handlers = useMemo(() => createEnterHandlers(save, sendsOnEnter), []);
  // before the first paint: a key may be pressed at once
  useLayoutEffect(() => {
    field.current.focus();
    field.current.setSelectionRange(text.length, text.length);
  }, []);
  useLayoutEffect(() => {
    field.current.style.height = "auto";
    field.current.style.height = `${Math.min(field.current.scrollHeight, 300)}px`;
  }, [value]);
  const onKeyDown = (event) => {
    if (event.key === "Escape" && !event.isComposing) onCancel();
    else handlers.onKeyDown(event);
  };
  const count = countCharacters(value);
  const limit = getMaxCharacters();
  return html`<form
    class="edit"
    onSubmit=${(event) => {
      event.preventDefault();
      save(value);
    }}
  >
    <textarea
      ref=${field}
      dir="auto"
      aria-label=${t("edit_label")}
      value=${value}
      onInput=${(event) => setValue(event.currentTarget.value)}
      oncompositionstart=${handlers.onCompositionStart}
      oncompositionupdate=${handlers.onCompositionUpdate}
      oncompositionend=${handlers.onCompositionEnd}
      onbeforeinput=${handlers.onBeforeInput}
      onKeyDown=${onKeyDown}
    ></textarea>
    <footer>
      ${count > limit &&
      html`<span class="note wrong">${t("too_long", { count, limit })}</span>`}
      <button type="button" class="button" onClick=${onCancel}>${t("cancel")}</button>
      <button class="button primary" disabled=${!count || count > limit}>${t("send")}</button>
    </footer>
  </form>`;
}

/** The text of an answer, with links to its sources. */
export function Answer({ text, sources = [], live = false, roleplay = false, place }) {
  const content = useMemo(() => {
    const known = new Map(sources.map((source) => [source.n, source]));
    const cite = (n) =>
      known.has(n) ? html`<${Citation} source=${known.get(n)} place=${place} />` : null;
    return renderMarkdown(text, { live, roleplay, cite: sources.length ? cite : null });
  }, [text, sources, live, roleplay, place]);
  return html`<div class=${roleplay ? "prose roleplay" : "prose"} dir="auto">${content}</div>`;
}

function Citation({ source, place }) {
  const note = `${place}-note-${source.n}`;
  return html`<span class="citation">
    <a
      href=${keepSafeUrl(source.url)}
      target="_blank"
      rel="noopener noreferrer"
      aria-describedby=${note}
      aria-label=${t("source_n", { n: source.n, title: source.title })}
      >${source.n}</a
    ><span class="source-note" role="tooltip" id=${note}>
      <strong dir="auto">${source.title}</strong><span>${getHost(source.url)}</span>
    </span>
  </span>`;
}

function keepSafeUrl(url) {
  return /^https?:\/\//i.test(url) ? url : undefined;
}

function getHost(url) {
  try {
    return new URL(url).host.replace(/^www\./, "");
  } catch {
    return "";
  }
}

export function SourceList({ sources }) {
  if (!sources.length) return null;
  return html`<details class="sources">
    <summary>${t("sources")} ${sources.length}</summary>
    <ol>
      ${sources.map(
        (source) => html`<li key=${source.n} value=${source.n}>
          <a href=${keepSafeUrl(source.url)} dir="auto" target="_blank" rel="noopener noreferrer">
            ${source.title || source.url}
          </a>
          <span>${getHost(source.url)}</span>
        </li>`,
      )}
    </ol>
  </details>`;
}

/** A stored answer with its alternatives and, on the last turn, regenerate and continue. */
export function StoredAnswer({ thread, turn, isLast, roleplay, busy, search }) {
  const { assistant, dbId } = thread;
  const choose = (selected) =>
    selectAnswer(assistant, dbId, turn, selected).catch((error) => toast(error.message));
  const stopped = turn.status === "interrupted";
  const canContinue = isLast && (stopped || turn.finish === "length" || roleplay);
  return html`<div class="said by-assistant">
    <${Answer}
      text=${turn.output}
      sources=${turn.sources}
      roleplay=${roleplay}
      place=${`turn-${turn.index}`}
    />
    ${(stopped || turn.finish === "length") &&
    html`<p class="state">${t(stopped ? "interrupted" : "cut")}</p>`}
    <${SourceList} sources=${turn.sources || []} />
    ${useAiNotice(assistant) && html`<p class="ai-mark">${t("ai_mark")}</p>`}
    <div class="actions">
      <${Pager}
        at=${turn.selected}
        count=${turn.outputs.length}
        previous=${t("previous_answer")}
        next=${t("next_answer")}
        disabled=${busy}
        onChoose=${choose}
      />
      <${Action} icon="copy" label=${t("copy")} onClick=${() => copyText(turn.output)} />
      ${isLast &&
      html`<${Action}
        icon="again"
        label=${t("regenerate")}
        disabled=${busy}
        onClick=${() => ask(assistant, dbId, { mode: "regenerate", search })}
      />`}
      ${canContinue &&
      html`<button
        type="button"
        class="quiet labelled"
        disabled=${busy}
        onClick=${() => ask(assistant, dbId, { mode: "continue" })}
      >
        <${Icon} name="continue" /><span>${t("continue")}</span>
      </button>`}
    </div>
  </div>`;
}

/** The answer that is being generated, or its error. */
export function LiveAnswer({ thread, live, roleplay }) {
  if (live.error) return html`<${Failure} thread=${thread} error=${live.error} />`;
  const text = live.base + live.text;
  const status = describeStatus(live);
  return html`<div class="said by-assistant live">
    ${text &&
    html`<${Answer}
      text=${text}
      sources=${live.sources}
      live
      roleplay=${roleplay}
      place="live"
    />`}
    ${(!live.text || live.lost) &&
    html`<p class="state working" data-state=${live.queue ? "queued" : "waiting"}>
      <span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>${status}
    </p>`}
  </div>`;
}

function describeStatus(live) {
  if (live.lost) return t("reconnecting");
  if (live.queue && live.queue.position > 0) {
    const { position, wait_s: waitS } = live.queue;
    if (waitS === null || waitS === undefined) return t("queued", { position });
    return t("queued_wait", { position, wait: formatDuration(waitS) });
  }
  return t(live.search && !live.sources.length && !live.warnings.length ? "searching" : "waiting");
}

function formatDuration(seconds) {
  if (seconds < 90) return t("seconds", { n: Math.max(1, Math.round(seconds)) });
  return t("minutes", { n: Math.round(seconds / 60) });
}

function Failure({ thread, error }) {
  const [left, setLeft] = useState(Math.ceil(error.retryAfterS || 0));
  useStore((state) => state.language);
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  const hopeless = error.code === "no_character";
  return html`<div class="failure" role="alert">
    <p>${error.message}</p>
    ${!hopeless &&
    html`<button
      type="button"
      class="button"
      disabled=${left > 0}
      onClick=${() => retry(thread.assistant, thread.dbId)}
    >
      ${left > 0 ? t("retry_in", { n: left }) : t("retry")}
    </button>`}
  </div>`;
}
