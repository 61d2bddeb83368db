// The gallery of characters.
import { t } from "../messages.js";
import { asSpoken, importCharacter, loadCast, loadMoreCast } from "./cast.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Portrait } from "./portrait.js";
import { toast, useStore } from "./store.js";

export function Gallery() {
  const cast = useStore((state) => state.cast);
  useStore((state) => state.language);
  const [isOver, setOver] = useState(false);
  const [refused, setRefused] = useState(null);
  const chooser = useRef(null);
  useEffect(() => {
    loadCast();
  }, []);

  const bring = async (files) => {
    setRefused(null);
    for (const file of files) {
      try {
        const character = await importCharacter(file);
        toast([t("imported", { name: character.name }), ...character.warnings].join(" "));
      } catch (error) {
        setRefused({ name: file.name, message: error.message });
      }
    }
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    bring([...event.dataTransfer.files]);
  };
  const over = (event) => {
    event.preventDefault();
    setOver(true);
  };
  return html`<div
    class=${isOver ? "page gallery over" : "page gallery"}
    onDragOver=${over}
    onDragLeave=${(event) => event.currentTarget.contains(event.relatedTarget) || setOver(false)}
    onDrop=${drop}
  >
    <header class="page-head">
      <div>
        <h1>${t("characters")}</h1>
        <p>${t("gallery_text")}</p>
      </div>
      <div class="page-actions">
        <button type="button" class="button" onClick=${() => chooser.current.click()}>
          <${Icon} name="upload" />${t("import")}
        </button>
        <a class="button primary" href="#/characters/new">
          <${Icon} name="plus" />${t("new_character")}
        </a>
      </div>
      <input
        ref=${chooser}
        class="offscreen"
        type="file"
        multiple
        tabindex="-1"
        aria-label=${t("import_hint")}
        accept=".png,.apng,.json,.charx,.zip,image/png,application/json,application/zip"
        onChange=${(event) => {
          bring([...event.currentTarget.files]);
          event.currentTarget.value = "";
        }}
      />
    </header>
    ${refused &&
    html`<p class="failure" role="alert"><strong>${refused.name}</strong> ${refused.message}</p>`}
    ${cast.error && html`<p class="failure" role="alert">${cast.error.message}</p>`}
    ${cast.loaded &&
    !cast.items.length &&
    !cast.error &&
    html`<section class="no-one">
      <${Icon} name="mask" />
      <h2>${t("empty_gallery")}</h2>
      <p>${t("empty_gallery_text")}</p>
    </section>`}
    <ul class="tiles">
      ${cast.items.map(
        (character) => html`<li key=${character.id}>
          <a class="tile" href=${`#/characters/${character.id}`}>
            <${Portrait} character=${character} size="large" />
            <span class="tile-text">
              <strong>${character.name || "…"}</strong>
              <span>${plain(asSpoken(character.tagline, character))}</span>
            </span>
          </a>
        </li>`,
      )}
    </ul>
    ${cast.more &&
    html`<button
      type="button"
      class="more"
      onClick=${() => loadMoreCast().catch((error) => toast(error.message))}
    >
      ${t("more")}
    </button>`}
    <p class="drop-hint" aria-hidden="true">${t("drop_here")}</p>
  </div>`;
}

/** A greeting without its marks, for one line of a list. */
export function plain(text) {
  return text.replace(/[*_`#>]+/g, "").trim();
}
