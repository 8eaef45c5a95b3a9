/*
 * The least a C program does to have requests executed by libqat: what the benches measure this project's layer
 * against. It is meant to be as good as a careful programmer would make it: all memory is allocated before the first
 * request, and a request costs its call, its callback and a free list. "-m session" is the plain form, the calls that
 * Intel's guide begins with; "-m dp" the fastest that the library has. Data is in device memory already and stays there;
 * -c copies it in and out, as whoever serves slices of ordinary memory must.
 *
 * cc -O2 -std=c11 -I HEADERS baseline.c -L LIBRARIES -l:libqat.so.4 -l:libusdm.so.0
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpa.h"
#include "cpa_cy_im.h"
#include "cpa_cy_sym.h"
#include "cpa_cy_sym_dp.h"
#include "cpa_dc.h"
#include "cpa_dc_dp.h"
#include "icp_sal_poll.h"
#include "icp_sal_user.h"
#include "qae_mem.h"

#define USAGE \
    "Usage: baseline [-m session|ns|dp|gcm|gcm-dp] [-n REQUESTS] [-s BYTES] [-d DEPTH] [-b BUFFERS] [-c]\n" \
    "  -m  deflate level 1, static, with a session (default), without, or by the data-plane calls; AES-256-GCM with a\n" \
    "      session or by the data-plane calls\n" \
    "  -d  requests in flight\n" \
    "  -b  flat buffers of each source list\n" \
    "  -c  copy the data into device memory and the result out of it\n"

enum mode { SESSION, NS, DP, GCM, GCM_DP };

struct request {
    CpaBufferList source, destination;
    CpaFlatBuffer output;
    CpaFlatBuffer *inputs;
    CpaDcOpData operation;
    CpaDcRqResults results;
    CpaCySymOpData cipher;
    CpaDcDpOpData *data_plane;
    CpaCySymDpOpData *cipher_data_plane;
};

static struct {
    enum mode mode;
    uint32_t bytes, depth, buffers;
    uint64_t requests;
    int copy;
} options = {SESSION, 65536, 1, 1, 1000, 0};

static CpaInstanceHandle instance;
static void *session;
static CpaDcNsSetupData setup;
static struct request **free_requests;
static uint32_t free_count;
static uint64_t done, bytes_out;
static uint8_t *user_input, *user_output;

static void fail(const char *what, CpaStatus status)
{
    fprintf(stderr, "baseline: %s: %d\n", what, status);
    exit(1);
}

static void check(const char *what, CpaStatus status)
{
    if (status != CPA_STATUS_SUCCESS)
        fail(what, status);
}

static void *device_memory(size_t bytes)
{
    void *memory = qaeMemAllocNUMA(bytes, NUMA_ANY_NODE, 64);
    if (memory == NULL)
        fail("qaeMemAllocNUMA", CPA_STATUS_RESOURCE);
    return memory;
}

static CpaPhysicalAddr physical(void *memory)
{
    return qaeVirtToPhysNUMA(memory);
}

static void finish(struct request *request, uint32_t produced)
{
    if (options.copy) {
        memcpy(user_output, request->output.pData, produced);
        if (request->cipher.pDigestResult != NULL)
            memcpy(user_output + produced, request->cipher.pDigestResult, 16);
    }
    bytes_out += produced;
    done++;
    free_requests[free_count++] = request;
}

static void compressed(void *tag, CpaStatus status)
{
    struct request *request = tag;
    if (status != CPA_STATUS_SUCCESS || request->results.status != CPA_DC_OK ||
        request->results.consumed != options.bytes)
        fail("compression", request->results.status);
    finish(request, request->results.produced);
}

static void compressed_dp(CpaDcDpOpData *operation)
{
    if (operation->responseStatus != CPA_STATUS_SUCCESS || operation->results.status != CPA_DC_OK ||
        operation->results.consumed != options.bytes)
        fail("compression", operation->results.status);
    finish(operation->pCallbackTag, operation->results.produced);
}

static void encrypted(void *tag, CpaStatus status, const CpaCySymOp type, void *operation, CpaBufferList *list,
                      CpaBoolean verified)
{
    (void)type, (void)operation, (void)list, (void)verified;
    if (status != CPA_STATUS_SUCCESS)
        fail("encryption", status);
    finish(tag, options.bytes);
}

static void encrypted_dp(CpaCySymDpOpData *operation, CpaStatus status, CpaBoolean verified)
{
    (void)verified;
    if (status != CPA_STATUS_SUCCESS)
        fail("encryption", status);
    finish(operation->pCallbackTag, options.bytes);
}

static void open_compression(void)
{
    Cpa16U count = 0;
    check("cpaDcGetNumInstances", cpaDcGetNumInstances(&count));
    if (count == 0)
        fail("no compression instance", CPA_STATUS_RESOURCE);
    CpaInstanceHandle instances[count];
    check("cpaDcGetInstances", cpaDcGetInstances(count, instances));
    instance = instances[0];
    check("cpaDcSetAddressTranslation", cpaDcSetAddressTranslation(instance, physical));
    check("cpaDcStartInstance", cpaDcStartInstance(instance, 0, NULL));

    setup = (CpaDcNsSetupData){.compLevel = CPA_DC_L1, .compType = CPA_DC_DEFLATE, .huffType = CPA_DC_HT_STATIC,
                               .autoSelectBestHuffmanTree = CPA_DC_ASB_DISABLED,
                               .sessDirection = CPA_DC_DIR_COMPRESS, .sessState = CPA_DC_STATELESS,
                               .windowSize = CPA_DC_WINSIZE_32K, .checksum = CPA_DC_CRC32};
    Cpa32U size = 0, context = 0;
    if (options.mode == DP) {
        check("cpaDcDpGetSessionSize", cpaDcDpGetSessionSize(instance, &setup, &size));
        session = device_memory(size);
        check("cpaDcDpInitSession", cpaDcDpInitSession(instance, session, &setup));
        check("cpaDcDpRegCbFunc", cpaDcDpRegCbFunc(instance, compressed_dp));
    }
    if (options.mode != SESSION)
        return;
    check("cpaDcGetSessionSize", cpaDcGetSessionSize(instance, &setup, &size, &context));
    session = device_memory(size);
    check("cpaDcInitSession", cpaDcInitSession(instance, session, &setup, NULL, compressed));
}

static void open_encryption(void)
{
    Cpa16U count = 0;
    check("cpaCyGetNumInstances", cpaCyGetNumInstances(&count));
    if (count == 0)
        fail("no crypto instance", CPA_STATUS_RESOURCE);
    CpaInstanceHandle instances[count];
    check("cpaCyGetInstances", cpaCyGetInstances(count, instances));
    instance = instances[0];
    check("cpaCySetAddressTranslation", cpaCySetAddressTranslation(instance, physical));
    check("cpaCyStartInstance", cpaCyStartInstance(instance));

    Cpa8U key[32] = {1};
    CpaCySymSessionSetupData sym = {
        .sessionPriority = CPA_CY_PRIORITY_HIGH, .symOperation = CPA_CY_SYM_OP_ALGORITHM_CHAINING,
        .cipherSetupData = {CPA_CY_SYM_CIPHER_AES_GCM, sizeof key, key, CPA_CY_SYM_CIPHER_DIRECTION_ENCRYPT},
        .hashSetupData = {.hashAlgorithm = CPA_CY_SYM_HASH_AES_GCM, .hashMode = CPA_CY_SYM_HASH_MODE_AUTH,
                          .digestResultLenInBytes = 16},
        .algChainOrder = CPA_CY_SYM_ALG_CHAIN_ORDER_CIPHER_THEN_HASH, .partialsNotRequired = CPA_TRUE};
    Cpa32U size = 0;
    if (options.mode == GCM_DP) {
        check("cpaCySymDpSessionCtxGetSize", cpaCySymDpSessionCtxGetSize(instance, &sym, &size));
        session = device_memory(size);
        check("cpaCySymDpInitSession", cpaCySymDpInitSession(instance, &sym, session));
        check("cpaCySymDpRegCbFunc", cpaCySymDpRegCbFunc(instance, encrypted_dp));
        return;
    }
    check("cpaCySymSessionCtxGetSize", cpaCySymSessionCtxGetSize(instance, &sym, &size));
    session = device_memory(size);
    check("cpaCySymInitSession", cpaCySymInitSession(instance, encrypted, &sym, session));
}

static struct request *new_request(void)
{
    struct request *request = calloc(1, sizeof *request);
    Cpa32U source_meta = 0, destination_meta = 0, room = options.bytes;
    request->inputs = calloc(options.buffers, sizeof *request->inputs);
    int cipher = options.mode == GCM || options.mode == GCM_DP;
    if (cipher) {
        check("cpaCyBufferListGetMetaSize", cpaCyBufferListGetMetaSize(instance, options.buffers, &source_meta));
        check("cpaCyBufferListGetMetaSize", cpaCyBufferListGetMetaSize(instance, 1, &destination_meta));
    } else {
        check("cpaDcBufferListGetMetaSize", cpaDcBufferListGetMetaSize(instance, options.buffers, &source_meta));
        check("cpaDcBufferListGetMetaSize", cpaDcBufferListGetMetaSize(instance, 1, &destination_meta));
        check("cpaDcDeflateCompressBound",
              cpaDcDeflateCompressBound(instance, CPA_DC_HT_STATIC, options.bytes, &room));
    }
    uint32_t part = options.bytes / options.buffers;
    Cpa8U *input = device_memory(options.bytes);
    memcpy(input, user_input, options.bytes);
    for (uint32_t i = 0; i < options.buffers; i++) {
        uint32_t length = i + 1 < options.buffers ? part : options.bytes - i * part;
        request->inputs[i] = (CpaFlatBuffer){length, input + (size_t)i * part};
    }
    request->source = (CpaBufferList){options.buffers, request->inputs, request, device_memory(source_meta)};
    request->output = (CpaFlatBuffer){room, device_memory(room)};
    request->destination = (CpaBufferList){1, &request->output, request, device_memory(destination_meta)};
    request->operation = (CpaDcOpData){.flushFlag = CPA_DC_FLUSH_FINAL, .compressAndVerify = CPA_TRUE};
    if (cipher) {
        /* Initialisation vector and tag have to be device memory too; the former is new for each request. */
        request->cipher = (CpaCySymOpData){.sessionCtx = session, .packetType = CPA_CY_SYM_PACKET_TYPE_FULL,
                                           .pIv = device_memory(16), .ivLenInBytes = 12,
                                           .messageLenToCipherInBytes = options.bytes,
                                           .messageLenToHashInBytes = options.bytes,
                                           .pDigestResult = device_memory(16)};
        uint64_t number = free_count;
        memset(request->cipher.pIv, 0, 16);
        memcpy(request->cipher.pIv, &number, sizeof number);
        memset(request->cipher.pDigestResult, 0, 16);
    }
    if (options.mode == DP) {
        request->data_plane = device_memory(sizeof *request->data_plane);
        *request->data_plane = (CpaDcDpOpData){
            .bufferLenToCompress = options.bytes, .bufferLenForData = room, .dcInstance = instance,
            .pSessionHandle = session, .srcBuffer = physical(input), .srcBufferLen = options.bytes,
            .destBuffer = physical(request->output.pData), .destBufferLen = room,
            .sessDirection = CPA_DC_DIR_COMPRESS, .compressAndVerify = CPA_TRUE,
            .thisPhys = physical(request->data_plane), .pCallbackTag = request};
    }
    if (options.mode == GCM_DP) {
        request->cipher_data_plane = device_memory(sizeof *request->cipher_data_plane);
        *request->cipher_data_plane = (CpaCySymDpOpData){
            .messageLenToCipherInBytes = options.bytes, .iv = physical(request->cipher.pIv),
            .messageLenToHashInBytes = options.bytes, .digestResult = physical(request->cipher.pDigestResult),
            .instanceHandle = instance, .sessionCtx = session, .ivLenInBytes = 12, .srcBuffer = physical(input),
            .srcBufferLen = options.bytes, .dstBuffer = physical(request->output.pData),
            .dstBufferLen = options.bytes, .thisPhys = physical(request->cipher_data_plane),
            .pIv = request->cipher.pIv, .pCallbackTag = request};
    }
    return request;
}

static CpaStatus submit(struct request *request)
{
    /* The input is contiguous, however many buffers name it. */
    if (options.copy)
        memcpy(request->inputs[0].pData, user_input, options.bytes);
    switch (options.mode) {
    case SESSION:
        return cpaDcCompressData2(instance, session, &request->source, &request->destination, &request->operation,
                                  &request->results, request);
    case NS:
        return cpaDcNsCompressData(instance, &setup, &request->source, &request->destination, &request->operation,
                                   &request->results, compressed, request);
    case DP:
        return cpaDcDpEnqueueOp(request->data_plane, CPA_TRUE);
    default: {
        uint64_t counter;
        memcpy(&counter, request->cipher.pIv, sizeof counter);
        counter += options.depth;
        memcpy(request->cipher.pIv, &counter, sizeof counter);
        if (options.mode == GCM_DP)
            return cpaCySymDpEnqueueOp(request->cipher_data_plane, CPA_TRUE);
        return cpaCySymPerformOp(instance, request, &request->cipher, &request->source, &request->destination, NULL);
    }
    }
}

static CpaStatus poll_instance(void)
{
    switch (options.mode) {
    case GCM: return icp_sal_CyPollSymRing(instance, 0);
    case GCM_DP: return icp_sal_CyPollDpInstance(instance, 0);
    case DP: return icp_sal_DcPollDpInstance(instance, 0);
    default: return icp_sal_DcPollInstance(instance, 0);
    }
}

static void parse(int count, char **arguments)
{
    static const char *const modes[] = {"session", "ns", "dp", "gcm", "gcm-dp"};
    for (int option; (option = getopt(count, arguments, "m:n:s:d:b:c")) != -1;) {
        int mode = 0;
        switch (option) {
        case 'm':
            while (mode <= GCM_DP && strcmp(optarg, modes[mode]) != 0)
                mode++;
            options.mode = mode;
            break;
        case 'n': options.requests = strtoull(optarg, NULL, 10); break;
        case 's': options.bytes = strtoul(optarg, NULL, 10); break;
        case 'd': options.depth = strtoul(optarg, NULL, 10); break;
        case 'b': options.buffers = strtoul(optarg, NULL, 10); break;
        case 'c': options.copy = 1; break;
        default: options.depth = 0;
        }
    }
    if (options.mode > GCM_DP || options.depth == 0 || options.buffers == 0 || options.bytes < options.buffers ||
        optind != count) {
        fputs(USAGE, stderr);
        exit(2);
    }
}

/* Words that repeat at irregular distances: neither noise nor one long match. */
static void fill(uint8_t *data, size_t bytes)
{
    uint64_t state = 0x9E3779B97F4A7C15;
    for (size_t at = 0; at < bytes;) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char word[16];
        uint32_t draw = (state >> 32) % 4096;
        int length = snprintf(word, sizeof word, "%x ", (draw * draw / 4096) * 2654435761u >> draw % 20);
        for (int i = 0; i < length && at < bytes; i++)
            data[at++] = word[i];
    }
}

static uint64_t polls, empty;

/* A function of its own, so that callgrind can start to count here. */
static __attribute__((noinline)) void measured(void)
{
    uint64_t submitted = 0;
    while (done < options.requests) {
        while (free_count > 0 && submitted < options.requests) {
            CpaStatus status = submit(free_requests[free_count - 1]);
            if (status == CPA_STATUS_RETRY)
                break;
            check("submit", status);
            /* No callback runs outside the poll. */
            free_count--;
            submitted++;
        }
        CpaStatus status = poll_instance();
        polls++;
        if (status == CPA_STATUS_RETRY) {
            empty++;
            sched_yield();
        } else {
            check("poll", status);
        }
    }
}

/* libqat calls an encryption that the device refused a success. */
static void check_encryption(const struct request *request)
{
    static const uint8_t no_tag[16];
    if (memcmp(request->cipher.pDigestResult, no_tag, sizeof no_tag) == 0 ||
        memcmp(request->output.pData, request->inputs[0].pData, options.bytes) == 0)
        fail("encryption was refused", CPA_STATUS_UNSUPPORTED);
}

int main(int count, char **arguments)
{
    parse(count, arguments);
    check("icp_sal_userStart", icp_sal_userStart("SSL"));
    if (options.mode == GCM || options.mode == GCM_DP)
        open_encryption();
    else
        open_compression();
    user_input = malloc(options.bytes);
    user_output = malloc(2 * (size_t)options.bytes + 4096);
    free_requests = calloc(options.depth, sizeof *free_requests);
    fill(user_input, options.bytes);
    while (free_count < options.depth)
        free_requests[free_count++] = new_request();

    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    measured();
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (options.mode == GCM || options.mode == GCM_DP)
        for (uint32_t i = 0; i < free_count && i < done; i++)
            check_encryption(free_requests[free_count - 1 - i]);
    double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("requests=%" PRIu64 " in=%" PRIu64 " out=%" PRIu64 " polls=%" PRIu64 " empty=%" PRIu64 " seconds=%.6f\n",
           done, done * options.bytes, bytes_out, polls, empty, seconds);
    fflush(stdout);
    check("icp_sal_userStop", icp_sal_userStop());
    return 0;
}
