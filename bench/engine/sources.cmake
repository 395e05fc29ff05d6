# Paths relative to bench/, for bench/CMakeLists.txt.
set(ENGINE_SOURCES
  engine/engine.c
  engine/forward.c
  engine/weights.c)
