// Korean particles after a name: 을/를, 이/가 and their kin, by how the name's last sound ends.
const PAIRS = { "을(를)": ["을", "를"], "이(가)": ["이", "가"], "은(는)": ["은", "는"], "와(과)": ["과", "와"] };
/** 영 일 이 삼 사 오 육 칠 팔 구 */
const CLOSED_DIGITS = "013678";
/** Latin words that end so are mostly read with a final consonant. */
const CLOSED_WORD = /([lmn]|[lmn]e|ng|ck|[aeiou][pkt])$/i;

/** Whether a word ends in a consonant; null where nobody could tell. */
function isClosed(word) {
  const text = word.normalize("NFC").replace(/[^\p{L}\p{N}]+$/u, "");
  const last = text.at(-1) || "";
  if (last >= "가" && last <= "힣") return (last.codePointAt(0) - 0xac00) % 28 > 0;
  if (/[0-9]/.test(last)) return CLOSED_DIGITS.includes(last);
  return /[a-z]/i.test(last) ? CLOSED_WORD.test(text) : null;
}

export const MARKED = Object.keys(PAIRS).map((form) => form.replace(/[()]/g, "\\$&")).join("|");

/** The form that a marked particle, "을(를)", takes after `word`; itself where that is unknown. */
export function particle(word, marked) {
  const closed = isClosed(word);
  return closed === null ? marked : PAIRS[marked][closed ? 0 : 1];
}
