// Prints, as HTML, what the chat page makes of Markdown: a JSON object a line in, a JSON string a line out.
import { createInterface } from "node:readline";

const store = new Map();
globalThis.localStorage = { getItem: (key) => store.get(key) ?? null, setItem: () => {} };
globalThis.document = { documentElement: { lang: "ko" }, addEventListener: () => {} };
globalThis.window = globalThis;
globalThis.addEventListener = () => {};
globalThis.matchMedia = () => ({ matches: false, addEventListener: () => {} });
globalThis.location = new URL("http://localhost:8001/chat/");
const { renderMarkdown } = await import(process.argv[2]);

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function write(node) {
  if (node === null || node === undefined || typeof node === "boolean") return "";
  if (Array.isArray(node)) return node.map(write).join("");
  if (typeof node !== "object") return escape(node);
  const { children, ...attributes } = node.props;
  if (typeof node.type === "function") {
    if (node.type.name !== "CodeBlock") return write(children);
    return `<pre data-language="${escape(attributes.language ?? "")}">${escape(attributes.text)}</pre>`;
  }
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => ` ${name}="${escape(value)}"`);
  return `<${node.type}${written.join("")}>${write(children)}</${node.type}>`;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { text, ...options } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(write(renderMarkdown(text, options)))}\n`);
}
