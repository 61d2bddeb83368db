// Messages not sent yet. The draft of a conversation is shared by all tabs; the draft of a new one
// belongs to its tab, since two tabs may each start a conversation.
import { saveSetting, readSetting, saveTabSetting, readTabSetting } from "./browser-storage.js";

function isNewConversation(place) {
  return place.endsWith("/new");
}

export function readDraft(place) {
  const kept = readSetting(`draft:${place}`, "");
  return isNewConversation(place) ? readTabSetting(`draft:${place}`, kept) : kept;
}

/** Store a draft; an empty one is removed. */
export function saveDraft(place, text) {
  if (isNewConversation(place)) {
    const before = readDraft(place);
    saveTabSetting(`draft:${place}`, text);
    // a new tab starts with the newest draft; that of another tab is left alone
    if (!text && readSetting(`draft:${place}`) !== before) return;
  }
  saveSetting(`draft:${place}`, text || null);
}
