/* A stand-in for libnvidia-ml.so.1 that plays what the file named by FAKE_NVML_STATE says at each call.
 *
 * Lines "key value": init RC | count N | <index>.<field> VALUE, a VALUE of "!RC" being an NVML error code
 * for that field (field "handle": for the card itself) | hang FUNCTION | crash FUNCTION | say TEXT (printed
 * to stdout at init). <index>.processes is "pid:bytes:percent,...", percent -1 where no sample exists.
 * -DOLD_DRIVER leaves out functions that old drivers do not have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { unsigned gpu, memory; } rates_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } process_t;
typedef struct { unsigned pid; unsigned long long stamp; unsigned sm, mem, enc, dec; } sample_t;

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

static int read_key(const char *key, char *value) {
    char line[4096];
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    size_t length = strlen(key);
    int found = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) || line[length] != ' ') continue;
        line[strcspn(line, "\n")] = 0;
        strcpy(value, line + length + 1);
        found = 1;
    }
    if (file) fclose(file);
    return found;
}

static void enter(const char *function) {
    char value[4096];
    if (read_key("hang", value) && !strcmp(value, function))
        for (;;) pause();
    if (read_key("crash", value) && !strcmp(value, function)) abort();
}

static int field(void *handle, const char *name, char *value) {
    char key[64];
    snprintf(key, sizeof key, "%d.%s", (int)(size_t)handle - 1, name);
    if (!read_key(key, value)) return NOT_SUPPORTED;
    return value[0] == '!' ? atoi(value + 1) : OK;
}

static int number(void *handle, const char *name, unsigned long long *out) {
    char value[4096];
    int rc = field(handle, name, value);
    if (rc == OK) *out = strtoull(value, NULL, 10);
    return rc;
}

int nvmlInitWithFlags(unsigned flags) {
    char value[4096];
    (void)flags;
    enter("nvmlInitWithFlags");
    if (read_key("say", value)) { puts(value); fflush(stdout); }
    return read_key("init", value) ? atoi(value) : OK;
}

int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int rc) { return rc == 4242 ? "Made Up" : "Unknown"; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    char value[4096];
    enter("nvmlDeviceGetCount_v2");
    *count = read_key("count", value) ? (unsigned)atoi(value) : 0;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    char value[4096];
    *handle = (void *)(size_t)(index + 1);
    int rc = field(*handle, "handle", value);
    return rc == NOT_SUPPORTED ? OK : rc;
}

static int text(void *handle, const char *name, char *out, unsigned length) {
    char value[4096];
    int rc = field(handle, name, value);
    if (rc == OK) snprintf(out, length, "%s", value);
    return rc;
}

int nvmlDeviceGetName(void *handle, char *out, unsigned length) { return text(handle, "name", out, length); }
int nvmlDeviceGetUUID(void *handle, char *out, unsigned length) { return text(handle, "uuid", out, length); }

int nvmlDeviceGetUtilizationRates(void *handle, rates_t *out) {
    unsigned long long value = 0;
    enter("nvmlDeviceGetUtilizationRates");
    int rc = number(handle, "use", &value);
    out->gpu = (unsigned)value;
    out->memory = 0;
    return rc;
}

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *out) {
    int rc = number(handle, "total", &out->total);
    return rc == OK ? number(handle, "used", &out->used) : rc;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *out) {
    unsigned long long value = 0;
    (void)sensor;
    int rc = number(handle, "celsius", &value);
    *out = (unsigned)value;
    return rc;
}

/* Each "pid:bytes:percent"; returns how many, keeping at most `room` of them. */
static unsigned processes(void *handle, process_t *out, sample_t *samples, unsigned room) {
    char value[4096], *rest = value, *item;
    unsigned count = 0;
    if (field(handle, "processes", value) != OK) return 0;
    while ((item = strsep(&rest, ","))) {
        unsigned pid; unsigned long long bytes; int percent;
        if (sscanf(item, "%u:%llu:%d", &pid, &bytes, &percent) != 3) continue;
        if (samples && percent < 0) continue;
        if (count < room && out) out[count] = (process_t){pid, bytes, 0, 0};
        if (count < room && samples) samples[count] = (sample_t){pid, 1, (unsigned)percent, 0, 0, 0};
        count++;
    }
    return count;
}

static int list_processes(void *handle, unsigned *count, process_t *out) {
    unsigned room = out ? *count : 0;
    *count = processes(handle, out, NULL, room);
    return *count > room ? INSUFFICIENT_SIZE : OK;
}

#ifdef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v2(void *handle, unsigned *count, process_t *out) {
    return list_processes(handle, count, out);
}
#else
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_t *out) {
    return list_processes(handle, count, out);
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *out) {
    unsigned long long value = 0;
    int rc = number(handle, "milliwatts", &value);
    *out = (unsigned)value;
    return rc;
}

int nvmlDeviceGetProcessUtilization(void *handle, sample_t *out, unsigned *count, unsigned long long since) {
    sample_t kept[256];
    unsigned room = out ? *count : 0;
    (void)since;
    *count = processes(handle, NULL, kept, 256);
    if (!out && *count == 0) return OK; /* pynvml makes an exception "success" of this */
    if (*count > room) return INSUFFICIENT_SIZE;
    memcpy(out, kept, *count * sizeof *kept);
    return OK;
}
#endif
