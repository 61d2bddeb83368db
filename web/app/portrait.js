// A character's picture, or its initial on a colour derived from the name.
import { loadPictureUrl } from "./characters.js";
import { html, useEffect, useState } from "./html.js";

function computeHue(text) {
  let hash = 0;
  for (const mark of text) hash = (hash * 31 + mark.codePointAt(0)) >>> 0;
  return hash % 360;
}

/** `size` is small, medium, large or poster. `alt` is empty where the name stands beside it. */
export function Portrait({ character, size = "small", alt = "" }) {
  const [url, setUrl] = useState(null);
  const place = character?.has_picture ? `${character.id}@${character.updated_at}` : null;
  useEffect(() => {
    let gone = false;
    setUrl(null);
    if (place) loadPictureUrl(character).then((found) => !gone && setUrl(found), () => {});
    return () => {
      gone = true;
    };
  }, [place]);
  const name = character?.name || "?";
  if (url) return html`<img class=${`portrait ${size}`} src=${url} alt=${alt} />`;
  const [letter] = name;
  return html`<span
    class=${`portrait ${size} plain`}
    style=${{ "--hue": String(computeHue(name)) }}
    aria-hidden="true"
    >${place ? "" : letter}</span
  >`;
}
