# shellcheck shell=sh disable=SC2034,SC2154 # names that come from there and go there
# What validate and measure begin with, in the folder $here: bin, kernelcheck and commit, of the packed programs or of
# the source tree's; libraries that the node has only as wheels of its Python. Without a usable GPU it ends them with 3.
libraries=${LD_LIBRARY_PATH:-}
if [ -d "$here/lib/beside" ]; then
  bin=$here/bin
  kernelcheck=$bin/zhiheng-kernelcheck
  libraries=$here/lib/beside${libraries:+:$libraries}
  commit=$(cat "$here/COMMIT")
else
  build=${ZH_BINARY_DIR:-$here/../../build-gpu}
  bin=$build/bin
  kernelcheck=$build/tests/zhiheng-kernelcheck
  commit=$(git -C "$here" describe --always --dirty --abbrev=10 2>/dev/null || echo unknown)
fi

# ours PROGRAM WORD…: with the packed libraries, which the node's own programs shall not take.
ours() { LD_LIBRARY_PATH=$libraries "$@"; }

# doctor_says PATTERN
doctor_says() { ours "$bin/zhiheng" doctor --json 2>/dev/null | grep -q "$1"; }
usable() { doctor_says '"usable": *true'; }

# wheel FILE: the newest of this name (a pattern) among Python's wheels of NVIDIA, or nothing.
wheel() {
  command -v python3 >/dev/null || return 0
  python3 -c 'import glob, sys
print(*sorted(file for folder in sys.path for file in glob.glob(folder + "/nvidia/*/lib/" + sys.argv[1]))[-1:])' "$1"
}

if ! usable; then
  ours "$bin/zhiheng" doctor | grep -A 4 GPU >&2
  exit 3
fi
if [ -z "${ZH_CUBLASLT:-}" ] && doctor_says '"cublaslt": *null'; then
  ZH_CUBLASLT=$(wheel 'libcublasLt.so.1[23]')
  export ZH_CUBLASLT
fi
if [ -z "${ZH_NCCL:-}" ] && doctor_says '"nccl": *null'; then
  ZH_NCCL=$(wheel libnccl.so.2)
  export ZH_NCCL
fi
