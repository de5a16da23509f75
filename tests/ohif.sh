#!/usr/bin/env bash
# Fetches OHIF, the viewer that tests show results in, from npm into build/: this version, these bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

version=3.13.2
integrity=sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==
target=build/ohif-$version

if [ -d "$target" ]; then
  exit 0
fi
mkdir -p build
scratch=$(mktemp -d build/.ohif.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
if ! command -v npm >/dev/null ||
  ! npm pack --silent --fetch-retries 5 --pack-destination "$scratch" "@ohif/app@$version" >/dev/null; then
  echo "OHIF could not be fetched by npm: its test is skipped" >&2
  exit 0
fi
found=sha512-$(openssl dgst -sha512 -binary "$scratch"/*.tgz | base64 -w0)
if [ "$found" != "$integrity" ]; then
  echo "npm sent another OHIF $version than is locked in $0: $found" >&2
  exit 1
fi
tar xzf "$scratch"/*.tgz -C "$scratch" --exclude='*.map' package/dist
mv "$scratch/package/dist" "$target"
