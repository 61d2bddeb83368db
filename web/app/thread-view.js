// A conversation: its turns, the running answer, and the field below.
import { t } from "../messages.js";
import { ask, openThread } from "./answers.js";
import { loadCharacter, loadGreeting } from "./characters.js";
import { loadModel } from "./client.js";
import { Composer, fillComposer } from "./composer.js";
import { openDialog } from "./dialogs.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Answer, StoredAnswer, Pager, LiveAnswer, UserMessage } from "./message.js";
import { Portrait } from "./portrait.js";
import { getState, toast, useAiNotice, useStore } from "./store.js";
import {
  parseCharacter,
  ensureThread,
  loadEarlier,
  newDbId,
  threadKey,
} from "./threads.js";

const EXAMPLES = [
  ["mail", "idea_mail", "idea_mail_text"],
  ["chat", "idea_translate", "idea_translate_text"],
  ["table", "idea_sheet", "idea_sheet_text"],
  ["list", "idea_outline", "idea_outline_text"],
];
/** Within this distance of the end, in pixels, the view scrolls along. */
const NEAR_END = 80;

/** `dbId` null is a new conversation, created by its first message. */
export function ThreadView({ assistant, dbId }) {
  const fresh = useMemo(() => dbId ?? newDbId(), [assistant, dbId]);
  const id = dbId ?? fresh;
  const key = threadKey(assistant, id);
  const thread = useStore((state) => state.threads[key]);
  useEffect(() => {
    if (!getState().models[assistant]) loadModel(assistant);
  }, [assistant]);
  useEffect(() => {
    if (dbId === null) ensureThread(assistant, id, true);
    else openThread(assistant, id);
  }, [key]);
  const arrive = () => {
    const hash = `#/${assistant}/${id}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  const characterRef = assistant === "character" ? parseCharacter(id) : null;
  const character = useStore((state) => characterRef && state.characters.byId[characterRef.id]);
  useEffect(() => {
    if (characterRef && character === undefined) loadCharacter(characterRef.id).catch(() => {});
  }, [characterRef?.id]);
  if (!thread) return null;
  const gone = assistant === "character" && (!characterRef || character === null);
  const name = character?.name || "…";
  const draftPlace = dbId === null ? `${assistant}/new` : key;
  const isEmpty = !thread.turns.length && !thread.live;
  return html`<div class=${isEmpty && assistant === "office" ? "thread empty" : "thread"}>
    <${Turns}
      thread=${thread}
      characterRef=${characterRef}
      character=${character}
      suggestTo=${draftPlace}
      key=${key}
    />
    <div class="dock">
      ${gone && html`<p class="state">${t("character_gone")}</p>`}
      <${NoteLine} note=${thread.note} />
      <${Composer}
        threadKey=${draftPlace}
        assistant=${assistant}
        dbId=${id}
        onSend=${arrive}
        disabled=${gone}
        placeholder=${assistant === "office" ? t("ask_office") : t("ask_character", { name })}
      />
      <${AiNotice} assistant=${assistant} />
    </div>
  </div>`;
}

const WARNINGS = [
  "search_unavailable",
  "search_disabled",
  "search_empty",
  "search_left_out",
  "search_snippets_only",
];

function NoteLine({ note }) {
  if (!note) return null;
  const warnings = (note.warnings || []).filter((warning) => WARNINGS.includes(warning));
  const leftOut = note.turns_left_out;
  const share = Math.min(100, Math.round((note.used_tokens / note.limit_tokens) * 100));
  const title = t("left_out_title", { share });
  return html`<div class="notes" role="status">
    ${leftOut > 0 && html`<p title=${title}>${t("left_out", { n: leftOut })}</p>`}
    ${warnings.map((warning) => html`<p key=${warning}>${t(warning)}</p>`)}
  </div>`;
}

function Turns({ thread, characterRef, character, suggestTo }) {
  const { turns, live, assistant, dbId } = thread;
  const search = useStore((state) => state.search);
  const roleplay = assistant === "character";
  const scroller = useRef(null);
  const follows = useRef(true);
  const [isAway, setAway] = useState(false);
  const busy = Boolean(live?.running);

  const toEnd = (behavior = "auto") => {
    const view = scroller.current;
    view.scrollTo({ top: view.scrollHeight, behavior });
  };
  useLayoutEffect(() => {
    if (follows.current) toEnd();
  }, [turns, live, thread.loaded]);
  const input = live?.running && live.mode !== "continue" ? live.input : null;
  useLayoutEffect(() => {
    if (input === null) return;
    follows.current = true;
    toEnd();
  }, [input, live?.mode]);
  useLayoutEffect(() => {
    // the field below grows with its text
    const watch = new ResizeObserver(() => follows.current && toEnd());
    watch.observe(scroller.current);
    return () => watch.disconnect();
  }, []);
  const onScroll = ({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
    follows.current = scrollHeight - scrollTop - clientHeight < NEAR_END;
    setAway(!follows.current);
  };

  const edit = ({ index }, text, done) => {
    const run = () => {
      done();
      // the dialog does not wait for the answer
      void ask(assistant, dbId, { mode: "edit", index, text, search });
    };
    const later = turns.filter((turn) => turn.index > index).length;
    if (later === 0) {
      run();
      return true;
    }
    openDialog({
      kind: "confirm",
      title: t("edit_early"),
      text: t("edit_early_text", { n: later }),
      action: t("send"),
      run,
    });
    // not sent yet
    return false;
  };

  // a failed regeneration leaves the previous answer in place
  const at = live && live.mode !== "message" && !live.error ? live.index : Infinity;
  const shown = turns.filter((turn) => turn.index < at);
  const speaker = roleplay ? character?.name : null;
  return html`<div class="scroller" ref=${scroller} onScroll=${onScroll} tabindex="-1">
    <div class="column">
      ${roleplay && html`<${CharacterGreeting} thread=${thread} characterRef=${characterRef} character=${character} />`}
      ${!roleplay &&
      !turns.length &&
      !live &&
      thread.loaded &&
      html`<${Welcome} suggestTo=${suggestTo} />`}
      ${thread.first === 0 && html`<${LanguageNotice} assistant=${assistant} />`}
      ${thread.error &&
      html`<div class="failure" role="alert">
        <p>${t("load_failed")} ${thread.error.message}</p>
        <button type="button" class="button" onClick=${() => openThread(assistant, dbId)}>
          ${t("retry")}
        </button>
      </div>`}
      ${thread.first > 0 &&
      html`<button
        type="button"
        class="more"
        onClick=${() => loadEarlier(assistant, dbId).catch((error) => toast(error.message))}
      >
        ${t("earlier")}
      </button>`}
      <ol class="turns">
        ${shown.map(
          (turn, place) => html`<li key=${turn.index} class="turn">
            <${UserMessage}
              text=${turn.input}
              disabled=${busy}
              onEdit=${(text, done) => edit(turn, text, done)}
            />
            <h3 class=${speaker ? "speaker" : "offscreen"} dir="auto">
              ${speaker ? html`<${Portrait} character=${character} />${speaker}` : t("answer")}
            </h3>
            <${StoredAnswer}
              thread=${thread}
              turn=${turn}
              isLast=${place === shown.length - 1 && !live}
              roleplay=${roleplay}
              busy=${busy}
              search=${search}
            />
          </li>`,
        )}
        ${live &&
        html`<li key="live" class="turn" aria-busy=${busy}>
          ${(at < Infinity || live.mode === "message" || live.mode === "edit") &&
          html`<${UserMessage} text=${live.input} />`}
          ${!live.error &&
          html`<h3 class=${speaker ? "speaker" : "offscreen"} dir="auto">
            ${speaker ? html`<${Portrait} character=${character} />${speaker}` : t("answer")}
          </h3>`}
          <${LiveAnswer} thread=${thread} live=${live} roleplay=${roleplay} />
        </li>`}
      </ol>
      <${Announcer} thread=${thread} />
    </div>
    ${isAway &&
    html`<button
      type="button"
      class="to-end"
      aria-label=${t("to_newest")}
      onClick=${() => toEnd("smooth")}
    >
      <${Icon} name="down" />
    </button>`}
  </div>`;
}

/** Tells screen readers that an answer has started and reads it once complete: a live region that
 * grows with every token would be read in fragments. */
function Announcer({ thread }) {
  const { live, turns } = thread;
  const running = Boolean(live?.running);
  const before = useRef(null);
  const [text, setText] = useState("");
  useEffect(() => {
    if (running) {
      before.current ??= { last: turns.at(-1) };
      setText(live.queue ? t("waiting") : t("writing"));
    } else if (before.current) {
      // an error is announced by its own alert
      const last = turns.at(-1);
      setText(last && last !== before.current.last ? last.output : "");
      before.current = null;
    }
  }, [running, Boolean(live?.queue)]);
  return html`<div class="offscreen" role="status" aria-live="polite">${text}</div>`;
}

/** Says before the first message, and on, that an AI answers; off where the operator says so. */
function AiNotice({ assistant }) {
  useStore((state) => state.language);
  if (!useAiNotice(assistant)) return null;
  return html`<p class="ai-notice">${t("ai_notice")}</p>`;
}

/** Says at the top of a conversation that the model does not speak the reader's language. */
function LanguageNotice({ assistant }) {
  const language = useStore((state) => state.language);
  const model = useStore((state) => state.models[assistant]);
  if (!model?.languages.length || model.languages.includes(language)) return null;
  const isEnglishAlone = model.languages.every((spoken) => spoken === "en");
  return html`<aside class="notice">
    <p>${t(isEnglishAlone ? "english_alone" : "other_language", { model: model.name })}</p>
    <p>${t("other_language_remedy")}</p>
    <pre tabindex="0"><code>.venv/bin/chatbot-ai models list</code></pre>
    <p>${t("other_language_docker")}</p>
    <pre tabindex="0"><code>docker compose run --rm --no-deps python-libs-init models list</code></pre>
  </aside>`;
}

function Welcome({ suggestTo }) {
  useStore((state) => state.language);
  return html`<section class="welcome">
    <h1>${t("welcome")}</h1>
    <p>${t("welcome_text")}</p>
    <ul>
      ${EXAMPLES.map(
        ([icon, title, text]) => html`<li key=${title}>
          <button type="button" onClick=${() => fillComposer(suggestTo, t(text))}>
            <${Icon} name=${icon} /><span>${t(title)}</span>
          </button>
        </li>`,
      )}
    </ul>
  </section>`;
}

/** The character and its greeting, which can be changed before the first message. */
function CharacterGreeting({ thread, characterRef, character }) {
  const [greeting, setGreeting] = useState(null);
  const userName = useStore((state) => state.userName);
  useEffect(() => {
    let gone = false;
    if (characterRef && character) {
      loadGreeting(thread.dbId).then(
        (text) => !gone && setGreeting(text),
        (error) => !gone && toast(error.message),
      );
    }
    return () => {
      gone = true;
    };
  }, [thread.dbId, character, userName]);
  if (!character) return null;
  const greetings = 1 + character.alternate_greetings.length;
  const choose = (index) => {
    location.replace(`#/character/${newDbId(character.id, index)}`);
  };
  const isNew = thread.loaded && !thread.turns.length && !thread.live;
  return html`<section class="opening">
    <a class="who" href=${`#/characters/${character.id}`}>
      <${Portrait}
        character=${character}
        size="medium"
        alt=${t("picture_of", { name: character.name })}
      />
      <h1 dir="auto">${character.name}</h1>
    </a>
    <div class="said by-assistant">
      ${greeting !== null && html`<${Answer} text=${greeting} roleplay place="greeting" />`}
      ${isNew &&
      html`<div class="actions">
        <${Pager}
          at=${characterRef.greeting}
          count=${greetings}
          previous=${t("previous_greeting")}
          next=${t("next_greeting")}
          nth="nth_greeting"
          onChoose=${choose}
        />
      </div>`}
    </div>
  </section>`;
}

