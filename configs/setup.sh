#!/bin/bash
# Installs what building Cohort takes and this machine lacks: system packages by apt (as root; else it prints the one
# command to run as root and exits 3), and LibTorch into .deps. With nothing to do it takes a moment.
# Tried on Debian 12. Ubuntu 24.04 takes the same way and is untested.
#   configs/setup.sh packages                the system packages alone
#   configs/setup.sh tests                   and what only tests take; what cannot be had is named, its tests are skipped
#   configs/setup.sh pip                     and pip, which fetches LibTorch and models
#   COHORT_TORCH_DIR=DIR configs/setup.sh    uses the LibTorch in DIR (include/ and lib/, 2.9 or newer) and downloads none
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=${1:-all}

fail() {
  echo "setup: $*" >&2
  exit 3
}

# Package, and the command or header whose presence says that it, or something as good, is there.
needed='
g++ g++
cmake cmake
ninja-build ninja
pkg-config pkg-config
binutils ld
git git
nlohmann-json3-dev nlohmann/json.hpp
libcli11-dev CLI/CLI.hpp
libgtest-dev gtest/gtest.h
libboost-dev boost/multiprecision/cpp_int.hpp
libpcre2-dev pcre2.h
libutf8proc-dev utf8proc.h
libseccomp-dev seccomp.h
libyaml-cpp-dev yaml-cpp/yaml.h
python3 python3'
needed_for_pip='
python3-pip pip3
ca-certificates update-ca-certificates'
# Fuzz targets are built by clang; rewards of Java code take a JDK.
needed_for_tests='
clang clang++
libclang-rt-dev libclang_rt.fuzzer-*.a
default-jdk-headless javac'
# These make the build faster and nothing else: installed along with the others, missed by nobody.
welcome='
ccache ccache
mold mold'

present() {
  case $1 in
    *.h | *.hpp) [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ] || [ -e "/usr/include/$(uname -m)-linux-gnu/$1" ] ;;
    *.a) compgen -G "/usr/lib/llvm-*/lib/clang/*/lib/linux/$1" >/dev/null ;;
    *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
  esac
}

# Prints the packages of a list that are absent.
absent() {
  while read -r package probe; do
    [ -z "$package" ] || present "$probe" || printf '%s ' "$package"
  done <<<"$1"
}

may_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

install_packages() {
  local missing
  missing=$(absent "$needed")
  { [ "$wanted" != pip ] && has_libtorch; } || missing+=$(absent "$needed_for_pip")
  if [ "$wanted" = tests ]; then
    missing+=$(absent "$needed_for_tests")
    [ -z "$missing" ] || may_install || { echo "setup: tests that take these are skipped: $missing" >&2 && return 0; }
  fi
  [ -n "$missing" ] || return 0
  missing+=$(absent "$welcome")
  command -v apt-get >/dev/null || fail "missing: $missing(names of Debian packages; install them with this system's package manager)"
  if [ "$(id -u)" != 0 ]; then
    echo "setup: system packages are missing; as root: apt-get update && apt-get install -y --no-install-recommends ${missing% }" >&2
    exit 3
  fi
  echo "setup: installing $missing" >&2
  apt-get update -qq
  # shellcheck disable=SC2086  # a list of words
  DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null ||
    fail "apt-get could not install $missing"
}

# The wheels hold LibTorch; libtorch_cpu.so names the CUDA runtime and CUPTI as its libraries even where no GPU is used.
libtorch='
torch==2.11.0 --hash=sha256:7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8'
stamp=.deps/libtorch-2.11.0.complete

has_libtorch() {
  [ "$wanted" = packages ] || [ "$wanted" = tests ] || [ -n "${COHORT_TORCH_DIR:-}" ] || { [ -e "$stamp" ] && [ -e .deps/torch/lib/libtorch_cpu.so ]; }
}

# Under the lock: downloads beside .deps/torch, then renames, then stamps.
install_libtorch() {
  [ "$(uname -m)" = x86_64 ] || fail "LibTorch is fetched for x86_64 alone, this is $(uname -m): give one with COHORT_TORCH_DIR=DIR"
  echo "setup: downloading LibTorch 2.11.0 (0.5 GB, once) into .deps" >&2
  rm -rf .deps/part.*
  part=$(mktemp -d .deps/part.XXXXXX)
  trap 'rm -rf "$part"' EXIT  # part is global: the trap runs outside this function
  mkdir "$part/tmp"
  echo "$libtorch" >"$part/wheels.txt"
  TMPDIR=$PWD/$part/tmp python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-cache-dir --no-compile --no-deps \
    --only-binary=:all: --python-version 3.11 --require-hashes --target "$part/wheels" -r "$part/wheels.txt" ||
    fail "LibTorch could not be downloaded: see pip's words above, or give one with COHORT_TORCH_DIR=DIR"
  rm -rf .deps/torch .deps/nvidia
  mv "$part/wheels/torch" "$part/wheels/nvidia" .deps/
  touch "$stamp"
}

if [ -n "${COHORT_TORCH_DIR:-}" ] && [ ! -e "$COHORT_TORCH_DIR/lib/libtorch_cpu.so" ]; then
  fail "no LibTorch in COHORT_TORCH_DIR=$COHORT_TORCH_DIR: expected $COHORT_TORCH_DIR/lib/libtorch_cpu.so"
fi
# The version that a LibTorch says it has, as 2.11; nothing for one that says none.
libtorch_version() {
  # In either place, by its age.
  { cat "$1/include/torch/version.h" "$1/include/torch/headeronly/version.h" 2>/dev/null || true; } |
    sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\) \([0-9]*\)$/\2/p' | head -2 | paste -sd.
}
if [ -n "${COHORT_TORCH_DIR:-}" ]; then
  version=$(libtorch_version "$COHORT_TORCH_DIR")
  [ "$(printf '%s\n' 2.9 "$version" | sort -V | head -1)" = 2.9 ] ||
    fail "the LibTorch in COHORT_TORCH_DIR=$COHORT_TORCH_DIR is ${version:-of no known version}, expected 2.9 or newer"
fi
mkdir -p .deps
exec 9>.deps/.lock
flock 9
install_packages
has_libtorch || install_libtorch
