// The gallery of characters.
import { t } from "../messages.js";
import { fillMacros, importCharacter, loadCharacters, loadMoreCharacters } from "./characters.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Portrait } from "./portrait.js";
import { setState, toast, useStore } from "./store.js";

/** Import files as characters; those refused are listed with the reason. */
export async function importCards(files) {
  setState({ refused: [] });
  for (const file of files) {
    try {
      const character = await importCharacter(file);
      toast([t("imported", { name: character.name }), ...character.warnings].join(" "));
    } catch (error) {
      const refusal = { name: file.name, message: error.message };
      setState(({ refused }) => ({ refused: [...refused, refusal] }));
    }
  }
}

export function Gallery() {
  const characters = useStore((state) => state.characters);
  const refused = useStore((state) => state.refused);
  const limits = useStore((state) => state.limits);
  useStore((state) => state.language);
  const [isOver, setOver] = useState(false);
  const [query, setQuery] = useState("");
  const chooser = useRef(null);
  useEffect(() => {
    loadCharacters();
    return () => setState({ refused: [] });
  }, []);
  const wanted = foldCase(query);
  useEffect(() => {
    // a search needs all of them
    if (wanted && characters.more) loadMoreCharacters().catch((error) => toast(error.message));
  }, [wanted, characters.more]);
  const shown = characters.items.filter(({ name, tagline }) => foldCase(`${name}\n${tagline}`).includes(wanted));
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    importCards([...event.dataTransfer.files]);
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
        accept=".png,.apng,.webp,.jpg,.jpeg,.json,.charx,.zip,image/png,application/json,application/zip"
        onChange=${(event) => {
          importCards([...event.currentTarget.files]);
          event.currentTarget.value = "";
        }}
      />
    </header>
    ${refused.map(
      (one) => html`<p key=${one.name} class="failure" role="alert">
        <strong dir="auto">${one.name}</strong> ${one.message}
      </p>`,
    )}
    ${characters.error && html`<p class="failure" role="alert">${characters.error.message}</p>`}
    ${characters.loaded &&
    !characters.items.length &&
    !characters.error &&
    html`<section class="no-one">
      <${Icon} name="mask" />
      <h2>${t("empty_gallery")}</h2>
      <p>${t("empty_gallery_text")}</p>
    </section>`}
    ${characters.items.length > 0 &&
    html`<label class="search">
      <${Icon} name="search" />
      <input
        type="search"
        dir="auto"
        aria-label=${t("search_characters")}
        placeholder=${t("search_characters")}
        value=${query}
        maxlength=${limits.search_chars}
        onInput=${(event) => setQuery(event.currentTarget.value)}
      />
    </label>`}
    ${wanted && !characters.more && !shown.length && html`<p class="nothing">${t("no_character_matches")}</p>`}
    <ul class="tiles">
      ${shown.map(
        (character) => html`<li key=${character.id}>
          <a class="tile" href=${`#/characters/${character.id}`}>
            <${Portrait} character=${character} size="large" />
            <span class="tile-text">
              <strong dir="auto">${character.name || "…"}</strong>
              <span dir="auto">${stripMarkdown(fillMacros(character.tagline, character))}</span>
            </span>
          </a>
        </li>`,
      )}
    </ul>
    ${characters.more &&
    !wanted &&
    html`<button
      type="button"
      class="more"
      onClick=${() => loadMoreCharacters().catch((error) => toast(error.message))}
    >
      ${t("more")}
    </button>`}
    <p class="drop-hint" aria-hidden="true">${t("drop_here")}</p>
  </div>`;
}

function foldCase(text) {
  return text.normalize("NFC").toLowerCase().trim();
}

/** A greeting without its Markdown, for one line of a list. */
export function stripMarkdown(text) {
  return text.replace(/[*_`#>]+/g, "").trim();
}

function hasFiles(event) {
  return [...(event.dataTransfer?.types || [])].includes("Files");
}

/** Import files that are dropped outside the gallery, where the browser would open them. */
export function importDroppedFiles() {
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (event.defaultPrevented || !hasFiles(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    location.hash = "#/characters";
    importCards(files);
  });
}
