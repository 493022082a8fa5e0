/* libuv behind four verbs. uv_poll_t is level-triggered, and libuv has no other. */
#include <stdlib.h>
#include <uv.h>

#include "ready.h"

struct engine {
    uv_loop_t loop;
    uv_async_t async;
    uv_timer_t timer;
    struct ready ready;
};

struct source {
    uv_poll_t handle;
    size_t token;
};

static void on_wake(uv_async_t *async) {
    struct engine *engine = async->data;
    ready_push(&engine->ready, WAKE);
}

static void on_ready(uv_poll_t *handle, int status, int events) {
    struct engine *engine = handle->loop->data;
    if (status < 0 || (events & UV_READABLE))
        ready_push(&engine->ready, ((struct source *)handle)->token);
}

static void on_timer(uv_timer_t *timer) { (void)timer; }

static void on_close(uv_handle_t *handle) { free(handle); }

struct engine *bench_uv_open(void) {
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine || uv_loop_init(&engine->loop) || uv_async_init(&engine->loop, &engine->async, on_wake) ||
        uv_timer_init(&engine->loop, &engine->timer))
        return NULL;
    engine->loop.data = engine;
    engine->async.data = engine;
    return engine;
}

void bench_uv_close(struct engine *engine) {
    uv_close((uv_handle_t *)&engine->async, NULL);
    uv_close((uv_handle_t *)&engine->timer, NULL);
    uv_run(&engine->loop, UV_RUN_DEFAULT);
    uv_loop_close(&engine->loop);
    free(engine);
}

/* milliseconds: -1 sleeps until something happens, 0 does not sleep. */
const struct ready *bench_uv_poll(struct engine *engine, int milliseconds) {
    engine->ready.count = 0;
    if (milliseconds > 0) {
        uv_update_time(&engine->loop);
        uv_timer_start(&engine->timer, on_timer, (uint64_t)milliseconds, 0);
    }
    uv_run(&engine->loop, milliseconds == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    if (milliseconds > 0)
        uv_timer_stop(&engine->timer);
    return &engine->ready;
}

void bench_uv_wake(struct engine *engine) { uv_async_send(&engine->async); }

/* libuv takes the registration to the kernel when it is about to poll. */
struct source *bench_uv_add(struct engine *engine, int fd, size_t token) {
    struct source *source = malloc(sizeof *source);
    if (!source || uv_poll_init(&engine->loop, &source->handle, fd))
        return NULL;
    source->token = token;
    return uv_poll_start(&source->handle, UV_READABLE, on_ready) ? NULL : source;
}

int bench_uv_change(struct source *source, size_t token) {
    source->token = token;
    return uv_poll_start(&source->handle, UV_READABLE, on_ready);
}

void bench_uv_remove(struct source *source) { uv_close((uv_handle_t *)&source->handle, on_close); }

/* Timers in one array, as a program in C has them beside its connections. */
struct timers {
    uv_loop_t loop;
    uv_timer_t timers[];
};

struct timers *bench_uv_timers(size_t count) {
    struct timers *timers = calloc(1, sizeof *timers + count * sizeof(uv_timer_t));
    if (!timers || uv_loop_init(&timers->loop))
        return NULL;
    for (size_t n = 0; n < count; n++)
        if (uv_timer_init(&timers->loop, &timers->timers[n]))
            return NULL;
    return timers;
}

void bench_uv_timer_set(struct timers *timers, size_t n, uint64_t milliseconds) {
    uv_timer_start(&timers->timers[n], on_timer, milliseconds, 0);
}

void bench_uv_timer_cancel(struct timers *timers, size_t n) { uv_timer_stop(&timers->timers[n]); }

void bench_uv_timers_poll(struct timers *timers) { uv_run(&timers->loop, UV_RUN_NOWAIT); }
