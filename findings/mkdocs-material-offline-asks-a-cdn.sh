#!/usr/bin/env bash
# mkdocs-material's plugin `offline`, which is there for sites that are opened from a folder, makes every page load a
# script from a public server (https://unpkg.com/iframe-worker/shim): without a network the search, for which the plugin
# is there, does not work, and with one every reader of a page is seen there. The way out is the plugin `privacy`, which
# fetches the script while the site is built, or, with no network at all, `extra.polyfills` with a copy of one's own
# whose name has "iframe-worker" in it, which the second build shows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mkdocs-material==9.8.2 2>/dev/null
export NO_MKDOCS_2_WARNING=1

build() { # a name, more settings
  mkdir -p "$work/$1/docs"
  echo "# Home" >"$work/$1/docs/index.md"
  echo "// a copy" >"$work/$1/docs/iframe-worker.js"
  printf 'site_name: test\ntheme: { name: material, font: false }\nplugins: [search, offline]\n%s\n' "$2" >"$work/$1/mkdocs.yml"
  "$work/venv/bin/mkdocs" build --quiet -f "$work/$1/mkdocs.yml" -d "$work/$1/site" 2>/dev/null
  { grep -o '<script[^>]*src="[^"]*"' "$work/$1/site/index.html" || true; } | grep -o 'src=.*'
}

"$work/venv/bin/pip" list 2>/dev/null | grep -i '^mkdocs'
echo "--- plugins: [search, offline]; the page loads:"
plain=$(build plain "")
echo "$plain"
echo "--- with a copy in extra.polyfills:"
copied=$(build copied "extra: { polyfills: [iframe-worker.js] }")
echo "$copied"

grep -q 'src="https://unpkg.com/iframe-worker/shim"' <<<"$plain" || { echo "changed: the page no longer asks"; exit 1; }
! grep -q 'https://' <<<"$copied" || { echo "changed: a copy is not enough"; exit 1; }
echo "as described"
