/* libevent behind four verbs, edge-triggered. */
#include <event2/event.h>
#include <event2/thread.h>
#include <stdlib.h>

#include "ready.h"

struct engine {
    struct event_base *base;
    struct event *wake;
    struct event *timer;
    struct ready ready;
};

struct source {
    struct event *event;
    struct engine *engine;
    size_t token;
};

static void on_wake(evutil_socket_t fd, short what, void *engine) {
    (void)fd, (void)what;
    ready_push(&((struct engine *)engine)->ready, WAKE);
}

static void on_ready(evutil_socket_t fd, short what, void *argument) {
    struct source *source = argument;
    (void)fd;
    if (what & EV_READ)
        ready_push(&source->engine->ready, source->token);
}

static void on_timer(evutil_socket_t fd, short what, void *argument) { (void)fd, (void)what, (void)argument; }

struct engine *bench_le_open(void) {
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine || evthread_use_pthreads())
        return NULL;
    engine->base = event_base_new();
    if (!engine->base)
        return NULL;
    engine->wake = event_new(engine->base, -1, EV_PERSIST, on_wake, engine);
    engine->timer = evtimer_new(engine->base, on_timer, engine);
    return event_add(engine->wake, NULL) ? NULL : engine;
}

void bench_le_close(struct engine *engine) {
    event_free(engine->wake);
    event_free(engine->timer);
    event_base_free(engine->base);
    free(engine);
}

/* microseconds: -1 sleeps until something happens, 0 does not sleep. */
const struct ready *bench_le_poll(struct engine *engine, int64_t microseconds) {
    engine->ready.count = 0;
    if (microseconds > 0) {
        struct timeval timeout = {microseconds / 1000000, microseconds % 1000000};
        evtimer_add(engine->timer, &timeout);
    }
    event_base_loop(engine->base,
                    microseconds == 0 ? EVLOOP_NONBLOCK : EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    if (microseconds > 0)
        evtimer_del(engine->timer);
    return &engine->ready;
}

void bench_le_wake(struct engine *engine) { event_active(engine->wake, EV_READ, 0); }

struct source *bench_le_add(struct engine *engine, int fd, size_t token) {
    struct source *source = malloc(sizeof *source);
    if (!source)
        return NULL;
    source->engine = engine;
    source->token = token;
    source->event = event_new(engine->base, fd, EV_READ | EV_PERSIST | EV_ET, on_ready, source);
    return !source->event || event_add(source->event, NULL) ? NULL : source;
}

/* There is no change in place. */
int bench_le_change(struct source *source, size_t token) {
    source->token = token;
    return event_del(source->event) || event_add(source->event, NULL);
}

void bench_le_remove(struct source *source) {
    event_free(source->event);
    free(source);
}
