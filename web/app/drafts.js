// What is written and not sent yet. A conversation's draft is the browser's; that of a new
// conversation is this tab's own, as two tabs may each be beginning one.
import { remember, remembered, rememberHere, rememberedHere } from "./device.js";

function isNew(place) {
  return place.endsWith("/new");
}

export function draftOf(place) {
  const kept = remembered(`draft:${place}`, "");
  return isNew(place) ? rememberedHere(`draft:${place}`, kept) : kept;
}

/** Keep a draft; an empty one is forgotten. */
export function keepDraft(place, text) {
  if (isNew(place)) {
    const before = draftOf(place);
    rememberHere(`draft:${place}`, text);
    // a tab that is opened later begins with the newest one; another tab's is left alone
    if (!text && remembered(`draft:${place}`) !== before) return;
  }
  remember(`draft:${place}`, text || null);
}
