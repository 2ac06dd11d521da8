/* Small words that every file uses.
 *
 * Everything here is a macro or a static inline: nothing to link. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#define TD_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define TD_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define TD_LIKELY(x) __builtin_expect(!!(x), 1)
#define TD_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TD_MUST_USE __attribute__((warn_unused_result))
#define TD_MIN(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define TD_MAX(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })
