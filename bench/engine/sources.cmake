# Paths relative to bench/, for bench/CMakeLists.txt.
set(ENGINE_SOURCES
  engine/certificate.c
  engine/check.c
  engine/engine.c
  engine/forward.c
  engine/perplexity.c
  engine/recheck.c
  engine/reduce.c
  engine/sampling.c
  engine/split.c
  engine/trial.c
  engine/packing.c
  engine/weights.c
  liveness/bound.c
  liveness/change.c
  liveness/liveness.c
  liveness/model.c)
