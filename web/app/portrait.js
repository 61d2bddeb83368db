// A character's picture, or a quiet colour of its own with its first letter.
import { pictureUrl } from "./cast.js";
import { html, useEffect, useState } from "./html.js";

function hueOf(text) {
  let hash = 0;
  for (const mark of text) hash = (hash * 31 + mark.codePointAt(0)) >>> 0;
  return hash % 360;
}

/** `size` is small (beside a name) or large (a gallery's tile). `alt` is empty beside the name. */
export function Portrait({ character, size = "small", alt = "" }) {
  const [url, setUrl] = useState(null);
  const place = character?.has_picture ? `${character.id}@${character.updated_at}` : null;
  useEffect(() => {
    let gone = false;
    setUrl(null);
    if (place) pictureUrl(character).then((found) => !gone && setUrl(found), () => {});
    return () => {
      gone = true;
    };
  }, [place]);
  const name = character?.name || "?";
  if (url) return html`<img class=${`portrait ${size}`} src=${url} alt=${alt} />`;
  const [letter] = name;
  return html`<span
    class=${`portrait ${size} plain`}
    style=${{ "--hue": String(hueOf(name)) }}
    aria-hidden="true"
    >${place ? "" : letter}</span
  >`;
}
