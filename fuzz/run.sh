#!/usr/bin/env bash
# Fuzzes each target for a time, or those that are named: fuzz/run.sh SECONDS [TARGET...]
#
# libFuzzer by a stable toolchain: the flags are those of `cargo fuzz --sanitizer none`. Needs a C++ compiler and Python.
# What fails lies in fuzz/artifacts; the last lines say how many inputs were tried. With KEEP=1, what reaches new code is
# kept in fuzz/corpus, where `make test` finds it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=../target/fuzz
# with --target, what runs at build time is left alone
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cllvm-args=-simplifycfg-branch-fold-threshold=0" \
  "${CARGO:-cargo}" build --release --locked --target "$host" --bins

failed=0
summary=""
for target in "${targets[@]}"; do
  fuzzer=$CARGO_TARGET_DIR/$host/release/$target
  corpus=$CARGO_TARGET_DIR/corpus/$target
  log=$CARGO_TARGET_DIR/$target.log
  mkdir -p "artifacts/$target"
  ./corpus.py unpack "$target" "$corpus"
  echo "$target: $seconds s"
  outcome=passed
  "$fuzzer" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -dict=tokens.dict \
    -artifact_prefix="artifacts/$target/" "$corpus" >"$log" 2>&1 || { outcome=FAILED; failed=1; tail -n 30 "$log"; }
  tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  summary+=$(printf 'tried: fuzz %-18s %12s inputs, %6s edges covered, %s' "$target" "${tried:-?}" "${covered:-?}" "$outcome")$'\n'
  if [ -n "${KEEP:-}" ]; then
    # the least set of inputs that reaches all that was reached
    least=$(mktemp -d)
    "$fuzzer" -set_cover_merge=1 -use_counters=0 -use_cmp=0 "$least" "$corpus" >>"$log" 2>&1
    ./corpus.py pack "$target" "$least"
    rm -r "$least"
  fi
done
echo
printf '%s' "$summary"
exit $failed
