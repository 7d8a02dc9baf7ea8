#!/usr/bin/env bash
# Fetches what is needed of Debian, without installing anything. For the build: onnxruntime (headers), highway
# (sources). For tests: clang; what other machines' programs run in: qemu, aarch64 (Python and its libraries), wine,
# glibc-2.31.
# usage: fetch_debian.sh NAME DIR
set -euo pipefail
name=$1 target=$2
command -v apt-get >/dev/null || { echo "no apt-get here"; exit 1; }

release=trixie architecture=$(dpkg --print-architecture)
case $name in
aarch64) architecture=arm64 ;;
wine) release=$(. /etc/os-release && echo "$VERSION_CODENAME") ;; # it loads libraries of this system
glibc-2.31) release=bullseye ;;
esac

# The mirror this machine already uses: uncommented lines only, the main archive rather than security.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -vE '^ *#|security' |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | tr -d ' ' | head -n 1) || true
[ -n "$mirror" ] || { echo "no Debian mirror in /etc/apt"; exit 1; }
key=/usr/share/keyrings/debian-archive-keyring.gpg

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
touch "$work/status" # nothing is installed: dependencies come along
cd "$work"
printf 'deb%s [signed-by=%s] %s %s main\n' '' $key "$mirror" "$release" -src $key "$mirror" "$release" >sources
options=(-qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Get::List-Cleanup=0
  -o APT::Sandbox::User=root -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture")
# clang's libraries are those of the system that runs it.
[ "$name" = clang ] || options+=(-o "Dir::Etc::sourcelist=$work/sources" -o Dir::Etc::sourceparts=/dev/null)
apt-get "${options[@]}" update

mkdir -p unpacked
package() {
  apt-get "${options[@]}" download "$1"
  dpkg -x "$1"_*.deb unpacked
}
packages_with_dependencies() {
  apt-get "${options[@]}" -o "Dir::State::status=$work/status" --download-only --no-install-recommends -y install "$@"
  for file in cache/archives/*.deb; do dpkg -x "$file" unpacked; done
}
case $name in
onnxruntime) package libonnxruntime-dev ;;
highway)
  apt-get "${options[@]}" source --download-only highway
  tar xf highway_*.orig.tar.* -C unpacked
  ;;
qemu) package qemu-user ;;
clang) # with libFuzzer, and what the system lacks of what it needs
  apt-get "${options[@]}" install --yes --download-only --no-install-recommends clang-19 libclang-rt-19-dev
  for package in cache/archives/*.deb; do dpkg -x "$package" unpacked; done
  ;;
aarch64)
  packages_with_dependencies python3 libstdc++6
  [ -e unpacked/lib ] || ln -s usr/lib unpacked/lib # where programs look for their loader
  ;;
wine) packages_with_dependencies wine64 libz-mingw-w64 ;;
glibc-2.31) packages_with_dependencies libc6 libstdc++6 ;;
*)
  echo "unknown: $name"
  exit 1
  ;;
esac
mkdir -p "$target"
rm -rf "${target:?}/$name"
mv unpacked "$target/$name"
