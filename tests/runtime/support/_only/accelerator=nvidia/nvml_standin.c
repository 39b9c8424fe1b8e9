/*
 * A stand-in for the driver's libnvidia-ml.so.1: what ops/gpu.py and load_test/devices.py call of
 * it, answered from the file that NVML_STANDIN names. The file is read again at every call; its
 * lines are
 *
 *   driver VERSION
 *   epoch NUMBER                 not the one at nvmlInit: the driver went away since
 *   gpu UUID USED TOTAL [mig]    mig: in MIG mode, memory refused as it is in a container
 *   mig UUID USED TOTAL [ALIAS]  a MIG device of the GPU above
 *   reserved UUID BYTES          what the driver keeps of it, beside USED
 *   process UUID PID USED        one that computes on it; USED -1: the driver does not know
 *   fail CALL CODE [UUID]        code 13: an old driver, which has no such call
 *   hang CALL [UUID]             until the file says otherwise
 *
 * USED of a device may be @FILE: the sum of the numbers in it, one a line, as a test's model leaves
 * them there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 6,
       INSUFFICIENT_SIZE, LOST = 15, UNKNOWN = 999, HANG = -1 };

#define MAX_DEVICES 16
#define MAX_PROCESSES 16
#define NAME_SIZE 96
#define PATH_SIZE 400

typedef const char *device_t; /* the UUID, at one address for good */

struct device {
    char uuid[NAME_SIZE], alias[NAME_SIZE];
    unsigned long long used, total, reserved;
    int in_mig_mode, parent; /* parent: -1 for a GPU */
};

struct process {
    char uuid[NAME_SIZE];
    unsigned pid;
    unsigned long long used;
};

struct state {
    char driver[NAME_SIZE];
    int epoch, count, process_count;
    struct device devices[MAX_DEVICES];
    struct process processes[MAX_PROCESSES];
};

/* As NVML's API has them. */
struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

struct process_info {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};

static int initialized, initial_epoch;

static struct device *find(struct state *state, const char *uuid)
{
    for (int i = 0; i < state->count; i++)
        if (!strcmp(state->devices[i].uuid, uuid) || !strcmp(state->devices[i].alias, uuid))
            return &state->devices[i];
    return NULL;
}

static unsigned long long bytes(const char *word)
{
    unsigned long long sum = 0, each;
    FILE *file;
    if (*word != '@')
        return strtoull(word, NULL, 10);
    file = fopen(word + 1, "r");
    while (file && fscanf(file, "%llu", &each) == 1)
        sum += each;
    if (file)
        fclose(file);
    return sum;
}

/* Returns the code that `call` is to answer for the device. */
static int read_state(struct state *state, const char *call, const char *uuid)
{
    const char *path = getenv("NVML_STANDIN");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], a[NAME_SIZE], b[NAME_SIZE], used[PATH_SIZE];
    int code = SUCCESS, gpu = -1, n, value;
    unsigned long long size;

    memset(state, 0, sizeof *state);
    if (!file)
        return UNKNOWN;
    while (fgets(line, sizeof line, file)) {
        struct device *device = &state->devices[state->count % MAX_DEVICES];
        struct process *process = &state->processes[state->process_count % MAX_PROCESSES];
        sscanf(line, "driver %95s", state->driver);
        sscanf(line, "epoch %d", &state->epoch);
        n = sscanf(line, "gpu %95s %399s %llu %95s", device->uuid, used, &device->total, a);
        if (n >= 3) {
            device->used = bytes(used);
            device->in_mig_mode = n == 4;
            device->parent = -1;
            gpu = state->count++;
        }
        n = sscanf(line, "mig %95s %399s %llu %95s", device->uuid, used, &device->total,
                   device->alias);
        if (n >= 3) {
            device->used = bytes(used);
            device->parent = gpu;
            state->count++;
        }
        if (sscanf(line, "reserved %95s %llu", a, &size) == 2 && (device = find(state, a)))
            device->reserved = size;
        if (sscanf(line, "process %95s %u %llu", process->uuid, &process->pid, &process->used) == 3)
            state->process_count++;
        n = sscanf(line, "fail %95s %d %95s", a, &value, b);
        if (n >= 2 && !strcmp(a, call) && (n == 2 || (uuid && !strcmp(b, uuid))))
            code = value;
        n = sscanf(line, "hang %95s %95s", a, b);
        if (n >= 1 && !strcmp(a, call) && (n == 1 || (uuid && !strcmp(b, uuid))))
            code = HANG;
    }
    fclose(file);
    return code;
}

static int enter(struct state *state, const char *call, const char *uuid)
{
    int code;
    while ((code = read_state(state, call, uuid)) == HANG)
        usleep(2000);
    if (code != SUCCESS || !strcmp(call, "nvmlInitWithFlags"))
        return code;
    if (!initialized)
        return UNINITIALIZED;
    return state->epoch == initial_epoch ? SUCCESS : UNKNOWN;
}

/* The index'th GPU for parent -1, else the index'th MIG device of that GPU. */
static struct device *nth(struct state *state, int parent, unsigned index)
{
    for (int i = 0; i < state->count; i++)
        if (state->devices[i].parent == parent && index-- == 0)
            return &state->devices[i];
    return NULL;
}

static device_t handle(const char *uuid)
{
    static char known[MAX_DEVICES][NAME_SIZE];
    for (int i = 0; i < MAX_DEVICES; i++) {
        if (!known[i][0])
            strcpy(known[i], uuid);
        if (!strcmp(known[i], uuid))
            return known[i];
    }
    abort();
}

int nvmlInitWithFlags(unsigned flags)
{
    struct state state;
    int code = enter(&state, __func__, NULL);
    (void)flags;
    if (code == SUCCESS && initialized++ == 0)
        initial_epoch = state.epoch;
    return code;
}

int nvmlShutdown(void)
{
    if (!initialized)
        return UNINITIALIZED;
    initialized--;
    return SUCCESS;
}

const char *nvmlErrorString(int code)
{
    static char text[32];
    snprintf(text, sizeof text, "Stand-in error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *version, unsigned size)
{
    struct state state;
    int code = enter(&state, __func__, NULL);
    if (code == SUCCESS)
        snprintf(version, size, "%s", state.driver);
    return code;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    struct state state;
    int code = enter(&state, __func__, NULL);
    for (*count = 0; nth(&state, -1, *count); ++*count)
        ;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *found)
{
    struct state state;
    struct device *device;
    int code;
    read_state(&state, __func__, NULL);
    device = nth(&state, -1, index);
    if (!device)
        return NOT_FOUND;
    *found = handle(device->uuid);
    code = enter(&state, __func__, *found);
    return code;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device_t *found)
{
    struct state state;
    int code = enter(&state, __func__, uuid);
    struct device *device = find(&state, uuid);
    if (code == SUCCESS && device)
        *found = handle(device->uuid);
    return code != SUCCESS ? code : device ? SUCCESS : NOT_FOUND;
}

int nvmlDeviceGetUUID(device_t device, char *uuid, unsigned size)
{
    struct state state;
    int code = enter(&state, __func__, device);
    snprintf(uuid, size, "%s", device);
    return code != SUCCESS ? code : find(&state, device) ? SUCCESS : LOST;
}

int nvmlDeviceGetName(device_t device, char *name, unsigned size)
{
    struct state state;
    snprintf(name, size, "NVIDIA Stand-in");
    return enter(&state, __func__, device);
}

static int read_memory(const char *call, const char *uuid, struct memory_v2 *memory)
{
    struct state state;
    int code = enter(&state, call, uuid);
    struct device *device = find(&state, uuid);
    if (code != SUCCESS || !device)
        return code != SUCCESS ? code : LOST;
    memory->total = device->total;
    memory->reserved = device->reserved;
    memory->free = device->total - device->used - device->reserved;
    memory->used = device->used;
    return device->in_mig_mode ? NO_PERMISSION : SUCCESS;
}

int nvmlDeviceGetMemoryInfo(device_t device, unsigned long long memory[3])
{
    struct memory_v2 found = {0};
    int code = read_memory(__func__, device, &found);
    memory[0] = found.total;
    memory[1] = found.free;
    memory[2] = found.used + found.reserved;
    return code;
}

int nvmlDeviceGetMemoryInfo_v2(device_t device, struct memory_v2 *memory)
{
    if (memory->version != (sizeof *memory | 2 << 24))
        return INVALID_ARGUMENT;
    return read_memory(__func__, device, memory);
}

/* With too little room, it answers how much is needed. */
int nvmlDeviceGetComputeRunningProcesses_v3(device_t uuid, unsigned *count,
                                            struct process_info *found)
{
    struct state state;
    int code = enter(&state, __func__, uuid);
    unsigned room = found ? *count : 0;
    *count = 0;
    for (int i = 0; i < state.process_count; i++) {
        struct process *process = &state.processes[i];
        if (strcmp(process->uuid, uuid))
            continue;
        if (*count < room)
            found[*count] = (struct process_info){process->pid, process->used, -1, -1};
        ++*count;
    }
    return code != SUCCESS ? code : *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t uuid, unsigned *count,
                                             struct process_info *found)
{
    struct state state;
    (void)found;
    *count = 0;
    return enter(&state, __func__, uuid);
}

int nvmlDeviceGetMaxMigDeviceCount(device_t uuid, unsigned *count)
{
    struct state state;
    *count = 7;
    return enter(&state, __func__, uuid);
}

int nvmlDeviceGetMigDeviceHandleByIndex(device_t uuid, unsigned index, device_t *found)
{
    struct state state;
    struct device *gpu, *device;
    int code = enter(&state, __func__, uuid);
    gpu = find(&state, uuid);
    device = gpu ? nth(&state, (int)(gpu - state.devices), index) : NULL;
    if (code != SUCCESS || !gpu || !gpu->in_mig_mode)
        return code != SUCCESS ? code : NOT_SUPPORTED;
    if (!device)
        return NOT_FOUND;
    *found = handle(device->uuid);
    return enter(&state, __func__, *found);
}
