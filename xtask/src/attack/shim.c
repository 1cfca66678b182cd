// Lets system calls on chosen paths fail: a library for LD_PRELOAD, made and steered by `cargo xtask attack disk`.
//
//   ATTACK_CALL   write, fsync, rename, mkdir, open (to create) or unlink
//   ATTACK_PATH   a part of the path
//   ATTACK_AT     which of the matching calls fails, counted from 1; 0 for none
//   ATTACK_TIMES  how many calls from there on
//   ATTACK_ERRNO  the error they give; 0 lets a write take half of its bytes
//   ATTACK_LOG    a file that gets one byte for each matching call
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { PASS, FAIL, SHORT };

static int calls;

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : 0;
}

// What is to become of a call on this path.
static int verdict(const char *call, const char *path) {
  const char *wanted = getenv("ATTACK_CALL"), *part = getenv("ATTACK_PATH"), *log = getenv("ATTACK_LOG");
  if (!wanted || !part || !path || strcmp(wanted, call) || !strstr(path, part)) return PASS;
  if (log) {
    int saved = errno, file = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file >= 0) {
      if (REAL(write)(file, ".", 1) < 0) errno = saved;
      close(file);
    }
    errno = saved;
  }
  long at = number("ATTACK_AT"), now = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  if (!at || now < at || now >= at + number("ATTACK_TIMES")) return PASS;
  int error = (int)number("ATTACK_ERRNO");
  if (!error) return SHORT;
  errno = error;
  return FAIL;
}

static const char *path_of(int file, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, size - 1);
  if (length < 0) return NULL;
  path[length] = 0;
  return path;
}

static int verdict_on(const char *call, int file) {
  char path[4096];
  int saved = errno;
  const char *name = path_of(file, path, sizeof path);
  errno = saved;
  return verdict(call, name);
}

ssize_t write(int file, const void *bytes, size_t size) {
  int found = verdict_on("write", file);
  if (found == FAIL) return -1;
  return REAL(write)(file, bytes, found == SHORT && size > 1 ? size / 2 : size);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  int found = verdict_on("write", file);
  if (found == FAIL) return -1;
  return REAL(writev)(file, parts, found == SHORT && count > 1 ? count / 2 : count);
}

int fsync(int file) { return verdict_on("fsync", file) == FAIL ? -1 : REAL(fsync)(file); }

int fdatasync(int file) { return verdict_on("fsync", file) == FAIL ? -1 : REAL(fdatasync)(file); }

int rename(const char *from, const char *to) { return verdict("rename", to) == FAIL ? -1 : REAL(rename)(from, to); }

int mkdir(const char *path, mode_t mode) { return verdict("mkdir", path) == FAIL ? -1 : REAL(mkdir)(path, mode); }

int unlink(const char *path) { return verdict("unlink", path) == FAIL ? -1 : REAL(unlink)(path); }

int unlinkat(int folder, const char *path, int flags) {
  char name[4096];
  const char *whole = path;
  if (path[0] != '/' && folder != AT_FDCWD) whole = path_of(folder, name, sizeof name);
  return verdict("unlink", whole) == FAIL ? -1 : REAL(unlinkat)(folder, path, flags);
}

#define OPEN(name, PARAMETERS, verdict_path, ...)                                                    \
  int name PARAMETERS {                                                                              \
    mode_t mode = 0;                                                                                 \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                             \
      va_list rest;                                                                                  \
      va_start(rest, flags);                                                                         \
      mode = va_arg(rest, mode_t);                                                                   \
      va_end(rest);                                                                                  \
    }                                                                                                \
    if ((flags & O_CREAT) && verdict("open", verdict_path) == FAIL) return -1;                       \
    return REAL(name)(__VA_ARGS__, flags, mode);                                                     \
  }

OPEN(open, (const char *path, int flags, ...), path, path)
OPEN(open64, (const char *path, int flags, ...), path, path)
OPEN(openat, (int folder, const char *path, int flags, ...), path, folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), path, folder, path)
