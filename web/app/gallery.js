// The gallery of characters.
import { t } from "../messages.js";
import { asSpoken, importCharacter, loadCast, loadMoreCast } from "./cast.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Portrait } from "./portrait.js";
import { setState, toast, useStore } from "./store.js";

/** Import files as characters; each that is refused is named with the reason. */
export async function bringCards(files) {
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
  const cast = useStore((state) => state.cast);
  const refused = useStore((state) => state.refused);
  useStore((state) => state.language);
  const [isOver, setOver] = useState(false);
  const [query, setQuery] = useState("");
  const chooser = useRef(null);
  useEffect(() => {
    loadCast();
    return () => setState({ refused: [] });
  }, []);
  const bring = bringCards;
  const wanted = folded(query);
  useEffect(() => {
    // a search looks through all of them
    if (wanted && cast.more) loadMoreCast().catch((error) => toast(error.message));
  }, [wanted, cast.more]);
  const shown = cast.items.filter(({ name, tagline }) => folded(`${name}\n${tagline}`).includes(wanted));
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
    ${refused.map(
      (one) => html`<p key=${one.name} class="failure" role="alert">
        <strong>${one.name}</strong> ${one.message}
      </p>`,
    )}
    ${cast.error && html`<p class="failure" role="alert">${cast.error.message}</p>`}
    ${cast.loaded &&
    !cast.items.length &&
    !cast.error &&
    html`<section class="no-one">
      <${Icon} name="mask" />
      <h2>${t("empty_gallery")}</h2>
      <p>${t("empty_gallery_text")}</p>
    </section>`}
    ${cast.items.length > 0 &&
    html`<label class="search">
      <${Icon} name="search" />
      <input
        type="search"
        aria-label=${t("search_characters")}
        placeholder=${t("search_characters")}
        value=${query}
        maxlength="100"
        onInput=${(event) => setQuery(event.currentTarget.value)}
      />
    </label>`}
    ${wanted && !cast.more && !shown.length && html`<p class="nothing">${t("no_character_matches")}</p>`}
    <ul class="tiles">
      ${shown.map(
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
    !wanted &&
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

function folded(text) {
  return text.normalize("NFC").toLowerCase().trim();
}

/** A greeting without its marks, for one line of a list. */
export function plain(text) {
  return text.replace(/[*_`#>]+/g, "").trim();
}
