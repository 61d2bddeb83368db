#!/usr/bin/env bash
# Fetches the web page's libraries from npm at pinned versions into web/vendor/, with licences and
# a list of what is there (vendor.json). Run it to change a version; the files are committed, so
# that nobody needs npm to run the page.
set -euo pipefail
cd "$(dirname "$0")/.."

PREACT=11.2.0
HTM=3.1.1
MARKED=18.2.1
HIGHLIGHT=11.12.0
LANGUAGES="bash c cpp csharp css diff dockerfile go ini java javascript json kotlin markdown nginx
  php powershell python r ruby rust shell sql swift typescript xml yaml"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # name version -> the unpacked package's folder
  local tarball
  tarball=$(cd "$work" && npm pack --silent "$1@$2" 2>/dev/null | tail -1)
  mkdir -p "$work/$1" && tar -xzf "$work/$tarball" -C "$work/$1"
  echo "$work/$1/package"
}

preact=$(fetch preact $PREACT)
htm=$(fetch htm $HTM)
marked=$(fetch marked $MARKED)
highlight=$(fetch @highlightjs/cdn-assets $HIGHLIGHT)

out=web/vendor
rm -rf "$out"
mkdir -p "$out/highlight/languages"
# Browsers know no bare names and nginx no .mjs; source maps stay behind.
take() { sed -E '/^\/\/# sourceMappingURL=/d; s#from"preact"#from"./preact.js"#g' "$1" >"$2"; }
take "$preact/dist/preact.mjs" "$out/preact.js"
take "$preact/hooks/dist/hooks.mjs" "$out/hooks.js"
take "$htm/dist/htm.mjs" "$out/htm.js"
take "$marked/lib/marked.esm.js" "$out/marked.js"
take "$highlight/es/core.min.js" "$out/highlight/core.js"
for language in $LANGUAGES; do
  take "$highlight/es/languages/$language.min.js" "$out/highlight/languages/$language.js"
done
cp "$preact/LICENSE" "$out/LICENSE.preact.txt"
cp "$htm/LICENSE" "$out/LICENSE.htm.txt"
cp "$marked/LICENSE" "$out/LICENSE.marked.txt"
cp "$highlight/LICENSE" "$out/LICENSE.highlight.txt"

python3 - "$out" "$PREACT" "$HTM" "$MARKED" "$HIGHLIGHT" <<'PY'
import hashlib, json, pathlib, sys

out = pathlib.Path(sys.argv[1])
preact, htm, marked, highlight = sys.argv[2:]
packages = [
    {"name": "preact", "version": preact, "license": "MIT", "text": "LICENSE.preact.txt"},
    {"name": "htm", "version": htm, "license": "Apache-2.0", "text": "LICENSE.htm.txt"},
    {"name": "marked", "version": marked, "license": "MIT", "text": "LICENSE.marked.txt"},
    {
        "name": "@highlightjs/cdn-assets",
        "version": highlight,
        "license": "BSD-3-Clause",
        "text": "LICENSE.highlight.txt",
    },
]
files = {
    str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(out.rglob("*"))
    if path.is_file()
}
text = json.dumps({"packages": packages, "sha256": files}, indent=2)
(out / "vendor.json").write_text(text + "\n")
PY
