# Paths relative to bench/, for bench/CMakeLists.txt.
set(ENGINE_SOURCES
  engine/check.c
  engine/engine.c
  engine/forward.c
  engine/perplexity.c
  engine/sampling.c
  engine/trial.c
  engine/weights.c engine/packing.c)
