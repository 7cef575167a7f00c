/* Shifts the wall clock of the processes that preload it, and no other clock.
 *
 * The seconds are a double in the file $SHIFTED_CLOCKS/$TRADING_OPS_LOG_NAME, which is mapped: a
 * test that writes it steps the clock of that one process. Without the file nothing is shifted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile double *shift;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void map_shift(void) {
    char path[4096];
    const char *folder = getenv("SHIFTED_CLOCKS"), *unit = getenv("TRADING_OPS_LOG_NAME");
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (!folder || !unit) return;
    snprintf(path, sizeof path, "%s/%s", folder, unit);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) shift = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int done = real(clock, at);
    if (done == 0 && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += (time_t)*shift;
    return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
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
