/* What callbacks found, as a list: the other engines of the benchmark have lists too. */
#include <stddef.h>
#include <stdint.h>

enum { READY_MAX = 1024 };

struct ready {
    size_t count;
    size_t tokens[READY_MAX];
};

static inline void ready_push(struct ready *ready, size_t token) {
    if (ready->count < READY_MAX)
        ready->tokens[ready->count++] = token;
}

/* The token of a wake. */
static const size_t WAKE = SIZE_MAX;
