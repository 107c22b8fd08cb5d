/* A stand-in for NVIDIA's libnvidia-ml.so.1 whose devices draw a power that is known in closed form.
 *
 * It reads the file that the environment variable SIMNVML names (written by simnvml/__init__.py) when
 * nvmlInit is first called. Times are seconds of CLOCK_MONOTONIC since `epoch`. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
       INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15, UNKNOWN = 999 };
#define MAX_DEVICES 64
#define MAX_MIGS 8
#define NEVER 1e300

typedef struct Device Device;
typedef struct { int is_mig; Device *parent; char uuid[96]; } Mig;
struct Device {
    int is_mig; /* first, as in Mig: a handle points to either */
    int index;
    char uuid[96], name[96], bus[32];
    double low, high, wave, duty, wave_phase; /* W, W, s, share, s */
    int counter;
    double period, phase, jitter; /* of the energy counter */
    uint64_t offset_mj;
    int power, instant;
    double power_period, power_phase, power_window, instant_window;
    int arch;
    double limit;
    double lost_at, lost_until, reset_at, denied_at, hang_at, hang_s;
    double freeze_at, thaw_at, counter_gain, dip_at, dip_j, dip_every; /* lies of the counter */
    double garbled_at, garbled_until, garbled_mw;                      /* and of the power */
    int nan_power, bad_uuid, bad_name, no_limit;
    long reads; /* of the counter */
    int migs;
    Mig mig[MAX_MIGS];
};

static Device devices[MAX_DEVICES];
static int device_count, initialised, init_error;
static double epoch, latency, init_hang_s;
static long calls;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

static double monotonic(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void wait_s(double s) {
    struct timespec ts = {(time_t)s, (long)((s - (time_t)s) * 1e9)};
    while (nanosleep(&ts, &ts) == -1 && errno == EINTR) {}
}

/* What tests ask of the simulation itself. */
long simnvml_calls(void) { return __atomic_load_n(&calls, __ATOMIC_SEQ_CST); }

static double now(void) { return monotonic() - epoch; }

/* Joules since the epoch. */
static double energy(const Device *d, double t) {
    if (d->wave <= 0 || d->high == d->low) return d->high * t;
    double x = (t - d->wave_phase) / d->wave, y = -d->wave_phase / d->wave;
    double fx = x - floor(x), fy = y - floor(y);
    double on = (floor(x) * d->duty + fmin(fx, d->duty)) - (floor(y) * d->duty + fmin(fy, d->duty));
    return d->low * t + (d->high - d->low) * on * d->wave;
}

/* When the k-th tick comes: jitter is a fixed function of k. */
static double tick_time(double period, double phase, double jitter, int64_t k) {
    uint64_t h = (uint64_t)k * 0x9E3779B97F4A7C15ull;
    h ^= h >> 32; h *= 0xD6E8FEB86659FD93ull; h ^= h >> 32;
    return phase + k * period + jitter * (2.0 * ((h >> 11) / 9007199254740992.0) - 1.0);
}

static double last_tick(double period, double phase, double jitter, double t) {
    int64_t k = (int64_t)floor((t - phase) / period) + 2;
    while (tick_time(period, phase, jitter, k) > t) k--;
    return tick_time(period, phase, jitter, k);
}

static double mean_power(const Device *d, double window) {
    double t = last_tick(d->power_period, d->power_phase, 0, now());
    return (energy(d, t) - energy(d, t - window)) / window;
}

static void read_config(void) {
    const char *path = getenv("SIMNVML");
    FILE *f = path ? fopen(path, "r") : NULL;
    device_count = 0; init_error = 0; epoch = latency = init_hang_s = 0;
    if (!f) { init_error = UNKNOWN; return; }
    char line[512], key[64], value[400];
    Device *d = NULL;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || sscanf(line, "%63s %399[^\n]", key, value) != 2) continue;
        double x = strcmp(value, "inf") ? atof(value) : NEVER;
        if (!strcmp(key, "epoch")) epoch = x;
        else if (!strcmp(key, "latency")) latency = x;
        else if (!strcmp(key, "init_error")) init_error = (int)x;
        else if (!strcmp(key, "init_hang_s")) init_hang_s = x;
        else if (!strcmp(key, "device")) {
            d = &devices[device_count];
            memset(d, 0, sizeof *d);
            d->index = device_count++;
            snprintf(d->bus, sizeof d->bus, "00000000:%02X:00.0", d->index + 1);
        }
        else if (!d) continue;
        else if (!strcmp(key, "uuid")) snprintf(d->uuid, sizeof d->uuid, "%s", value);
        else if (!strcmp(key, "name")) snprintf(d->name, sizeof d->name, "%s", value);
        else if (!strcmp(key, "mig")) {
            Mig *m = &d->mig[d->migs++];
            m->is_mig = 1; m->parent = d;
            snprintf(m->uuid, sizeof m->uuid, "%s", value);
        }
#define NUMBER(field) else if (!strcmp(key, #field)) d->field = x
        NUMBER(low); NUMBER(high); NUMBER(wave); NUMBER(duty); NUMBER(wave_phase);
        NUMBER(counter); NUMBER(period); NUMBER(phase); NUMBER(jitter); NUMBER(offset_mj);
        NUMBER(power); NUMBER(instant); NUMBER(power_period); NUMBER(power_phase); NUMBER(power_window);
        NUMBER(instant_window); NUMBER(arch); NUMBER(limit);
        NUMBER(freeze_at); NUMBER(thaw_at); NUMBER(counter_gain); NUMBER(dip_at); NUMBER(dip_j); NUMBER(dip_every);
        NUMBER(garbled_at); NUMBER(garbled_until); NUMBER(garbled_mw);
        NUMBER(nan_power); NUMBER(bad_uuid); NUMBER(bad_name); NUMBER(no_limit);
        NUMBER(lost_at); NUMBER(lost_until); NUMBER(reset_at); NUMBER(denied_at); NUMBER(hang_at); NUMBER(hang_s);
    }
    fclose(f);
}

/* What every call does first. */
static int enter(void) {
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (latency > 0) wait_s(latency);
    return initialised ? OK : UNINITIALIZED;
}

/* The same for a call on a device, which may hang, be lost or be denied. */
static int enter_device(void *handle, Device **out) {
    int error = enter();
    if (error) return error;
    if (!handle) return INVALID_ARGUMENT;
    Device *d = *(int *)handle ? ((Mig *)handle)->parent : handle;
    double t = now();
    if (t >= d->hang_at && t < d->hang_at + d->hang_s) wait_s(d->hang_at + d->hang_s - t);
    t = now();
    if (t >= d->lost_at && t < d->lost_until) return GPU_IS_LOST;
    *out = d;
    return OK;
}

#define DEVICE(handle) Device *d; int error = enter_device(handle, &d); if (error) return error
#define SENSOR(handle) DEVICE(handle); if (now() >= d->denied_at) return NO_PERMISSION; \
                       if (*(int *)handle) return NOT_SUPPORTED

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&init_lock);
    int first = !initialised;
    if (first) read_config();
    pthread_mutex_unlock(&init_lock);
    if (first && init_hang_s > 0) wait_s(init_hang_s);
    if (init_error) return init_error;
    __atomic_add_fetch(&initialised, 1, __ATOMIC_SEQ_CST);
    return OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlInit(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) {
    if (enter()) return UNINITIALIZED;
    __atomic_sub_fetch(&initialised, 1, __ATOMIC_SEQ_CST);
    return OK;
}

const char *nvmlErrorString(int code) {
    switch (code) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case 9: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

static int text(char *out, unsigned size, const char *value) {
    if (strlen(value) + 1 > size) return INSUFFICIENT_SIZE;
    strcpy(out, value);
    return OK;
}

int nvmlSystemGetDriverVersion(char *out, unsigned n) { int e = enter(); return e ? e : text(out, n, "580.65.06"); }
int nvmlSystemGetNVMLVersion(char *out, unsigned n) { int e = enter(); return e ? e : text(out, n, "13.580.65.06"); }
int nvmlSystemGetCudaDriverVersion(int *v) { int e = enter(); *v = 13000; return e; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { return nvmlSystemGetCudaDriverVersion(v); }

int nvmlDeviceGetCount_v2(unsigned *count) { int e = enter(); *count = e ? 0 : device_count; return e; }
int nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    int e = enter();
    if (e) return e;
    if (index >= (unsigned)device_count) return INVALID_ARGUMENT;
    *handle = &devices[index];
    return OK;
}
int nvmlDeviceGetHandleByIndex(unsigned index, void **handle) { return nvmlDeviceGetHandleByIndex_v2(index, handle); }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    int e = enter();
    if (e) return e;
    for (int i = 0; i < device_count; i++) {
        if (!strcmp(uuid, devices[i].uuid)) { *handle = &devices[i]; return OK; }
        for (int j = 0; j < devices[i].migs; j++)
            if (!strcmp(uuid, devices[i].mig[j].uuid)) { *handle = &devices[i].mig[j]; return OK; }
    }
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **handle) {
    int e = enter();
    if (e) return e;
    for (int i = 0; i < device_count; i++)
        if (!strcasecmp(bus, devices[i].bus)) { *handle = &devices[i]; return OK; }
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByPciBusId(const char *bus, void **handle) { return nvmlDeviceGetHandleByPciBusId_v2(bus, handle); }

#define NOT_UTF8 "GPU-\xff\xfe\x80"
int nvmlDeviceGetName(void *h, char *out, unsigned n) { DEVICE(h); return text(out, n, d->bad_name ? NOT_UTF8 : d->name); }
int nvmlDeviceGetUUID(void *h, char *out, unsigned n) {
    DEVICE(h);
    if (d->bad_uuid && !*(int *)h) return text(out, n, NOT_UTF8);
    return text(out, n, *(int *)h ? ((Mig *)h)->uuid : d->uuid);
}
int nvmlDeviceGetIndex(void *h, unsigned *index) { DEVICE(h); *index = d->index; return OK; }
int nvmlDeviceGetMinorNumber(void *h, unsigned *n) { DEVICE(h); *n = d->index; return OK; }
int nvmlDeviceGetSerial(void *h, char *out, unsigned n) { DEVICE(h); return text(out, n, d->uuid + 4); }
int nvmlDeviceGetArchitecture(void *h, unsigned *arch) { DEVICE(h); *arch = d->arch; return OK; }
int nvmlDeviceGetCudaComputeCapability(void *h, int *major, int *minor) { DEVICE(h); *major = 9; *minor = 0; return OK; }
int nvmlDeviceGetPersistenceMode(void *h, unsigned *mode) { DEVICE(h); *mode = 1; return OK; }
int nvmlDeviceGetComputeMode(void *h, unsigned *mode) { DEVICE(h); *mode = 0; return OK; }

typedef struct { char legacy[16]; unsigned domain, bus, device, pci, sub; char bus_id[32]; } PciInfo;
int nvmlDeviceGetPciInfo_v3(void *h, PciInfo *info) {
    DEVICE(h);
    memset(info, 0, sizeof *info);
    info->bus = d->index + 1;
    info->pci = 0x233010DE;
    snprintf(info->legacy, sizeof info->legacy, "0000:%02X:00.0", info->bus);
    strcpy(info->bus_id, d->bus);
    return OK;
}
typedef struct { unsigned long long total, free, used; } Memory;
int nvmlDeviceGetMemoryInfo(void *h, Memory *m) { DEVICE(h); m->total = 80ull << 30; m->used = 8ull << 30; m->free = 72ull << 30; return OK; }
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
int nvmlDeviceGetMemoryInfo_v2(void *h, Memory2 *m) { DEVICE(h); m->total = 80ull << 30; m->reserved = 0; m->used = 8ull << 30; m->free = 72ull << 30; return OK; }
typedef struct { unsigned gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(void *h, Utilization *u) { DEVICE(h); u->gpu = 50; u->memory = 20; return OK; }
int nvmlDeviceGetTemperature(void *h, unsigned sensor, unsigned *c) { (void)sensor; DEVICE(h); *c = 55; return OK; }
int nvmlDeviceGetFanSpeed(void *h, unsigned *percent) { DEVICE(h); *percent = 30; return OK; }
int nvmlDeviceGetClockInfo(void *h, unsigned type, unsigned *mhz) { (void)type; DEVICE(h); *mhz = 1500; return OK; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, void *p) { (void)p; DEVICE(h); *n = 0; return OK; }
int nvmlDeviceGetComputeRunningProcesses_v2(void *h, unsigned *n, void *p) { (void)p; DEVICE(h); *n = 0; return OK; }
int nvmlDeviceGetComputeRunningProcesses(void *h, unsigned *n, void *p) { (void)p; DEVICE(h); *n = 0; return OK; }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned *n, void *p) { (void)p; DEVICE(h); *n = 0; return OK; }
int nvmlDeviceGetGraphicsRunningProcesses_v2(void *h, unsigned *n, void *p) { (void)p; DEVICE(h); *n = 0; return OK; }

static int limit(Device *d, unsigned *mw) {
    if (d->no_limit) return NOT_SUPPORTED;
    *mw = (unsigned)(d->limit * 1000);
    return OK;
}
int nvmlDeviceGetPowerManagementLimit(void *h, unsigned *mw) { DEVICE(h); return limit(d, mw); }
int nvmlDeviceGetEnforcedPowerLimit(void *h, unsigned *mw) { DEVICE(h); return limit(d, mw); }
int nvmlDeviceGetPowerManagementDefaultLimit(void *h, unsigned *mw) { DEVICE(h); return limit(d, mw); }
int nvmlDeviceGetPowerManagementLimitConstraints(void *h, unsigned *low, unsigned *high) {
    DEVICE(h); *low = 100000; return limit(d, high);
}
int nvmlDeviceGetPowerManagementMode(void *h, unsigned *mode) { DEVICE(h); *mode = 1; return OK; }

static unsigned milliwatts(const Device *d, double window) {
    double t = now();
    if (t >= d->garbled_at && t < d->garbled_until) return (unsigned)d->garbled_mw;
    return (unsigned)llround(mean_power(d, window) * 1000);
}
int nvmlDeviceGetPowerUsage(void *h, unsigned *mw) {
    SENSOR(h);
    if (!d->power) return NOT_SUPPORTED;
    *mw = milliwatts(d, d->power_window);
    return OK;
}
static int counter(Device *d, unsigned long long *mj) {
    if (!d->counter) return NOT_SUPPORTED;
    double t = now();
    long read = __atomic_add_fetch(&d->reads, 1, __ATOMIC_SEQ_CST);
    double dip = t >= d->dip_at && read % (long)d->dip_every == 0 ? d->dip_j : 0;
    if (t >= d->freeze_at && t < d->thaw_at) t = d->freeze_at;
    double tick = last_tick(d->period, d->phase, d->jitter, t);
    if (t >= d->reset_at) {
        double since = energy(d, tick) - energy(d, d->reset_at);
        *mj = since > 0 ? (unsigned long long)(since * 1000) : 0;
    } else *mj = d->offset_mj + (long long)floor((energy(d, tick) * d->counter_gain - dip) * 1000);
    return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj) { SENSOR(h); return counter(d, mj); }

typedef struct {
    unsigned field, scope; int64_t timestamp, latency; unsigned type; int result;
    union { double d; unsigned ui; unsigned long ul; unsigned long long ull; long long sll; } value;
} FieldValue;
int nvmlDeviceGetFieldValues(void *h, int n, FieldValue *values) {
    SENSOR(h);
    for (int i = 0; i < n; i++) {
        FieldValue *v = &values[i];
        v->timestamp = 0; v->latency = 0; v->result = OK;
        v->type = 1;
        if (v->field == 186 && d->instant && d->nan_power) { v->type = 0; v->value.d = NAN; }
        else if (v->field == 186 && d->instant) v->value.ui = milliwatts(d, d->instant_window);
        else if (v->field == 185 && d->power) v->value.ui = milliwatts(d, d->power_window);
        else if (v->field == 83 && d->counter) { v->type = 3; v->result = counter(d, &v->value.ull); }
        else v->result = NOT_SUPPORTED;
    }
    return OK;
}

int nvmlDeviceGetMigMode(void *h, unsigned *current, unsigned *pending) {
    DEVICE(h);
    *current = *pending = d->migs > 0;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *n) { DEVICE(h); *n = d->migs ? 7 : 0; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned i, void **out) {
    DEVICE(h);
    if (i >= (unsigned)d->migs) return NOT_FOUND;
    *out = &d->mig[i];
    return OK;
}
int nvmlDeviceIsMigDeviceHandle(void *h, unsigned *is) { DEVICE(h); *is = *(int *)h; return OK; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *h, void **out) {
    DEVICE(h);
    if (!*(int *)h) return INVALID_ARGUMENT;
    *out = d;
    return OK;
}
