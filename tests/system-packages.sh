#!/usr/bin/env bash
# Installs the Debian packages that tests use and that are missing; says what is missing when not root.
set -euo pipefail

packages=(
  r-base-core      # the reference for statistics
  r-cran-survival
  dcmtk        # JPEG Lossless encoder, dsrdump
  dicom3tools  # dciodvfy
  chromium     # opens the reports
  postgresql   # the team's study database
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "tests that need these Debian packages are skipped: ${missing[*]}" >&2
  exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
