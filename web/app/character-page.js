// One character: its profile and its form.
import { t } from "../messages.js";
import {
  fillMacros,
  deleteCharacter,
  exportCharacter,
  loadCharacter,
  saveCharacter,
  toBase64,
  toPng,
} from "./characters.js";
import { openDialog } from "./dialogs.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Answer } from "./message.js";
import { Portrait } from "./portrait.js";
import { toast, useStore } from "./store.js";
import { newDbId } from "./threads.js";

export function CharacterPage({ id, isEditing }) {
  const character = useStore((state) => (id ? state.characters.byId[id] : null));
  useStore((state) => state.language);
  const [error, setError] = useState(null);
  useEffect(() => {
    if (id) loadCharacter(id).catch(setError);
  }, [id]);
  if (error) return html`<div class="page"><p class="failure">${error.message}</p></div>`;
  if (!id) return html`<${CharacterForm} key="new" character=${null} />`;
  if (character === null) return html`<${RedirectToGallery} />`;
  if (!character) return null;
  if (isEditing) return html`<${CharacterForm} key=${id} character=${character} />`;
  return html`<${CharacterProfile} key=${id} character=${character} />`;
}

function RedirectToGallery() {
  useEffect(() => {
    location.replace("#/characters");
  }, []);
  return null;
}

function CharacterProfile({ character }) {
  const [greeting, setGreeting] = useState(0);
  const greetings = [character.greeting, ...character.alternate_greetings];
  const start = () => {
    location.hash = `#/character/${newDbId(character.id, greeting)}`;
  };
  const save = (format) => () =>
    exportCharacter(character, format).catch((error) => toast(error.message));
  const remove = () =>
    openDialog({
      kind: "confirm",
      title: t("delete_character"),
      text: t("delete_character_text", { name: character.name }),
      action: t("delete"),
      run: () => deleteCharacter(character.id),
    });
  return html`<article class="page meeting">
    <a class="back" href="#/characters"><${Icon} name="left" />${t("characters")}</a>
    <div class="meeting-body">
      <${Portrait}
        character=${character}
        size="poster"
        alt=${t("picture_of", { name: character.name })}
      />
      <div class="meeting-text">
        <h1 dir="auto">${character.name}</h1>
        ${(character.creator || character.character_version) &&
        html`<p class="state" dir="auto">
          ${character.creator && t("by", { name: character.creator })} ${character.character_version}
        </p>`}
        ${character.tags.length > 0 &&
        html`<ul class="tags">
          ${character.tags.slice(0, 12).map((tag) => html`<li key=${tag} dir="auto">${tag}</li>`)}
        </ul>`}
        ${greetings.length > 1 &&
        html`<fieldset class="choice">
          <legend>${t("choose_greeting")}</legend>
          <div>
            ${greetings.map(
              (_text, n) => html`<label key=${n}>
                <input
                  type="radio"
                  name="greeting"
                  checked=${n === greeting}
                  onChange=${() => setGreeting(n)}
                /><span>${n + 1}</span>
              </label>`,
            )}
          </div>
        </fieldset>`}
        <blockquote class="greeting">
          <${Answer} text=${fillMacros(greetings[greeting], character) || "…"} roleplay place="greeting" />
        </blockquote>
        <button type="button" class="button primary large" onClick=${start}>
          <${Icon} name="chat" />${t("talk")}
        </button>
        ${character.creator_notes &&
        html`<section class="creator-notes">
          <h2>${t("notes")}</h2>
          <${Answer} text=${character.creator_notes} place="notes" />
        </section>`}
        <footer class="meeting-actions">
          <a class="button" href=${`#/characters/${character.id}/edit`}>
            <${Icon} name="edit" />${t("edit_character")}
          </a>
          <span class="exports" role="group" aria-label=${t("export")}>
            <span>${t("export")}</span>
            ${["png", "json", "charx"].map(
              (format) => html`<button
                type="button"
                class="button"
                key=${format}
                onClick=${save(format)}
              >
                ${format.toUpperCase()}
              </button>`,
            )}
          </span>
          <button type="button" class="button danger" onClick=${remove}>
            <${Icon} name="trash" />${t("delete")}
          </button>
        </footer>
      </div>
    </div>
  </article>`;
}

/** The fields that were edited. The server keeps the rest of the card byte for byte. */
function findChanges(fields, character) {
  const body = {};
  for (const [name, value] of Object.entries(fields)) {
    if (character && JSON.stringify(value) === JSON.stringify(character[name])) continue;
    body[name] = Array.isArray(value) ? value.filter((text) => text.trim()) : value;
  }
  return body;
}

function CharacterForm({ character }) {
  const [fields, setFields] = useState({
    name: character?.name || "",
    greeting: character?.greeting || "",
    context: character?.context || "",
    creator_notes: character?.creator_notes || "",
    alternate_greetings: character?.alternate_greetings || [],
  });
  const [picture, setPicture] = useState(null);
  const [error, setError] = useState(null);
  const [isSaving, setSaving] = useState(false);
  const limits = useStore((state) => state.limits);
  const chooser = useRef(null);

  const set = (name) => (event) => setFields({ ...fields, [name]: event.currentTarget.value });
  const setOther = (n, text) => {
    const others = fields.alternate_greetings.map((old, at) => (at === n ? text : old));
    setFields({ ...fields, alternate_greetings: others });
  };
  const removeOther = (n) => {
    const others = fields.alternate_greetings.filter((_old, at) => at !== n);
    setFields({ ...fields, alternate_greetings: others });
  };
  const choose = async (event) => {
    const [file] = event.currentTarget.files;
    event.currentTarget.value = "";
    if (!file) return;
    try {
      const png = await toPng(file);
      setPicture({ png, url: URL.createObjectURL(png) });
      setError(null);
    } catch (failure) {
      setError(failure.message);
    }
  };
  const submit = async (event) => {
    event.preventDefault();
    if (isSaving) return;
    setSaving(true);
    setError(null);
    try {
      const body = findChanges(fields, character);
      if (picture) body.picture = picture.png ? await toBase64(picture.png) : "";
      const isChanged = !character || Object.keys(body).length > 0;
      const { id } = isChanged ? await saveCharacter(character?.id, body) : character;
      location.hash = `#/characters/${id}`;
    } catch (failure) {
      setError(failure.message);
      setSaving(false);
    }
  };
  const back = character ? `#/characters/${character.id}` : "#/characters";
  const hasPicture = picture ? Boolean(picture.png) : character?.has_picture;
  return html`<form class="page form" onSubmit=${submit}>
    <a class="back" href=${back}><${Icon} name="left" />${t("back")}</a>
    <h1 dir="auto">${character ? character.name : t("new_character")}</h1>
    <div class="form-body">
      <div class="form-picture">
        ${picture?.png
          ? html`<img
              class="portrait poster"
              src=${picture.url}
              alt=${t("picture_of", { name: fields.name })}
            />`
          : html`<${Portrait}
              character=${{
                ...character,
                name: fields.name || "?",
                has_picture: hasPicture && !picture,
              }}
              size="poster"
            />`}
        <div class="form-picture-actions">
          <button type="button" class="button" onClick=${() => chooser.current.click()}>
            ${t("choose_picture")}
          </button>
          ${hasPicture &&
          html`<button type="button" class="button" onClick=${() => setPicture({ png: null })}>
            ${t("remove_picture")}
          </button>`}
        </div>
        <input
          ref=${chooser}
          class="offscreen"
          type="file"
          tabindex="-1"
          aria-label=${t("picture")}
          accept="image/png,image/jpeg,image/webp,image/gif"
          onChange=${choose}
        />
      </div>
      <div class="form-fields">
        <label class="field">
          <span>${t("name")}</span>
          <input
            required
            dir="auto"
            maxlength=${limits.character_name_chars}
            autocomplete="off"
            value=${fields.name}
            onInput=${set("name")}
          />
        </label>
        <label class="field">
          <span>${t("greeting")}</span>
          <textarea
            dir="auto"
            rows="4"
            maxlength=${limits.greeting_chars}
            value=${fields.greeting}
            onInput=${set("greeting")}
          ></textarea>
          <small>${t("greeting_hint")}</small>
        </label>
        ${fields.alternate_greetings.map(
          (text, n) => html`<div class="field" key=${n}>
            <div class="field-head">
              <label for=${`greeting-${n}`}>${t("alternate_greeting", { n: n + 1 })}</label>
              <button
                type="button"
                class="quiet"
                aria-label=${t("remove_greeting", { n: n + 1 })}
                onClick=${() => removeOther(n)}
              >
                <${Icon} name="close" />
              </button>
            </div>
            <textarea
              id=${`greeting-${n}`}
              dir="auto"
              rows="3"
              maxlength=${limits.greeting_chars}
              value=${text}
              onInput=${(event) => setOther(n, event.currentTarget.value)}
            ></textarea>
          </div>`,
        )}
        <button
          type="button"
          class="quiet labelled"
          onClick=${() =>
            setFields({ ...fields, alternate_greetings: [...fields.alternate_greetings, ""] })}
        >
          <${Icon} name="plus" /><span>${t("add_greeting")}</span>
        </button>
        <label class="field">
          <span>${t("context")}</span>
          <textarea
            dir="auto"
            rows="8"
            maxlength=${limits.context_chars}
            value=${fields.context}
            onInput=${set("context")}
          ></textarea>
          <small>${t("context_hint")}</small>
        </label>
        <label class="field">
          <span>${t("notes")}</span>
          <textarea
            dir="auto"
            rows="2"
            maxlength=${limits.context_chars}
            value=${fields.creator_notes}
            onInput=${set("creator_notes")}
          ></textarea>
          <small>${t("notes_hint")}</small>
        </label>
        ${error && html`<p class="failure" role="alert">${error}</p>`}
        <footer>
          <a class="button" href=${back}>${t("cancel")}</a>
          <button class="button primary" disabled=${isSaving || !fields.name.trim()}>
            ${t("save")}
          </button>
        </footer>
      </div>
    </div>
  </form>`;
}
