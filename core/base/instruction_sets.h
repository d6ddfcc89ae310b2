#pragma once

// For innermost loops that are plain C++, written for the compiler to vectorise, which it does at
// -O3 only: what follows this header is optimised so, and a function behind one of these macros is
// compiled once per instruction set, of which the program takes the machine's best when it is
// loaded. Sanitizers and the loader's choice exclude each other. Included last, and by .cpp files
// and headers of loops only.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
// Vectors are passed between functions that are always inlined: there is no calling convention.
#pragma GCC diagnostic ignored "-Wpsabi"
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BALEEN_INSTRUCTION_SETS(...) __attribute__((target_clones(__VA_ARGS__)))
#endif
#endif
#ifndef BALEEN_INSTRUCTION_SETS
#define BALEEN_INSTRUCTION_SETS(...)
#endif
#define BALEEN_EACH_INSTRUCTION_SET BALEEN_INSTRUCTION_SETS("avx512f", "avx2", "default")
#define BALEEN_INLINE inline __attribute__((always_inline))
