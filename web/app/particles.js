// Korean particles (을/를, 이/가 …) chosen by the last sound of the word before them.
const PAIRS = { "을(를)": ["을", "를"], "이(가)": ["이", "가"], "은(는)": ["은", "는"], "와(과)": ["과", "와"] };
/** 영 일 이 삼 사 오 육 칠 팔 구 */
const CONSONANT_DIGITS = "013678";
/** Latin endings that are mostly read with a final consonant. */
const CONSONANT_ENDING = /([lmn]|[lmn]e|ng|ck|[aeiou][pkt])$/i;

/** Whether a word ends in a consonant; null if unknown. */
function endsInConsonant(word) {
  const text = word.normalize("NFC").replace(/[^\p{L}\p{N}]+$/u, "");
  const last = text.at(-1) || "";
  if (last >= "가" && last <= "힣") return (last.codePointAt(0) - 0xac00) % 28 > 0;
  if (/[0-9]/.test(last)) return CONSONANT_DIGITS.includes(last);
  return /[a-z]/i.test(last) ? CONSONANT_ENDING.test(text) : null;
}

export const PARTICLE_PATTERN = Object.keys(PAIRS).map((form) => form.replace(/[()]/g, "\\$&")).join("|");

/** The form of a particle such as "을(를)" after `word`; unchanged if its sound is unknown. */
export function chooseParticle(word, marked) {
  const closed = endsInConsonant(word);
  return closed === null ? marked : PAIRS[marked][closed ? 0 : 1];
}
