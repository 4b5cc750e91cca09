/* LD_PRELOAD: every fsync and fdatasync first sleeps HELIOGRAPH_FSYNC_DELAY_MS milliseconds, so
 * that a fast disk behaves like a slow one. Built by `bench --commit-delay-ms`:
 * cc -shared -fPIC -o slow_fsync.so slow_fsync.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int delayed(const char *name, int fd) {
    const char *text = getenv("HELIOGRAPH_FSYNC_DELAY_MS");
    long ms = text ? atol(text) : 0;
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (ms > 0 && nanosleep(&left, &left) != 0) {}
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return delayed("fsync", fd); }
int fdatasync(int fd) { return delayed("fdatasync", fd); }
