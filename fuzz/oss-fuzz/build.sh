#!/bin/bash -eu
# Builds all fuzz targets for OSS-Fuzz or ClusterFuzzLite, with what they begin with, into $OUT.

cd "$SRC/binderdrill/fuzz"
case "${SANITIZER:-address}" in
  coverage) sanitizer=none ;;
  *) sanitizer=$SANITIZER ;;
esac
[ "${FUZZING_ENGINE:-libfuzzer}" = libfuzzer ] || { echo "there is no build for $FUZZING_ENGINE" >&2; exit 1; }

cargo fuzz build --release --sanitizer "$sanitizer"

cp dictionaries/script.dict "$OUT/"
for source in fuzz_targets/*.rs; do
  target=$(basename "$source" .rs)
  cp "target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
  cp "options/$target.options" "$OUT/"
  # A target writes its seeds itself into the corpus that it is given.
  seeds=$(mktemp -d)
  "$OUT/$target" -runs=0 "$seeds"
  (cd "$seeds" && zip -q -r "$OUT/${target}_seed_corpus.zip" .)
  rm -r "$seeds"
done
