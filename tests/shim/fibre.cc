/* Stacks of threads: a switch saves what a function must preserve, by hand, since setjmp under
 * _FORTIFY_SOURCE refuses to jump to another stack. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"

#if defined(__SANITIZE_ADDRESS__)
#define ZH_SHIM_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZH_SHIM_ASAN
#endif
#endif
#ifdef ZH_SHIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

extern "C" __attribute__((visibility("hidden"))) void zh_shim_switch(void **from, void *to);

#if defined(__x86_64__)
asm(".text\n"
    ".hidden zh_shim_switch\n"
    ".globl zh_shim_switch\n"
    ".type zh_shim_switch,@function\n"
    "zh_shim_switch:\n"
    "  endbr64\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  ret\n"
    ".size zh_shim_switch,.-zh_shim_switch\n");
enum { SAVED_WORDS = 8, ENTRY_WORD = 6 }; /* six registers, the entry, no caller */
#elif defined(__aarch64__)
asm(".text\n"
    ".hidden zh_shim_switch\n"
    ".globl zh_shim_switch\n"
    ".type zh_shim_switch,%function\n"
    "zh_shim_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n"
    "  stp x21, x22, [sp, #16]\n"
    "  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n"
    "  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n"
    "  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n"
    "  str x9, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n"
    "  ldp x21, x22, [sp, #16]\n"
    "  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n"
    "  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n"
    "  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n"
    "  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n"
    ".size zh_shim_switch,.-zh_shim_switch\n");
enum { SAVED_WORDS = 20, ENTRY_WORD = 11 }; /* x19…x30, d8…d15; x30 is where it goes on */
#else
#error "the shim switches stacks on x86-64 and aarch64 alone"
#endif

namespace zh_shim {

#ifdef ZH_SHIM_ASAN
enum : size_t { STACK_BYTES = 512 << 10 };
#else
enum : size_t { STACK_BYTES = 128 << 10 };
#endif

static stack *left; /* whose stack the last switch came from */

stack *stack_new(unsigned number) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void *all = mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED || mprotect(all, page, PROT_NONE) != 0) {
    perror("shim: a stack");
    abort();
  }
  stack *s = new stack();
  s->low = static_cast<unsigned char *>(all) + page;
  /* Tops at different places in a page, so that they do not compete for one set of a cache. */
  s->bytes = STACK_BYTES - number % 32 * 128;
#ifdef __SANITIZE_THREAD__
  s->tsan = __tsan_create_fiber(0);
#endif
  return s;
}

void stack_begin(stack *s, void (*entry)()) {
#ifdef ZH_SHIM_ASAN
  __asan_unpoison_memory_region(s->low, s->bytes); /* of a thread that was given up there */
#endif
  s->asan = nullptr;
  uintptr_t *words = reinterpret_cast<uintptr_t *>(s->low + s->bytes) - SAVED_WORDS;
  memset(words, 0, SAVED_WORDS * sizeof *words);
  words[ENTRY_WORD] = reinterpret_cast<uintptr_t>(entry);
  s->top_of_stack = words;
}

void stack_take_host(stack *host) {
  host->low = nullptr; /* another thread of the host may have run blocks before */
#ifdef __SANITIZE_THREAD__
  host->tsan = __tsan_get_current_fiber();
#endif
}

static void arrived_on(stack *here) {
#ifdef ZH_SHIM_ASAN
  const void *low = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(here ? here->asan : nullptr, &low, &bytes);
  if (left && !left->low) {
    left->low = static_cast<unsigned char *>(const_cast<void *>(low));
    left->bytes = bytes;
  }
#endif
  (void)here;
}

void stack_arrived() {
  arrived_on(nullptr);
}

void stack_switch(stack *from, stack *to, bool forever) {
  left = from;
#ifdef ZH_SHIM_ASAN
  __sanitizer_start_switch_fiber(forever ? nullptr : &from->asan, to->low, to->bytes);
#endif
  (void)forever;
#ifdef __SANITIZE_THREAD__
  __tsan_switch_to_fiber(to->tsan, 0);
#endif
  zh_shim_switch(&from->top_of_stack, to->top_of_stack);
  arrived_on(from);
}

} // namespace zh_shim
