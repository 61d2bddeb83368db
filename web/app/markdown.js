// Markdown as elements. Each token of the lexer becomes a node and no text is parsed as HTML, so
// nothing needs sanitizing: what a model writes is text or one of the elements below.
import { Marked } from "../vendor/marked.js";
import { CodeBlock } from "./code-block.js";
import { Fragment, h, html } from "./html.js";

/** Longest emphasis, in characters; bounds the search for its closing mark. */
const EMPHASIS_REACH = 5_000;
/** Quotations and lists nested deeper than this are shown as they were written. */
const MAX_DEPTH = 24;
const WORD = /[\p{L}\p{N}]/u;
const ASCII_WORD = /[A-Za-z0-9]/;
const IDENTIFIER = /^[a-z0-9_]+$/;

/**
 * Emphasis as Korean is written: a particle may follow the closing mark at once ("**중요**합니다",
 * "*(웃으며)*그래"), and signs stay signs ("2*3=6", "가로*세로*높이", "2**3", "__init__").
 *
 * before  the character in front of `source`; masked: `source` with code and links blanked out
 */
function readEmphasis(source, masked, before) {
  const run = /^(\*{1,3}|_{1,3})(?![\s*_])/.exec(source)?.[1];
  if (!run) return undefined;
  const mark = run[0];
  const isOpening = (length) => {
    if (mark === "_" || length === 1) return !WORD.test(before);
    return !(ASCII_WORD.test(before) && ASCII_WORD.test(source[run.length]));
  };
  for (const length of new Set([run.length, run.length === 3 ? 1 : run.length])) {
    if (!isOpening(length)) continue;
    const end = findClosing(source, masked, mark, length);
    if (end < 0) continue;
    const inside = source.slice(length, end);
    if (mark === "_" && length === 2 && IDENTIFIER.test(inside)) continue;
    return { length, inside, raw: source.slice(0, end + length) };
  }
  return undefined;
}

/** Where the run of `length` marks that closes the one at the start of `source` begins, or -1. */
function findClosing(source, masked, mark, length) {
  const runs = mark === "*" ? /\*+/g : /_+/g;
  runs.lastIndex = length;
  for (let found = runs.exec(masked); found; found = runs.exec(masked)) {
    if (found.index > EMPHASIS_REACH) return -1;
    const size = found[0].length;
    const after = source[found.index + size] ?? "";
    // three in a row close both an inner and an outer emphasis
    if (size !== length && !(size === 3 && length < 3)) continue;
    if (/\s/.test(source[found.index - 1])) continue;
    if ((length === 1 || mark === "_") && ASCII_WORD.test(after)) continue;
    const end = found.index + size - length;
    if (end > length) return end;
  }
  return -1;
}

/** A URL or e-mail address within a sentence: it ends before Hangul and closing punctuation. */
const BARE_ADDRESS =
  /^(?:(?:https?:\/\/|www\.)[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)/i;

function readAddress(source) {
  let raw = BARE_ADDRESS.exec(source)?.[0];
  if (!raw) return undefined;
  for (;;) {
    const last = raw.at(-1);
    const unbalanced =
      (last === ")" && raw.split(")").length > raw.split("(").length) ||
      (last === "]" && raw.split("]").length > raw.split("[").length);
    if (!unbalanced && !/[.,;:!?'*_~]/.test(last)) break;
    raw = raw.slice(0, -1);
  }
  if (/^(?:https?:\/\/|www\.)$/i.test(raw) || /^(?:https?:\/\/)?www$/i.test(raw)) return undefined;
  const href = /^https?:/i.test(raw) ? raw : /^www\./i.test(raw) ? `https://${raw}` : `mailto:${raw}`;
  return { type: "link", raw, text: raw, href, tokens: [{ type: "text", raw, text: raw }] };
}

/** A rule for text shown as written: mathematics and footnotes. */
function createVerbatimRule(name, level, starts, pattern) {
  return {
    name,
    level,
    start: (source) => {
      const at = source.search(starts);
      return at < 0 ? undefined : at;
    },
    tokenizer(source) {
      const raw = pattern.exec(source)?.[0];
      return raw ? { type: "verbatim", raw, text: raw.replace(/\n+$/, "") } : undefined;
    },
  };
}

const MATHS =
  /^(?:\$\$[^$]{1,2000}\$\$|\$(?![\s$])[^$\n]{0,400}?[^\s$\\]\$(?!\d)|\\\((?:[^\\]|\\(?!\)))+\\\)|\\\[(?:[^\\]|\\(?!\]))+\\\])/;
const MATHS_BLOCK = /^(?:\$\$[^$]{1,4000}\$\$|\\\[(?:[^\\]|\\(?!\]))+\\\])[ \t]*(?:\n+|$)/;

const ignore = () => undefined;
const marked = new Marked({ gfm: true, breaks: true });
marked.use({
  extensions: [
    createVerbatimRule("maths", "inline", /\$|\\[([]/, MATHS),
    createVerbatimRule("maths-block", "block", /^(?:\$\$|\\\[)/m, MATHS_BLOCK),
    createVerbatimRule("footnote", "inline", /\[\^/, /^\[\^[^\]\n]{1,60}\](?!\()/),
    createVerbatimRule("footnote-text", "block", /^\[\^/m, /^\[\^[^\]\n]{1,60}\]:[^\n]*(?:\n+|$)/),
  ],
  tokenizer: {
    emStrong(source, masked) {
      const before = masked[masked.length - source.length - 1] ?? "";
      const found = readEmphasis(source, masked.slice(-source.length), before);
      if (!found) return undefined;
      const { length, inside, raw } = found;
      const tokens = this.lexer.inlineTokens(inside);
      if (length === 3) return { type: "em", raw, tokens: [{ type: "strong", raw, tokens }] };
      return { type: length === 1 ? "em" : "strong", raw, tokens };
    },
    // "10~20시" is a range: only two tildes strike through
    del(source) {
      const found = /^~~(?![\s~])((?:[^~\n]|~(?!~))*[^\s~])~~(?!~)/.exec(source);
      if (!found) return undefined;
      return { type: "del", raw: found[0], tokens: this.lexer.inlineTokens(found[1]) };
    },
    url: readAddress,
    // no indented code (speech is often indented) and no underlined headings
    code: ignore,
    lheading: ignore,
    // "2024. 5. 1." is a date
    list: (source) => (/^ {0,3}(?:\d{4,}[.)]|\d+[.)] +\d+[.)])/.test(source) ? undefined : false),
  },
});

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const SAFE_LINK = /^(?:https?:\/\/|mailto:)/i;
const CITATION = /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g;
const QUOTES = /(["“”「」『』])/;
const OPENING_QUOTES = "“「『";
const CLOSING_QUOTES = "”」』";

/**
 * Convert Markdown to elements.
 *
 * live      the text is still being generated: markup left open in its last line is closed
 * roleplay  style *actions* and "speech"
 * cite      returns the element for a source's number, or null if there is no such source
 */
export function renderMarkdown(text, { live = false, roleplay = false, cite = null } = {}) {
  const context = { live, roleplay, cite, depth: 0 };
  return renderBlocks(readBlocks(live ? closeOpenMarkup(text) : text), context);
}

/** The tokens of a text. Nesting that would exhaust the stack is shown as written. */
function readBlocks(text) {
  if (!/^(?:[ \t]{0,8}(?:>|[*+-][ \t])){24}/m.test(text)) {
    try {
      return marked.lexer(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return [{ type: "verbatim", raw: text, text }];
}

/** Close emphasis and code left open in the last line. */
function closeOpenMarkup(text) {
  const fences = text.match(/^\s*(?:```|~~~)/gm)?.length ?? 0;
  if (fences % 2) return text;
  const line = text.slice(text.lastIndexOf("\n") + 1).replace(/`[^`]*`/g, "");
  if (/`[^`]+$/.test(line)) return `${text}\``;
  const stars = line.replace(/^\s*\*\s/, "");
  if (/(?:^|[^*])\*\*[^\s*][^*]*$/.test(stars) && (stars.split("**").length - 1) % 2) {
    return `${text.trimEnd()}**`;
  }
  const single = stars.replaceAll("**", "");
  if (/(?:^|[^\p{L}\p{N}*])\*[^\s*][^*]*$/u.test(single) && (single.split("*").length - 1) % 2) {
    return `${text.trimEnd()}*`;
  }
  return text;
}

function renderBlocks(tokens, outer) {
  const context = { ...outer, depth: outer.depth + 1 };
  const last = tokens.length - 1;
  return tokens.map((token, at) => {
    const shown = context.depth > MAX_DEPTH ? { ...token, type: "verbatim", text: token.raw } : token;
    return renderBlock(shown, context, at === last);
  });
}

function renderBlock(token, context, isLast) {
  switch (token.type) {
    case "space":
      return null;
    case "verbatim":
      return html`<p class="verbatim">${renderCitations(token.text, context)}</p>`;
    case "paragraph":
      return html`<p>${renderInline(token.tokens, { ...context, speech: { open: false } })}</p>`;
    case "text":
      return token.tokens ? renderInline(token.tokens, context) : renderText(token.text, context);
    case "heading":
      return h(`h${Math.min(6, token.depth + 2)}`, null, renderInline(token.tokens, context));
    case "code":
      return html`<${CodeBlock}
        text=${token.text}
        language=${token.lang}
        open=${context.live && isLast}
      />`;
    case "blockquote":
      return html`<blockquote>${renderBlocks(token.tokens, context)}</blockquote>`;
    case "hr":
      return html`<hr />`;
    case "list":
      return h(
        token.ordered ? "ol" : "ul",
        null,
        token.items.map((item, at) =>
          h("li", getItemNumber(token, at), renderListItem(item, context)),
        ),
      );
    case "table":
      return renderTable(token, context);
    default:
      return html`<p class="verbatim">${token.raw.replace(/\n+$/, "")}</p>`;
  }
}

/** The number of a list item, as written; items that all say "1." are counted up. */
function getItemNumber(list, at) {
  const number = (item) => Number(/^\s*(\d{1,9})/.exec(item?.raw ?? "")?.[1] ?? Number.NaN);
  const own = number(list.items[at]);
  return list.ordered && own !== number(list.items[at - 1]) ? { value: own } : null;
}

function renderListItem(item, context) {
  const box = item.task ? (item.checked ? "☑ " : "☐ ") : null;
  return [box, ...renderBlocks(item.tokens.filter((token) => token.type !== "checkbox"), context)];
}

function renderTable(token, context) {
  const cell = (tag) => (one) =>
    h(tag, one.align ? { class: `to-${one.align}` } : null, renderInline(one.tokens, context));
  return html`<div class="table" tabindex="0" role="region">
    <table>
      <thead>
        <tr>${token.header.map(cell("th"))}</tr>
      </thead>
      <tbody>
        ${token.rows.map((row) => html`<tr>${row.map(cell("td"))}</tr>`)}
      </tbody>
    </table>
  </div>`;
}

function renderInline(tokens, context) {
  return (tokens || []).map((token) => {
    switch (token.type) {
      case "text":
      case "escape":
        return token.tokens ? renderInline(token.tokens, context) : renderText(token.text, context);
      case "strong":
        return html`<strong>${renderInline(token.tokens, context)}</strong>`;
      case "em":
        return html`<em class=${context.roleplay && !context.speech?.open ? "action" : null}>
          ${renderInline(token.tokens, context)}
        </em>`;
      case "del":
        return html`<del>${renderInline(token.tokens, context)}</del>`;
      case "checkbox":
        return null;
      case "codespan":
        return html`<code>${token.text}</code>`;
      case "br":
        return html`<br />`;
      case "html":
        return /^<br\s*\/?>$/i.test(token.raw) ? html`<br />` : token.raw;
      case "link":
      case "image":
        return renderLink(token, context);
      default:
        return token.raw;
    }
  });
}

/** Pictures become links: an answer must not make the browser load anything. */
function renderLink(token, context) {
  const label = token.type === "image" ? token.text || token.href : null;
  const inside = label ?? renderInline(token.tokens, context);
  if (!SAFE_LINK.test(token.href)) return h(Fragment, null, inside);
  return html`<a href=${token.href} target="_blank" rel="noopener noreferrer nofollow">
    ${inside}
  </a>`;
}

function renderText(text, context) {
  const plain = text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));/gi, decodeEntity);
  return context.roleplay && context.speech ? renderSpeech(plain, context.speech) : renderCitations(plain, context);
}

/** Style quoted speech, including its marks. A quotation may span several pieces of a paragraph.
 * Straight marks become typographic ones. */
function renderSpeech(text, speech) {
  const parts = [];
  let run = "";
  const flush = () => {
    if (run) parts.push(speech.open ? html`<span class="speech">${run}</span>` : run);
    run = "";
  };
  for (const piece of text.split(QUOTES)) {
    const opens = OPENING_QUOTES.includes(piece) || (piece === '"' && !speech.open);
    const closes = CLOSING_QUOTES.includes(piece) || (piece === '"' && speech.open);
    if (piece && QUOTES.test(piece) && piece.length === 1 && (opens || closes)) {
      if (opens && !speech.open) {
        flush();
        speech.open = true;
        run = piece === '"' ? "“" : piece;
      } else if (closes && speech.open) {
        run += piece === '"' ? "”" : piece;
        flush();
        speech.open = false;
      } else {
        run += piece;
      }
    } else {
      run += piece;
    }
  }
  flush();
  return parts;
}

function renderCitations(text, { cite }) {
  if (!cite) return text;
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(CITATION)) {
    const marks = found[1].split(",").map((number) => cite(Number(number)));
    if (marks.some((mark) => mark === null)) continue;
    parts.push(text.slice(from, found.index), ...marks);
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

function decodeEntity(whole, decimal, hexadecimal, name) {
  if (name) return ENTITIES[name.toLowerCase()] ?? whole;
  const code = decimal ? Number(decimal) : Number.parseInt(hexadecimal, 16);
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
}
