/* The clocks of one process, moved from outside: loaded before libc by LD_PRELOAD.
 *
 * STRONGROOM_TEST_CLOCK names a file of two numbers, each 8 bytes in the machine's order, which is mapped:
 *
 *   seconds by which the wall clock is ahead      may change at any time
 *   per mille at which the monotonic clock runs   read once; 1000 is as it is
 *
 * Rust's standard library asks clock_gettime for both; the others are for C libraries.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *moved;
static int64_t rate = 1000, from;

static int64_t nanoseconds(const struct timespec *at) {
    return (int64_t)at->tv_sec * 1000000000 + at->tv_nsec;
}

/* Without its file a test would try nothing: so the process ends. */
__attribute__((constructor)) static void load(void) {
    if (moved) return;
    const char *name = getenv("STRONGROOM_TEST_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(0, 16, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "STRONGROOM_TEST_CLOCK names no clock\n");
        _exit(1);
    }
    close(file);
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    from = nanoseconds(&now);
    moved = mapped;
    rate = moved[1];
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (failed) return failed;
    load();
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        at->tv_sec += moved[0];
    } else if (clock == CLOCK_MONOTONIC && rate != 1000) {
        int64_t since = nanoseconds(at) - from;
        int64_t now = from + since / 1000 * rate;
        at->tv_sec = now / 1000000000;
        at->tv_nsec = now % 1000000000;
    }
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
