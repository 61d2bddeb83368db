// Files that are dropped beside the gallery: the browser would leave the page for them.
import { bringCards } from "./gallery.js";

function hasFiles(event) {
  return [...(event.dataTransfer?.types || [])].includes("Files");
}

/** Files that are dropped anywhere else are brought to the gallery. */
export function keepFilesIn() {
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (event.defaultPrevented || !hasFiles(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    location.hash = "#/characters";
    bringCards(files);
  });
}
