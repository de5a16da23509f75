#!/usr/bin/env bash
# Installs the Debian packages that tests use and that are missing; says what is missing when not root.
set -euo pipefail

packages=(
  r-base-core      # the reference for statistics
  r-cran-survival
  r-cran-psych  # the reference for agreement: ICC, kappa
  r-cran-vcd    # kappa with its interval
  dcmtk        # JPEG Lossless encoder, dsrdump
  dicom3tools  # dciodvfy
  libpixelmed-java default-jre-headless  # DicomSRValidator
  orthanc orthanc-dicomweb  # the archive that tests speak to
  iproute2 util-linux openssl  # ... in a network of its own, with and without TLS
  openjph-tools  # HTJ2K encoder
  chromium     # opens the reports
  postgresql   # the team's study database
  xvfb xauth   # a screen for the windows of the viewer
  libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libdbus-1-3 libfontconfig1  # Qt and OpenGL
  libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xkb1
)
command -v npm >/dev/null || packages+=(npm)  # fetches OHIF, the viewer that results are shown in

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
apt-get -o Acquire::Retries=5 update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 install -y -qq --no-install-recommends "${missing[@]}"
