/* Sets a process's clock back while it runs: seconds are read from a file that others write.
 *
 *   gcc -shared -fPIC -o clock.so clock.c
 *   CLOCK_BACK=FILE LD_PRELOAD=./clock.so COMMAND
 *
 * FILE holds one 8-byte integer. Only the time of day is changed; monotonic clocks go on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *back;
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CLOCK_BACK");
  int file = path ? open(path, O_RDONLY) : -1;
  real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  if (file < 0) return;
  void *found = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (found != MAP_FAILED) back = (volatile long *)found;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (!real_clock) begin();
  int code = real_clock(clock, now);
  if (!code && back && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec -= *back;
  return code;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec found;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
  now->tv_sec = found.tv_sec;
  now->tv_usec = found.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *kept) {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  if (kept) *kept = found.tv_sec;
  return found.tv_sec;
}
