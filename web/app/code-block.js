// Code in answers, highlighted once complete; grammars are loaded on demand.
import { t } from "../messages.js";
import { html, useEffect, useState } from "./html.js";
import { Icon } from "./icons.js";
import { toast } from "./store.js";

const ALIASES = {
  js: "javascript", jsx: "javascript", mjs: "javascript", node: "javascript", ts: "typescript",
  tsx: "typescript", py: "python", python3: "python", sh: "bash", zsh: "bash", shell: "bash",
  html: "xml", vue: "xml", svg: "xml", yml: "yaml", "c++": "cpp", h: "c", hpp: "cpp", cs: "csharp",
  "c#": "csharp", kt: "kotlin", rb: "ruby", rs: "rust", ps1: "powershell", md: "markdown",
  docker: "dockerfile", toml: "ini", jsonc: "json", console: "bash", golang: "go",
};
const KNOWN = new Set(
  ("bash c cpp csharp css diff dockerfile go ini java javascript json kotlin markdown nginx php " +
    "powershell python r ruby rust sql swift typescript xml yaml").split(" "),
);
/** Longer code is not highlighted, as that would block the page. */
const MAX_CHARS = 20_000;

let engine = null;
const languages = new Map();

async function loadHighlighter(language) {
  engine ??= import("../vendor/highlight/core.js").then((module) => module.default);
  const core = await engine;
  if (!languages.has(language)) {
    const grammar = import(`../vendor/highlight/languages/${language}.js`);
    languages.set(language, grammar.then((found) => core.registerLanguage(language, found.default)));
  }
  await languages.get(language);
  return core;
}

function renderNodes(children) {
  return children.map((child) =>
    typeof child === "string"
      ? child
      : html`<span class=${`hl-${String(child.scope || "").split(".")[0]}`}>
          ${renderNodes(child.children)}
        </span>`,
  );
}

/** A block of code. `open` means that it is still being generated. */
export function CodeBlock({ text, language, open }) {
  const [painted, paint] = useState(null);
  const name = (language || "").toLowerCase().split(/[\s,{:]/)[0];
  const known = ALIASES[name] || name;
  useEffect(() => {
    if (open || !KNOWN.has(known) || text.length > MAX_CHARS) return;
    let gone = false;
    loadHighlighter(known)
      .then((core) => {
        const found = core.highlight(text, { language: known, ignoreIllegals: true });
        if (!gone) paint({ text, tree: found._emitter.rootNode.children });
      })
      .catch(() => {});
    return () => {
      gone = true;
    };
  }, [text, known, open]);
  const inside = painted?.text === text ? renderNodes(painted.tree) : text;
  return html`<figure class="code">
    <figcaption>
      <span>${name || t("code")}</span>
      <button type="button" class="quiet" onClick=${() => copyText(text)}>
        <${Icon} name="copy" /><span>${t("copy")}</span>
      </button>
    </figcaption>
    <pre tabindex="0"><code>${inside}</code></pre>
  </figure>`;
}

/** Copy text. Insecure origins lack the clipboard API and use a selection. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) return;
  }
  toast(t("copied"));
}
