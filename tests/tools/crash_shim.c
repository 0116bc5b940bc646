// Preloaded into the program by test_crash.py: the FOVEA_CRASH_AT-th operation on files kills the process before it is
// done (FOVEA_CRASH_ERRNO unset or 0), or fails with that errno. At the end of the process FOVEA_CRASH_LOG gets the
// operations, one a line.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long count;

// Does this operation fail? It does not return where it kills.
static int hit(const char* operation) {
  const char *at = getenv("FOVEA_CRASH_AT"), *error = getenv("FOVEA_CRASH_ERRNO"), *log = getenv("FOVEA_CRASH_LOG");
  count++;
  if (log) {
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    dprintf(fd, "%s\n", operation);
    close(fd);
  }
  if (!at || count != atol(at)) return 0;
  errno = error ? atoi(error) : 0;
  if (errno == 0) kill(getpid(), SIGKILL);
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// A write is torn: half of it may reach the file.
ssize_t pwrite64(int fd, const void* from, size_t n, off64_t at) {
  static __typeof__(&pwrite64) next;
  if (!next) next = NEXT(pwrite64);
  const char* torn = getenv("FOVEA_CRASH_AT");
  if (torn && count + 1 == atol(torn) && !getenv("FOVEA_CRASH_ERRNO")) next(fd, from, n / 2, at);
  return hit("pwrite") ? -1 : next(fd, from, n, at);
}
int ftruncate64(int fd, off64_t n) { return hit("ftruncate") ? -1 : NEXT(ftruncate64)(fd, n); }
int fsync(int fd) { return hit("fsync") ? -1 : NEXT(fsync)(fd); }
int rename(const char* from, const char* to) { return hit("rename") ? -1 : NEXT(rename)(from, to); }
int link(const char* from, const char* to) { return hit("link") ? -1 : NEXT(link)(from, to); }
int unlink(const char* path) { return hit("unlink") ? -1 : NEXT(unlink)(path); }
int remove(const char* path) { return hit("remove") ? -1 : NEXT(remove)(path); }
int fflush(FILE* f) { return f != stderr && f != stdout && hit("fflush") ? EOF : NEXT(fflush)(f); }
