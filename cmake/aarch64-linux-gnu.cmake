# For aarch64 from another machine: Debian's cross compiler, libraries from a folder (scripts/check-aarch64 fills it),
# programs run by qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(ZH_AARCH64_LIBRARIES "" CACHE PATH "Where Debian's arm64 packages were unpacked")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZH_AARCH64_LIBRARIES)
set(CMAKE_FIND_ROOT_PATH ${ZH_AARCH64_LIBRARIES} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${ZH_AARCH64_LIBRARIES})
set(ENV{PKG_CONFIG_LIBDIR} ${ZH_AARCH64_LIBRARIES}/usr/lib/aarch64-linux-gnu/pkgconfig)
include_directories(SYSTEM ${ZH_AARCH64_LIBRARIES}/usr/include ${ZH_AARCH64_LIBRARIES}/usr/include/aarch64-linux-gnu)
add_link_options(-Wl,-rpath-link,${ZH_AARCH64_LIBRARIES}/usr/lib/aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu
    -E LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib:${ZH_AARCH64_LIBRARIES}/usr/lib/aarch64-linux-gnu:${ZH_AARCH64_LIBRARIES}/lib/aarch64-linux-gnu)
