// The characters of this user.
import { t } from "../messages.js";
import { CallError, requestJson, request, downloadResponse } from "./client.js";
import { getState, setState } from "./store.js";
import { broadcast } from "./tabs.js";
import { parseCharacter } from "./threads.js";

const PATH = "character/characters";
/** Longest side of a chosen picture, in pixels; larger ones are scaled down. */
const MAX_PICTURE_SIDE = 1024;

function setCharacters(change) {
  setState(({ characters }) => ({ characters: { ...characters, ...change(characters) } }));
}

function addCharacter(character) {
  setCharacters(({ byId }) => ({ byId: { ...byId, [character.id]: character } }));
  return character;
}

export async function loadCharacters() {
  try {
    const found = await requestJson(PATH, { query: { limit: 60 } });
    setCharacters(() => ({ items: found.characters, more: found.before, loaded: true, error: null }));
  } catch (error) {
    setCharacters(() => ({ error, loaded: true }));
  }
}

export async function loadMoreCharacters() {
  const { more } = getState().characters;
  const found = await requestJson(PATH, { query: { limit: 60, before: more } });
  setCharacters(({ items }) => ({ items: [...items, ...found.characters], more: found.before }));
}

/** One character; null if it was deleted. */
export async function loadCharacter(id) {
  try {
    return addCharacter(await requestJson(`${PATH}/${id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    setCharacters(({ byId }) => ({ byId: { ...byId, [id]: null } }));
    return null;
  }
}

export async function saveCharacter(id, fields) {
  const path = id ? `${PATH}/${id}` : PATH;
  const saved = addCharacter(await requestJson(path, { method: id ? "PATCH" : "POST", body: fields }));
  announceChange(saved.id);
  return saved;
}

export async function importCharacter(file) {
  const { upload_bytes: limit } = getState().limits;
  if (file.size > limit) {
    const text = t("file_too_large", { limit: `${Math.floor(limit / 2 ** 20)} MB` });
    throw new CallError("file_too_large", text);
  }
  const imported = addCharacter(await requestJson(`${PATH}/import`, { method: "POST", file }));
  announceChange(imported.id);
  return imported;
}

export async function deleteCharacter(id) {
  await request(`${PATH}/${id}`, { method: "DELETE" });
  setCharacters(({ byId }) => ({ byId: { ...byId, [id]: null } }));
  announceChange(id);
}

/** Download the card. A PNG card needs a PNG picture: other formats are converted here. */
export async function exportCharacter(character, format) {
  const path = `${PATH}/${character.id}/export`;
  const name = `${character.name.replace(/[\\/:*?"<>|]+/g, " ").trim() || "character"}.${format}`;
  let response;
  try {
    response = await request(path, { query: { format } });
  } catch (error) {
    if (error.reason !== "picture_not_png") throw error;
    const shown = await request(`${PATH}/${character.id}/picture`);
    const file = await toPng(await shown.blob(), Infinity);
    response = await request(path, { method: "POST", file });
  }
  await downloadResponse(response, name);
}

function announceChange(id) {
  greetingRequests.clear();
  for (const place of [...pictureRequests.keys()]) {
    if (place.startsWith(id)) pictureRequests.delete(place);
  }
  broadcast({ type: "characters", id });
  loadCharacters();
}

/** Another tab changed a character: load it again. */
export function reloadCharacter(id) {
  greetingRequests.clear();
  if (getState().characters.byId[id] !== undefined) loadCharacter(id).catch(() => {});
  if (getState().characters.loaded) loadCharacters();
}

/** A greeting with its macros filled in, for lists and previews; the server does it for the model. */
export function fillMacros(text, character) {
  const user = getState().userName.trim() || t("default_user");
  return text
    .replace(/\{\{user\}\}|<USER>/gi, user)
    .replace(/\{\{char\}\}|<BOT>/gi, character.spoken_name || character.name)
    .replace(/\{\{[^}]*\}\}/g, "");
}

/** The request fields that name the stored character of a conversation. */
export function buildCharacterFields(dbId) {
  const { id, greeting } = parseCharacter(dbId) || {};
  if (!id) throw new CallError("no_character", t("character_gone"));
  return { character_id: id, greeting_index: greeting, user_name: getState().userName.trim() };
}

const greetingRequests = new Map();

/** The greeting that opens a conversation, its macros filled in by the server. */
export async function loadGreeting(dbId) {
  const { id, greeting } = parseCharacter(dbId) || {};
  if (!id) throw new CallError("no_character", t("character_gone"));
  const { userName } = getState();
  const place = `${dbId}/${userName}`;
  if (!greetingRequests.has(place)) {
    const query = { greeting, user_name: userName, db_id: dbId };
    const asked = requestJson(`${PATH}/${id}/prompt`, { query });
    greetingRequests.set(place, asked);
    asked.catch(() => greetingRequests.delete(place));
  }
  try {
    return (await greetingRequests.get(place)).greeting;
  } catch (error) {
    if (error.status === 404) throw new CallError("no_character", t("character_gone"));
    throw error;
  }
}

const pictureRequests = new Map();

/** A blob URL of the character's picture: an <img> cannot send the API key that pictures need. */
export function loadPictureUrl(character) {
  const place = `${character.id}@${character.updated_at}`;
  if (!pictureRequests.has(place)) {
    const asked = request(`${PATH}/${character.id}/picture`)
      .then((response) => response.blob())
      .then((blob) => URL.createObjectURL(blob));
    pictureRequests.set(place, asked);
    asked.catch(() => pictureRequests.delete(place));
  }
  return pictureRequests.get(place);
}

/** Convert a picture to PNG, no side longer than `side`. */
export async function toPng(blob, side = MAX_PICTURE_SIDE) {
  let picture;
  try {
    picture = await createImageBitmap(blob);
  } catch {
    throw new CallError("picture_unreadable", t("picture_unreadable"));
  }
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const drawing = canvas.getContext("2d");
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

export async function toBase64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}
