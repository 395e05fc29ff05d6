# shellcheck shell=sh disable=SC2034,SC2154 # names that come from there and go there
# What validate and measure begin with, in the folder $here: bin, kernelcheck and commit, of the packed programs or of
# the source tree's. Without a usable GPU it ends them with 3.
if [ -d "$here/lib/beside" ]; then
  bin=$here/bin
  kernelcheck=$bin/zhiheng-kernelcheck
  LD_LIBRARY_PATH=$here/lib/beside${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LD_LIBRARY_PATH
  commit=$(cat "$here/COMMIT")
else
  build=${ZH_BINARY_DIR:-$here/../../build-gpu}
  bin=$build/bin
  kernelcheck=$build/tests/zhiheng-kernelcheck
  commit=$(git -C "$here" describe --always --dirty --abbrev=10 2>/dev/null || echo unknown)
fi

usable() { "$bin/zhiheng" doctor --json 2>/dev/null | grep -q '"usable": *true'; }

if ! usable; then
  "$bin/zhiheng" doctor | grep -A 4 GPU >&2
  exit 3
fi
