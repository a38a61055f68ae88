#!/bin/bash
# Builds the libFuzzer targets (tests/*/fuzz/fuzz_*.cpp) with clang and runs each for a while: tests/fuzz.sh [SECONDS]
# [TARGET…]; 60 seconds and every target when nothing else is said. The target "few" is what `make test` has time for
# (all of them with COHORT_TEST_ALL=1). A finding ends it with exit code 1 and leaves its input in build-fuzz/found; what
# reached new code is kept in build-fuzz/corpus for the next time. JOBS compiles at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift $(($# > 0))
command -v clang++ >/dev/null || {
  echo "fuzz: there is no clang++, which builds the fuzz targets: apt-get install clang" >&2
  exit 3
}
echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
  clang++ -x c++ - -fsanitize=fuzzer,address -o /dev/null 2>/dev/null || {
  echo "fuzz: clang++ has no libFuzzer beside it: apt-get install libclang-rt-dev" >&2
  exit 3
}
if [ "${1:-}" = few ]; then
  shift
  [ -n "${COHORT_TEST_ALL:-}" ] || set -- fuzz_files fuzz_template
fi
[ $# -gt 0 ] || set -- $(basename -s .cpp tests/*/fuzz/fuzz_*.cpp)
build=build-fuzz
[ -e "$build/build.ninja" ] ||
  cmake -G Ninja -B "$build" -DCOHORT_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ >&2
ninja -C "$build" -j"${JOBS:-2}" "$@" >&2

mkdir -p "$build/found"
for name; do
  corpus=$build/corpus/$name
  mkdir -p "$corpus"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2500 -max_len=2000 -print_final_stats=1
    -artifact_prefix="$build/found/$name-")
  for dictionary in tests/*/fuzz/"$name".dict; do
    [ ! -e "$dictionary" ] || options+=(-dict="$dictionary")
  done
  log=$build/$name.log
  if ! "$build/$name" "${options[@]}" "$corpus" >"$log" 2>&1; then
    tail -40 "$log" >&2
    echo "fuzz: $name found something; its input is in $build/found" >&2
    exit 1
  fi
  echo "$name: $(sed -n 's/^stat::number_of_executed_units: //p' "$log") inputs in $seconds s, nothing found"
done
