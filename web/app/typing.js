// Enter, the way Korean is typed.
//
// While a syllable is being composed, Enter belongs to the input method first: its keydown says
// isComposing (or keyCode 229) and the syllable is only in the field when the composition has
// ended. Sending on that keydown cuts the syllable or sends it twice; ignoring it makes people
// press Enter again, as Hangul has no candidate window to confirm. So Enter is kept in mind and
// sends once, right after the composition's end.

const HANGUL = /[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]/;
/** How long after such a sending a late Enter of the same key press is swallowed. */
const ECHO_MS = 80;
/** Safari tells of the composition's end first and of its Enter, with keyCode 229, afterwards. */
const LATE_MS = 30;

/** While an input method has the key, Chrome on Windows calls it Process: its place tells. */
function isEnter({ key, keyCode, code }) {
  if (key === "Enter" || keyCode === 13) return true;
  const isTaken = key === "Process" || keyCode === 229;
  return isTaken && (code === "Enter" || code === "NumpadEnter");
}

/**
 * Handlers for a text field. `submit` is called with the field's text exactly once for an Enter
 * and returns false where it held the text back; `entersSend` tells whether a bare Enter sends at
 * all (on a phone it makes a line).
 */
export function enterHandlers(submit, entersSend = () => true) {
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
      // an Enter that chose a Hanja or a Japanese candidate is not meant to send
      if (pending && HANGUL.test(event.data || composed)) send(event.currentTarget);
      pending = false;
    },
    onKeyDown(event) {
      if (!isEnter(event)) {
        if (event.keyCode !== 229) pending = false;
        return;
      }
      if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey || !entersSend()) return;
      if (composing || event.isComposing) {
        pending = true;
        return;
      }
      event.preventDefault();
      if (event.repeat || performance.now() - sentAt < ECHO_MS) return;
      if (event.keyCode === 229) {
        const field = event.currentTarget;
        clearTimeout(timer);
        timer = setTimeout(() => !composing && send(field), LATE_MS);
        return;
      }
      send(event.currentTarget);
    },
    onBeforeInput(event) {
      const isBreak = event.inputType === "insertLineBreak" || event.inputType === "insertParagraph";
      if (isBreak && performance.now() - sentAt < ECHO_MS) event.preventDefault();
    },
  };
}
