// The characters of this user.
import { t } from "../messages.js";
import { CallError, json, request, saveAs } from "./client.js";
import { getState, setState } from "./store.js";
import { tell } from "./tabs.js";
import { characterOf } from "./threads.js";

const PATH = "character/characters";
/** As the gateway and the service have it. */
export const MAX_FILE_BYTES = 8 * 1024 * 1024;
/** Longest side of a picture that is chosen here, in pixels. */
const PICTURE_SIDE = 1024;

function setCast(change) {
  setState(({ cast }) => ({ cast: { ...cast, ...change(cast) } }));
}

function keep(character) {
  setCast(({ byId }) => ({ byId: { ...byId, [character.id]: character } }));
  return character;
}

export async function loadCast() {
  try {
    const found = await json(PATH, { query: { limit: 60 } });
    setCast(() => ({ items: found.characters, more: found.before, loaded: true, error: null }));
  } catch (error) {
    setCast(() => ({ error, loaded: true }));
  }
}

export async function loadMoreCast() {
  const { more } = getState().cast;
  const found = await json(PATH, { query: { limit: 60, before: more } });
  setCast(({ items }) => ({ items: [...items, ...found.characters], more: found.before }));
}

/** One character; null where it is gone. */
export async function loadCharacter(id) {
  try {
    return keep(await json(`${PATH}/${id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    setCast(({ byId }) => ({ byId: { ...byId, [id]: null } }));
    return null;
  }
}

export async function saveCharacter(id, fields) {
  const path = id ? `${PATH}/${id}` : PATH;
  const saved = keep(await json(path, { method: id ? "PATCH" : "POST", body: fields }));
  changed(saved.id);
  return saved;
}

export async function importCharacter(file) {
  if (file.size > MAX_FILE_BYTES) throw new CallError("file_too_large", t("file_too_large"));
  const imported = keep(await json(`${PATH}/import`, { method: "POST", file }));
  changed(imported.id);
  return imported;
}

export async function deleteCharacter(id) {
  await request(`${PATH}/${id}`, { method: "DELETE" });
  setCast(({ byId }) => ({ byId: { ...byId, [id]: null } }));
  changed(id);
}

/** Save the card as a file. A PNG needs a PNG picture: another one is converted here. */
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
  await saveAs(response, name);
}

function changed(id) {
  prompts.clear();
  for (const place of [...pictures.keys()]) if (place.startsWith(id)) pictures.delete(place);
  tell({ type: "cast", id });
  loadCast();
}

/** What another tab did to a character. */
export function castChanged(id) {
  prompts.clear();
  if (getState().cast.byId[id] !== undefined) loadCharacter(id).catch(() => {});
  if (getState().cast.loaded) loadCast();
}

/** A greeting as it will read, for lists and previews; the server has the last word. */
export function asSpoken(text, character) {
  const user = getState().userName.trim() || t("default_user");
  return text
    .replace(/\{\{user\}\}|<USER>/gi, user)
    .replace(/\{\{char\}\}|<BOT>/gi, character.spoken_name || character.name)
    .replace(/\{\{[^}]*\}\}/g, "");
}

/** Which stored character answers in a conversation: the server has the card, lorebook included. */
export function playing(dbId) {
  const { id, greeting } = characterOf(dbId) || {};
  if (!id) throw new CallError("no_character", t("character_gone"));
  return { character_id: id, greeting_index: greeting, user_name: getState().userName.trim() };
}

const prompts = new Map();

/** What the character says first in a conversation, its macros resolved by the server. */
export async function openingOf(dbId) {
  const { id, greeting } = characterOf(dbId) || {};
  if (!id) throw new CallError("no_character", t("character_gone"));
  const { userName } = getState();
  const place = `${dbId}/${userName}`;
  if (!prompts.has(place)) {
    const query = { greeting, user_name: userName, db_id: dbId };
    const asked = json(`${PATH}/${id}/prompt`, { query });
    prompts.set(place, asked);
    asked.catch(() => prompts.delete(place));
  }
  try {
    return (await prompts.get(place)).greeting;
  } catch (error) {
    if (error.status === 404) throw new CallError("no_character", t("character_gone"));
    throw error;
  }
}

const pictures = new Map();

/** A URL of the character's picture; pictures need the key, which <img> cannot send. */
export function pictureUrl(character) {
  const place = `${character.id}@${character.updated_at}`;
  if (!pictures.has(place)) {
    const asked = request(`${PATH}/${character.id}/picture`)
      .then((response) => response.blob())
      .then((blob) => URL.createObjectURL(blob));
    pictures.set(place, asked);
    asked.catch(() => pictures.delete(place));
  }
  return pictures.get(place);
}

/** Any picture the browser can show as a PNG, no side longer than `side`. */
export async function toPng(blob, side = PICTURE_SIDE) {
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
