# Warnings, sanitizers and the one library target that carries them: every room links zh_flags.
add_library(zh_flags INTERFACE)
target_compile_definitions(zh_flags INTERFACE _GNU_SOURCE ZH_VERSION="${PROJECT_VERSION}")
target_include_directories(zh_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(zh_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
  -ffp-contract=off -fno-math-errno)
if(ZH_WERROR)
  target_compile_options(zh_flags INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(zh_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
endif()
if(ZH_SANITIZE)
  target_compile_options(zh_flags INTERFACE -fsanitize=${ZH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(zh_flags INTERFACE -fsanitize=${ZH_SANITIZE})
endif()
if(ZH_FUZZ)
  target_compile_options(zh_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(zh_flags INTERFACE -fsanitize=address,undefined)
endif()
