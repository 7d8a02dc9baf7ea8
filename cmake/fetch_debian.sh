#!/usr/bin/env bash
# Fetches ONNX Runtime's headers, Highway's sources or QEMU from Debian 13, or clang of this system's
# release, without installing anything. usage: fetch_debian.sh onnxruntime|highway|qemu|clang DIR
set -euo pipefail
name=$1 target=$2
command -v apt-get >/dev/null || { echo "no apt-get here"; exit 1; }

# The mirror this machine already uses: uncommented lines only, the main archive rather than security.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -vE '^ *#|security' |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | tr -d ' ' | head -n 1) || true
[ -n "$mirror" ] || { echo "no Debian mirror in /etc/apt"; exit 1; }
key=/usr/share/keyrings/debian-archive-keyring.gpg

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
cd "$work"
printf 'deb%s [signed-by=%s] %s trixie main\n' '' $key "$mirror" -src $key "$mirror" >sources
options=(-qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Get::List-Cleanup=0
  -o APT::Sandbox::User=root)
# clang's libraries are those of the system that runs it.
[ "$name" = clang ] || options+=(-o "Dir::Etc::sourcelist=$work/sources" -o Dir::Etc::sourceparts=/dev/null)
apt-get "${options[@]}" update

mkdir -p unpacked
case $name in
onnxruntime)
  apt-get "${options[@]}" download libonnxruntime-dev
  dpkg -x libonnxruntime-dev_*.deb unpacked
  ;;
highway)
  apt-get "${options[@]}" source --download-only highway
  tar xf highway_*.orig.tar.* -C unpacked
  ;;
qemu) # runs the C++ tests of another processor
  apt-get "${options[@]}" download qemu-user
  dpkg -x qemu-user_*.deb unpacked
  ;;
clang) # with libFuzzer, and what the system lacks of what it needs
  apt-get "${options[@]}" install --yes --download-only --no-install-recommends clang-19 libclang-rt-19-dev
  for package in cache/archives/*.deb; do dpkg -x "$package" unpacked; done
  ;;
*)
  echo "unknown: $name"
  exit 1
  ;;
esac
mkdir -p "$target"
rm -rf "${target:?}/$name"
mv unpacked "$target/$name"
