// Markdown as elements. The lexer's tokens become nodes one by one and no text is ever parsed as
// HTML, so there is nothing to sanitise: what a model writes can only be text, or one of the
// elements below.
import { Marked } from "../vendor/marked.js";
import { CodeBlock } from "./code.js";
import { Fragment, h, html } from "./html.js";

/** Emphasis the way Korean is written: a particle may follow the closing mark at once, where the
 * common rule wants a space ("**중요**합니다", "*(웃으며)*그래"). */
function emphasis(name, mark) {
  const stars = "\\*".repeat(mark.length);
  const pattern = new RegExp(`^${stars}(?![\\s*])([^*\\n]*[^\\s*])${stars}(?!\\*)`);
  return {
    name,
    level: "inline",
    start: (source) => {
      const at = source.indexOf(mark);
      return at < 0 ? undefined : at;
    },
    tokenizer(source) {
      const found = pattern.exec(source);
      if (!found) return undefined;
      return { type: name, raw: found[0], tokens: this.lexer.inlineTokens(found[1]) };
    },
  };
}

const marked = new Marked({ gfm: true, breaks: true });
marked.use({ extensions: [emphasis("em", "*"), emphasis("strong", "**")] });

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const SAFE_LINK = /^(?:https?:\/\/|mailto:)/i;
const CITATION = /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g;
const QUOTES = /(["“”「」『』])/;
const OPENS = "“「『";
const CLOSES = "”」』";

/**
 * The elements of a text.
 *
 * live      the text is still being written: what is open in its last line is closed for now
 * roleplay  *actions* and "speech" are set apart
 * cite      makes the element of a source's number, or null where there is none
 */
export function prose(text, { live = false, roleplay = false, cite = null } = {}) {
  const context = { live, roleplay, cite, links: {} };
  const tokens = marked.lexer(live ? closed(text) : text);
  return blocks(tokens, context);
}

/** Close the emphasis and code that the last line has opened. */
function closed(text) {
  const fences = text.match(/^\s*(?:```|~~~)/gm)?.length ?? 0;
  if (fences % 2) return text;
  const line = text.slice(text.lastIndexOf("\n") + 1).replace(/`[^`]*`/g, "");
  if (/`[^`]+$/.test(line)) return `${text}\``;
  const stars = line.replace(/^\s*\*\s/, "");
  if (/(?:^|[^*])\*\*[^\s*][^*]*$/.test(stars) && (stars.split("**").length - 1) % 2) {
    return `${text.trimEnd()}**`;
  }
  const single = stars.replaceAll("**", "");
  if (/\*[^\s*][^*]*$/.test(single) && (single.split("*").length - 1) % 2) {
    return `${text.trimEnd()}*`;
  }
  return text;
}

function blocks(tokens, context) {
  return tokens.map((token, at) => block(token, context, at === tokens.length - 1));
}

function block(token, context, isLast) {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "paragraph":
      return html`<p>${inline(token.tokens, { ...context, speech: { open: false } })}</p>`;
    case "text":
      return token.tokens ? inline(token.tokens, context) : words(token.text, context);
    case "heading":
      return h(`h${Math.min(6, token.depth + 2)}`, null, inline(token.tokens, context));
    case "code":
      return html`<${CodeBlock}
        text=${token.text}
        language=${token.lang}
        open=${context.live && isLast}
      />`;
    case "blockquote":
      return html`<blockquote>${blocks(token.tokens, context)}</blockquote>`;
    case "hr":
      return html`<hr />`;
    case "list":
      return h(
        token.ordered ? "ol" : "ul",
        token.ordered && token.start !== 1 ? { start: Number(token.start) || 1 } : null,
        token.items.map((item) => html`<li>${listItem(item, context)}</li>`),
      );
    case "table":
      return table(token, context);
    default:
      return html`<p>${token.raw}</p>`;
  }
}

function listItem(item, context) {
  const box = item.task ? (item.checked ? "☑ " : "☐ ") : null;
  return [box, ...blocks(item.tokens.filter((token) => token.type !== "checkbox"), context)];
}

function table(token, context) {
  const cell = (tag) => (one) =>
    h(tag, one.align ? { class: `to-${one.align}` } : null, inline(one.tokens, context));
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

function inline(tokens, context) {
  return (tokens || []).map((token) => {
    switch (token.type) {
      case "text":
      case "escape":
        return token.tokens ? inline(token.tokens, context) : words(token.text, context);
      case "strong":
        return html`<strong>${inline(token.tokens, context)}</strong>`;
      case "em":
        return html`<em class=${context.roleplay && !context.speech?.open ? "action" : null}>
          ${inline(token.tokens, context)}
        </em>`;
      case "del":
        return html`<del>${inline(token.tokens, context)}</del>`;
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
        return link(token, context);
      default:
        return token.raw;
    }
  });
}

/** A picture is a link too: nothing is loaded from elsewhere because a model says so. */
function link(token, context) {
  const label = token.type === "image" ? token.text || token.href : null;
  const inside = label ?? inline(token.tokens, context);
  if (!SAFE_LINK.test(token.href)) return h(Fragment, null, inside);
  return html`<a href=${token.href} target="_blank" rel="noopener noreferrer nofollow">
    ${inside}
  </a>`;
}

function words(text, context) {
  const plain = text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));/gi, decoded);
  return context.roleplay && context.speech ? spoken(plain, context.speech) : cited(plain, context);
}

/** Set speech apart, quotation marks included. What one piece of a paragraph opens, a later one
 * may close. Straight marks become the typographic ones. */
function spoken(text, speech) {
  const parts = [];
  let run = "";
  const flush = () => {
    if (run) parts.push(speech.open ? html`<span class="speech">${run}</span>` : run);
    run = "";
  };
  for (const piece of text.split(QUOTES)) {
    const opens = OPENS.includes(piece) || (piece === '"' && !speech.open);
    const closes = CLOSES.includes(piece) || (piece === '"' && speech.open);
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

function cited(text, { cite }) {
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

function decoded(whole, decimal, hexadecimal, name) {
  if (name) return ENTITIES[name.toLowerCase()] ?? whole;
  const code = decimal ? Number(decimal) : Number.parseInt(hexadecimal, 16);
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
}
