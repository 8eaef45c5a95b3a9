/* The tests preload this library into `qat`. It makes selected calls on one file fail, or runs a command between them.
 *
 * QAT_FAULT_FILE   affects descriptors whose name contains this
 * QAT_FAULT_CLOSE  the error number that close(2) returns after it has closed the descriptor
 * QAT_FAULT_READ   N:ERROR, the error number that the Nth and every later read(2) returns
 * QAT_FAULT_RUN    N:COMMAND, a shell command that runs once after the Nth read(2), or with N = 0 after the read(2) that
 *                  returns the end of the file
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int concerns(int fd) {
    const char *part = getenv("QAT_FAULT_FILE");
    char link[64], name[4096];
    if (part == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, name, sizeof name - 1);
    if (len < 0) return 0;
    name[len] = 0;
    return strstr(name, part) != NULL;
}

int close(int fd) {
    static int (*next)(int);
    if (next == NULL) next = dlsym(RTLD_NEXT, "close");
    const char *error = getenv("QAT_FAULT_CLOSE");
    int fails = error != NULL && concerns(fd);
    int result = next(fd);
    if (!fails) return result;
    errno = atoi(error);
    return -1;
}

ssize_t read(int fd, void *buffer, size_t len) {
    static ssize_t (*next)(int, void *, size_t);
    static int reads, ran;
    if (next == NULL) next = dlsym(RTLD_NEXT, "read");
    const char *fault = getenv("QAT_FAULT_READ"), *run = getenv("QAT_FAULT_RUN");
    if ((fault == NULL && run == NULL) || !concerns(fd)) return next(fd, buffer, len);
    int number = __atomic_add_fetch(&reads, 1, __ATOMIC_SEQ_CST);
    if (fault != NULL && number >= atoi(fault)) {
        errno = atoi(strchr(fault, ':') + 1);
        return -1;
    }
    ssize_t got = next(fd, buffer, len);
    if (run != NULL && (atoi(run) == 0 ? got == 0 : atoi(run) == number)
        && __atomic_exchange_n(&ran, 1, __ATOMIC_SEQ_CST) == 0) {
        char command[8192];
        snprintf(command, sizeof command, "unset LD_PRELOAD; %s", strchr(run, ':') + 1);
        if (system(command) != 0) abort();
    }
    return got;
}
