/*
 * A stand-in for the driver's libnvidia-ml.so.1: what ops/gpu.py calls of it, answered from the
 * file that NVML_STANDIN names. The file is read again at every call; its lines are
 *
 *   driver VERSION
 *   epoch NUMBER                 not the one at nvmlInit: the driver went away since
 *   gpu UUID USED TOTAL [mig]    mig: in MIG mode, memory refused as it is in a container
 *   mig UUID USED TOTAL [ALIAS]  a MIG device of the GPU above
 *   fail CALL CODE [UUID]
 *   hang CALL [UUID]             until the file says otherwise
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, NOT_SUPPORTED = 3, NO_PERMISSION, NOT_FOUND = 6, LOST = 15,
       UNKNOWN = 999, HANG = -1 };

#define MAX_DEVICES 16
#define NAME_SIZE 96

typedef const char *device_t; /* the UUID, at one address for good */

struct device {
    char uuid[NAME_SIZE], alias[NAME_SIZE];
    unsigned long long used, total;
    int in_mig_mode, parent; /* parent: -1 for a GPU */
};

struct state {
    char driver[NAME_SIZE];
    int epoch, count;
    struct device devices[MAX_DEVICES];
};

static int initialized, initial_epoch;

/* Returns the code that `call` is to answer for the device. */
static int read_state(struct state *state, const char *call, const char *uuid)
{
    const char *path = getenv("NVML_STANDIN");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], a[NAME_SIZE], b[NAME_SIZE];
    int code = SUCCESS, gpu = -1, n, value;

    memset(state, 0, sizeof *state);
    if (!file)
        return UNKNOWN;
    while (fgets(line, sizeof line, file)) {
        struct device *device = &state->devices[state->count % MAX_DEVICES];
        sscanf(line, "driver %95s", state->driver);
        sscanf(line, "epoch %d", &state->epoch);
        n = sscanf(line, "gpu %95s %llu %llu %95s", device->uuid, &device->used, &device->total, a);
        if (n >= 3) {
            device->in_mig_mode = n == 4;
            device->parent = -1;
            gpu = state->count++;
        }
        n = sscanf(line, "mig %95s %llu %llu %95s", device->uuid, &device->used, &device->total,
                   device->alias);
        if (n >= 3) {
            device->parent = gpu;
            state->count++;
        }
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

static struct device *find(struct state *state, const char *uuid)
{
    for (int i = 0; i < state->count; i++)
        if (!strcmp(state->devices[i].uuid, uuid) || !strcmp(state->devices[i].alias, uuid))
            return &state->devices[i];
    return NULL;
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

int nvmlDeviceGetMemoryInfo(device_t uuid, unsigned long long memory[3])
{
    struct state state;
    int code = enter(&state, __func__, uuid);
    struct device *device = find(&state, uuid);
    if (code != SUCCESS || !device)
        return code != SUCCESS ? code : LOST;
    memory[0] = device->total;
    memory[1] = device->total - device->used;
    memory[2] = device->used;
    return device->in_mig_mode ? NO_PERMISSION : SUCCESS;
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
