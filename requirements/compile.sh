#!/usr/bin/env bash
# Regenerate the lock files base.txt, dev.txt, docs.txt, omnisafe.txt and cuda.txt from the .in
# files.
#
# Usage: requirements/compile.sh [--upgrade]        (needs uv; UV=/path/to/uv selects one)
#
# Without --upgrade the versions in the present lock files are kept wherever they still fit. A lock
# file holds plain `name==version` lines and nothing else; all but base hold only what base does not
# have already. Installing is always done with --no-deps, because upstream pins
# contradict one another (see overrides.txt).
set -euo pipefail
cd "$(dirname "$0")"
uv=${UV:-uv}
command -v "$uv" >/dev/null || {
    echo "compile.sh: uv not found; install it with 'pip install uv' or set UV=/path/to/uv" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

resolve() { # resolve INPUT KEPT_LOCK: all pins that INPUT needs, sorted, one per line
    local kept="$work/kept.txt"
    cp "$2" "$kept" 2>/dev/null || : >"$kept"
    "$uv" pip compile --quiet --python-version 3.11 \
        --override overrides.txt --constraint "$work/constraints.txt" \
        --no-header --no-annotate --no-emit-index-url "${upgrade[@]}" \
        --output-file "$kept" "$1" >/dev/null
    grep -Eo '^[A-Za-z0-9._-]+==[^ ;]+' "$kept" | LC_ALL=C sort -u
}

upgrade=()
[ "${1:-}" != "--upgrade" ] || upgrade=(--upgrade)

: >"$work/constraints.txt"
resolve base.in base.txt >"$work/base.txt"
cp "$work/base.txt" "$work/constraints.txt"
for name in dev docs omnisafe cuda; do
    # torch from a CPU build needs none of its CUDA packages, and pip adds them where a CUDA build
    # is installed.
    drop='^$'
    [ "$name" != omnisafe ] || drop='^(nvidia-|cuda-|triton==)'
    resolve "$name.in" "$name.txt" >"$work/all.txt"
    LC_ALL=C comm -23 "$work/all.txt" "$work/base.txt" | grep -Ev "$drop" >"$work/$name.txt" ||
        { echo "compile.sh: $name.in adds nothing to base.txt" >&2; exit 1; }
done
for name in base dev docs omnisafe cuda; do
    cp "$work/$name.txt" "$name.txt"
    echo "$name.txt: $(wc -l <"$name.txt") pins"
done
