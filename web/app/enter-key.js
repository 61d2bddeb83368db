// Sending with Enter while Korean is composed.
//
// While a syllable is being composed, Enter belongs to the input method first: its keydown says
// isComposing (or keyCode 229) and the syllable is only in the field when the composition has
// ended. Sending on that keydown cuts the syllable or sends it twice; ignoring it makes people
// press Enter again, as Hangul has no candidate window to confirm. So Enter is remembered
// and sends once, right after the composition ends.

const HANGUL = /[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]/;
/** Milliseconds after sending in which a second Enter of the same key press is ignored. */
const REPEATED_ENTER_MS = 80;
/** Safari reports the end of the composition before its Enter, which has keyCode 229. */
const LATE_ENTER_MS = 30;

/** During composition Chrome on Windows reports the key as "Process"; `code` identifies it. */
function isEnter({ key, keyCode, code }) {
  if (key === "Enter" || keyCode === 13) return true;
  const isTaken = key === "Process" || keyCode === 229;
  return isTaken && (code === "Enter" || code === "NumpadEnter");
}

/**
 * Handlers for a text field. `submit` is called once per Enter with the field's text and returns
 * false if it did not send it; `sendsOnEnter` says whether Enter sends at all (not on phones).
 */
export function createEnterHandlers(submit, sendsOnEnter = () => true) {
  let composing = false;
  let composed = "";
  let pending = false;
  let timer = 0;
  let sentAt = -Infinity;

  const send = (field) => {
    clearTimeout(timer);
    pending = false;
    timer = setTimeout(() => {
      if (submit(field.value) !== false) sentAt = performance.now();
    });
  };

  return {
    onCompositionStart() {
      clearTimeout(timer);
      composing = true;
      composed = "";
    },
    onCompositionUpdate(event) {
      composed = event.data || composed;
    },
    onCompositionEnd(event) {
      composing = false;
      // an Enter that selects a Hanja or Japanese candidate does not send
      if (pending && HANGUL.test(event.data || composed)) send(event.currentTarget);
      pending = false;
    },
    onKeyDown(event) {
      if (!isEnter(event)) {
        if (event.keyCode !== 229) pending = false;
        return;
      }
      if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey || !sendsOnEnter()) return;
      if (composing || event.isComposing) {
        pending = true;
        return;
      }
      event.preventDefault();
      if (event.repeat || performance.now() - sentAt < REPEATED_ENTER_MS) return;
      if (event.keyCode === 229) {
        const field = event.currentTarget;
        clearTimeout(timer);
        timer = setTimeout(() => !composing && send(field), LATE_ENTER_MS);
        return;
      }
      send(event.currentTarget);
    },
    onBeforeInput(event) {
      const isBreak = event.inputType === "insertLineBreak" || event.inputType === "insertParagraph";
      if (isBreak && performance.now() - sentAt < REPEATED_ENTER_MS) event.preventDefault();
    },
  };
}
