/*
 * Stands in front of libqat's polls and has the emulated device answer first, on the polling thread: what was submitted
 * is answered when it is polled, no poll finds nothing, and what a program executes depends on no clock. For counts of
 * instructions and system calls, on a device without threads of its own (qat-emu run --engine-threads 0).
 *
 * cc -O2 -std=c11 -shared -fPIC -I HEADERS at_once.c -L LIBRARIES -Wl,--no-as-needed -l:libqat.so.4 -l:libusdm.so.0
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "cpa.h"
#include "icp_sal_poll.h"

static void (*serve)(void);

static void *find(void *library, const char *name)
{
    void *address = dlsym(library, name);
    if (address == NULL) {
        fprintf(stderr, "at_once: %s\n", dlerror());
        abort();
    }
    return address;
}

#define POLL(name)                                                                                                     \
    static CpaStatus (*next_##name)(CpaInstanceHandle, Cpa32U);                                                        \
    CpaStatus name(CpaInstanceHandle instance, Cpa32U quota)                                                           \
    {                                                                                                                  \
        serve();                                                                                                       \
        return next_##name(instance, quota);                                                                           \
    }

POLL(icp_sal_DcPollInstance)
POLL(icp_sal_DcPollDpInstance)
POLL(icp_sal_CyPollInstance)
POLL(icp_sal_CyPollSymRing)
POLL(icp_sal_CyPollDpInstance)

static __attribute__((constructor)) void find_all(void)
{
    /* Loaded already, because this library needs it. */
    void *libqat = dlopen("libqat.so.4", RTLD_NOW | RTLD_NOLOAD);
    serve = (void (*)(void))find(RTLD_DEFAULT, "qat_emu_serve");
    next_icp_sal_DcPollInstance = find(libqat, "icp_sal_DcPollInstance");
    next_icp_sal_DcPollDpInstance = find(libqat, "icp_sal_DcPollDpInstance");
    next_icp_sal_CyPollInstance = find(libqat, "icp_sal_CyPollInstance");
    next_icp_sal_CyPollSymRing = find(libqat, "icp_sal_CyPollSymRing");
    next_icp_sal_CyPollDpInstance = find(libqat, "icp_sal_CyPollDpInstance");
}
