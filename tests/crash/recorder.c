/*
 * Records what a process does to the files below one directory: opens, writes, syncs, names.
 *
 * Owns:      the trace file; the crash tests compile this and put it into LD_PRELOAD.
 * Promises:  operations stand in the trace in the order in which they took effect; a sync stands
 *            there twice, where it began and where it had ended, and runs beside everything else.
 * Knows not: what a power cut leaves of it. `disk.rs` replays the trace and decides.
 *
 * Environment (all read once, at load):
 *   RECORDER_DIRECTORY  absolute, without symbolic links; what lies below it is recorded
 *   RECORDER_TRACE      the trace, outside that directory; it is appended to
 *   RECORDER_KILL_AT    "NAME:N": SIGKILL when the mark NAME is reached for the N-th time
 *   RECORDER_FAIL_SYNC  "SUFFIX:FROM:TO": syncs FROM..TO of files named *SUFFIX answer EIO
 *   RECORDER_FAIL_WRITE "SUFFIX:FROM:TO": the same for writes, with ENOSPC after half the octets
 *
 * What it cannot replay (shared writable mappings, sendfile, links, …) is recorded as such, and the
 * replay refuses the trace. SQLite's "-shm" file is left out: it is rebuilt after a crash.
 */
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum op {
    OP_OPEN = 1, OP_CLOSE, OP_WRITE, OP_TRUNCATE, OP_ALLOCATE, OP_SYNC_BEGIN, OP_SYNC_END,
    OP_RENAME, OP_UNLINK, OP_MKDIR, OP_RMDIR, OP_DUP, OP_MARK, OP_UNSUPPORTED
};

/* Numbers in the byte order of the machine: the replay runs on the same one. */
struct header {
    uint32_t magic;
    uint32_t op;
    int32_t fd;
    uint32_t first, second;
    uint32_t unused;
    uint64_t a, b;
    uint64_t data;
};

#define MAGIC 0x52545250u
#define FDS 65536

struct faults { char suffix[64]; unsigned long from, to, count; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_MAX];
static size_t directory_length;
static int trace = -1;
static char kill_name[128];
static unsigned long kill_count;
static struct faults fail_sync, fail_write;
static uint64_t syncs;
static unsigned char tracked[FDS];

/* Looked up once at each place; two threads that do so at once find the same. */
#define REAL(name) ({ static __typeof__(&name) found; if (!found) found = real(#name); found; })

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "recorder: no %s in libc\n", name);
        abort();
    }
    return found;
}

static void read_faults(const char *variable, struct faults *faults)
{
    const char *text = getenv(variable);
    if (text && sscanf(text, "%63[^:]:%lu:%lu", faults->suffix, &faults->from, &faults->to) != 3)
        abort();
}

__attribute__((constructor)) static void start(void)
{
    const char *where = getenv("RECORDER_DIRECTORY"), *into = getenv("RECORDER_TRACE");
    const char *kill_at = getenv("RECORDER_KILL_AT");
    if (!where || !into)
        return;
    snprintf(directory, sizeof directory, "%s", where);
    directory_length = strlen(directory);
    if (kill_at && sscanf(kill_at, "%127[^:]:%lu", kill_name, &kill_count) != 2)
        abort();
    read_faults("RECORDER_FAIL_SYNC", &fail_sync);
    read_faults("RECORDER_FAIL_WRITE", &fail_write);
    trace = (int)syscall(SYS_openat, AT_FDCWD, into, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0)
        abort();
}

static int below(const char *path)
{
    return trace >= 0 && strncmp(path, directory, directory_length) == 0
        && (path[directory_length] == '/' || path[directory_length] == 0);
}

static int ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), tail = strlen(suffix);
    return length >= tail && strcmp(path + length - tail, suffix) == 0;
}

static int is_tracked(int fd)
{
    return trace >= 0 && fd >= 0 && fd < FDS && tracked[fd];
}

static void put(const struct iovec *parts, int count)
{
    struct iovec left[IOV_MAX];
    memcpy(left, parts, sizeof *parts * (size_t)count);
    for (int at = 0; at < count;) {
        ssize_t written = syscall(SYS_writev, trace, left + at, count - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            abort();
        while (at < count && (size_t)written >= left[at].iov_len)
            written -= (ssize_t)left[at++].iov_len;
        if (at < count) {
            left[at].iov_base = (char *)left[at].iov_base + written;
            left[at].iov_len -= (size_t)written;
        }
    }
}

/* With the lock held. `data` octets are taken from the front of `parts`. */
static void record(enum op op, int fd, const char *first, const char *second, uint64_t a, uint64_t b,
                   const struct iovec *parts, int count, uint64_t data)
{
    int saved = errno;
    struct header header = {
        .magic = MAGIC, .op = op, .fd = fd, .first = first ? (uint32_t)strlen(first) : 0,
        .second = second ? (uint32_t)strlen(second) : 0, .a = a, .b = b, .data = data,
    };
    struct iovec all[IOV_MAX];
    int used = 0;
    all[used++] = (struct iovec){ &header, sizeof header };
    all[used++] = (struct iovec){ (void *)first, header.first };
    all[used++] = (struct iovec){ (void *)second, header.second };
    for (int at = 0; at < count && data > 0; at++) {
        size_t taken = parts[at].iov_len < data ? parts[at].iov_len : (size_t)data;
        if (used == IOV_MAX) {
            put(all, used);
            used = 0;
        }
        all[used++] = (struct iovec){ parts[at].iov_base, taken };
        data -= taken;
    }
    put(all, used);
    errno = saved;
}

static void note(enum op op, int fd, uint64_t a, uint64_t b)
{
    record(op, fd, NULL, NULL, a, b, NULL, 0, 0);
}

static void unsupported(const char *what)
{
    record(OP_UNSUPPORTED, -1, what, NULL, 0, 0, NULL, 0, 0);
}

static void path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

static void absolute(int at, const char *given, char *path)
{
    char base[PATH_MAX] = "";
    if (given[0] == '/') {
        snprintf(path, PATH_MAX, "%s", given);
        return;
    }
    if (at != AT_FDCWD)
        path_of(at, base);
    else if (!getcwd(base, sizeof base))
        base[0] = 0;
    if (snprintf(path, PATH_MAX, "%s/%s", base, given) >= PATH_MAX)
        abort();
}

/* Marks, from the product's debug builds and from the tests' own drivers. */
void postroad_recorder_mark(const char *name)
{
    if (trace < 0)
        return;
    pthread_mutex_lock(&lock);
    record(OP_MARK, -1, name, NULL, 0, 0, NULL, 0, 0);
    if (kill_count && strcmp(name, kill_name) == 0 && --kill_count == 0)
        syscall(SYS_kill, getpid(), SIGKILL);
    pthread_mutex_unlock(&lock);
}

static int opened(int fd, int flags)
{
    char path[PATH_MAX];
    if (fd < 0)
        return fd;
    path_of(fd, path);
    if (!below(path) || ends_with(path, "-shm"))
        return fd;
    if (fd >= FDS || (flags & (O_SYNC | O_DSYNC)) || (flags & O_TMPFILE) == O_TMPFILE)
        unsupported("a descriptor, O_SYNC or O_TMPFILE");
    if (fd < FDS)
        tracked[fd] = 1;
    record(OP_OPEN, fd, path, NULL, (uint64_t)flags, 0, NULL, 0, 0);
    return fd;
}

#define OPENS(name, at, arguments, parameters)                                       \
    int name parameters                                                              \
    {                                                                                \
        mode_t mode = 0;                                                             \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                       \
            va_list rest;                                                            \
            va_start(rest, flags);                                                   \
            mode = va_arg(rest, mode_t);                                             \
            va_end(rest);                                                            \
        }                                                                            \
        static int (*next)();                                                        \
        if (!next)                                                                   \
            next = real(#name);                                                      \
        pthread_mutex_lock(&lock);                                                   \
        int fd = opened(next arguments, flags);                                      \
        pthread_mutex_unlock(&lock);                                                 \
        return fd;                                                                   \
    }

OPENS(open, AT_FDCWD, (path, flags, mode), (const char *path, int flags, ...))
OPENS(open64, AT_FDCWD, (path, flags, mode), (const char *path, int flags, ...))
OPENS(openat, at, (at, path, flags, mode), (int at, const char *path, int flags, ...))
OPENS(openat64, at, (at, path, flags, mode), (int at, const char *path, int flags, ...))

int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd)
{
    if (!is_tracked(fd))
        return REAL(close)(fd);
    pthread_mutex_lock(&lock);
    int result = REAL(close)(fd);
    tracked[fd] = 0;
    note(OP_CLOSE, fd, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

static int duplicated(int old, int fd)
{
    if (fd >= 0 && fd < FDS) {
        if (tracked[fd] && fd != old)
            note(OP_CLOSE, fd, 0, 0);
        tracked[fd] = tracked[old];
        if (tracked[old] && fd != old)
            note(OP_DUP, old, (uint64_t)fd, 0);
    }
    return fd;
}

#define DUPLICATES(name, parameters, old, arguments)      \
    int name parameters                                   \
    {                                                     \
        if (!is_tracked(old))                             \
            return REAL(name) arguments;                  \
        pthread_mutex_lock(&lock);                        \
        int fd = duplicated(old, REAL(name) arguments);   \
        pthread_mutex_unlock(&lock);                      \
        return fd;                                        \
    }

DUPLICATES(dup, (int old), old, (old))
DUPLICATES(dup2, (int old, int new), old, (old, new))
DUPLICATES(dup3, (int old, int new, int flags), old, (old, new, flags))

static int control(const char *name, int fd, int command, void *argument)
{
    int (*next)(int, int, ...) = real(name);
    if (!is_tracked(fd) || (command != F_DUPFD && command != F_DUPFD_CLOEXEC))
        return next(fd, command, argument);
    pthread_mutex_lock(&lock);
    int result = duplicated(fd, next(fd, command, argument));
    pthread_mutex_unlock(&lock);
    return result;
}

#define CONTROLS(name)                                    \
    int name(int fd, int command, ...)                    \
    {                                                     \
        va_list rest;                                     \
        va_start(rest, command);                          \
        void *argument = va_arg(rest, void *);            \
        va_end(rest);                                     \
        return control(#name, fd, command, argument);     \
    }

CONTROLS(fcntl)
CONTROLS(fcntl64)

static int fails(struct faults *faults, int fd)
{
    char path[PATH_MAX];
    if (!faults->suffix[0])
        return 0;
    path_of(fd, path);
    if (!ends_with(path, faults->suffix))
        return 0;
    faults->count++;
    return faults->count >= faults->from && faults->count <= faults->to;
}

/* `offset` below 0: at the file's position, which the kernel has moved behind what was written. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off64_t offset)
{
    pthread_mutex_lock(&lock);
    ssize_t written;
    struct iovec half[1];
    if (fails(&fail_write, fd)) {
        if (parts[0].iov_len < 2 || fail_write.count != fail_write.from) {
            pthread_mutex_unlock(&lock);
            errno = ENOSPC;
            return -1;
        }
        half[0] = (struct iovec){ parts[0].iov_base, parts[0].iov_len / 2 };
        parts = half;
        count = 1;
    }
    if (offset < 0)
        written = syscall(SYS_writev, fd, parts, count);
    else
        written = REAL(pwritev64)(fd, parts, count, offset);
    if (written > 0) {
        uint64_t at = (uint64_t)offset;
        if (offset < 0)
            at = (uint64_t)(lseek64(fd, 0, SEEK_CUR) - written);
        record(OP_WRITE, fd, NULL, NULL, at, 0, parts, count, (uint64_t)written);
    }
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (!is_tracked(fd))
        return REAL(write)(fd, data, length);
    struct iovec part = { (void *)data, length };
    return write_parts(fd, &part, 1, -1);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (!is_tracked(fd))
        return REAL(writev)(fd, parts, count);
    return write_parts(fd, parts, count, -1);
}

#define WRITES(name, offset_type)                                                     \
    ssize_t name(int fd, const void *data, size_t length, offset_type offset)         \
    {                                                                                 \
        if (!is_tracked(fd))                                                          \
            return REAL(name)(fd, data, length, offset);                              \
        struct iovec part = { (void *)data, length };                                 \
        return write_parts(fd, &part, 1, offset);                                     \
    }

WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)

#define VECTOR_WRITES(name, offset_type)                                              \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type offset)    \
    {                                                                                 \
        if (!is_tracked(fd))                                                          \
            return REAL(name)(fd, parts, count, offset);                              \
        return write_parts(fd, parts, count, offset);                                 \
    }

VECTOR_WRITES(pwritev, off_t)

/* `write_parts` itself needs the real one, so this one is not made by the macro. */
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return is_tracked(fd) ? write_parts(fd, parts, count, offset)
                          : REAL(pwritev64)(fd, parts, count, offset);
}

#define SYNCS(name, kind)                                                             \
    int name(int fd)                                                                  \
    {                                                                                 \
        if (!is_tracked(fd))                                                          \
            return REAL(name)(fd);                                                    \
        pthread_mutex_lock(&lock);                                                    \
        uint64_t serial = ++syncs;                                                    \
        int failing = fails(&fail_sync, fd);                                          \
        note(OP_SYNC_BEGIN, fd, serial, kind);                                        \
        pthread_mutex_unlock(&lock);                                                  \
        int result = failing ? -1 : REAL(name)(fd);                                   \
        pthread_mutex_lock(&lock);                                                    \
        note(OP_SYNC_END, fd, serial, result != 0);                                   \
        pthread_mutex_unlock(&lock);                                                  \
        if (failing)                                                                  \
            errno = EIO;                                                              \
        return result;                                                                \
    }

SYNCS(fsync, 0)
SYNCS(fdatasync, 1)

#define WITH_LOG(call, ...)                                                           \
    pthread_mutex_lock(&lock);                                                        \
    int result = call;                                                                \
    if (result == 0) {                                                                \
        __VA_ARGS__;                                                                  \
    }                                                                                 \
    pthread_mutex_unlock(&lock);                                                      \
    return result;

#define TRUNCATES(name, type)                                                         \
    int name(int fd, type length)                                                     \
    {                                                                                 \
        if (!is_tracked(fd))                                                          \
            return REAL(name)(fd, length);                                            \
        WITH_LOG(REAL(name)(fd, length), note(OP_TRUNCATE, fd, (uint64_t)length, 0))  \
    }

TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

#define ALLOCATES(name, type)                                                         \
    int name(int fd, int mode, type offset, type length)                              \
    {                                                                                 \
        if (!is_tracked(fd))                                                          \
            return REAL(name)(fd, mode, offset, length);                              \
        WITH_LOG(REAL(name)(fd, mode, offset, length),                                \
                 note(OP_ALLOCATE, fd, (uint64_t)mode, (uint64_t)(offset + length)))  \
    }

ALLOCATES(fallocate, off_t)
ALLOCATES(fallocate64, off64_t)

#define POSIX_ALLOCATES(name, type)                                                   \
    int name(int fd, type offset, type length)                                        \
    {                                                                                 \
        if (!is_tracked(fd))                                                          \
            return REAL(name)(fd, offset, length);                                    \
        WITH_LOG(REAL(name)(fd, offset, length),                                      \
                 note(OP_ALLOCATE, fd, 0, (uint64_t)(offset + length)))               \
    }

POSIX_ALLOCATES(posix_fallocate, off_t)
POSIX_ALLOCATES(posix_fallocate64, off64_t)

static void name_changed(enum op op, const char *first, const char *second)
{
    if (below(first) || (second && below(second)))
        record(op, -1, first, second, 0, 0, NULL, 0, 0);
}

static int named(const char *path) { return below(path) && !ends_with(path, "-shm"); }

int unlink(const char *given)
{
    char path[PATH_MAX];
    absolute(AT_FDCWD, given, path);
    if (!named(path))
        return REAL(unlink)(given);
    WITH_LOG(REAL(unlink)(given), name_changed(OP_UNLINK, path, NULL))
}

int unlinkat(int at, const char *given, int flags)
{
    char path[PATH_MAX];
    absolute(at, given, path);
    if (!named(path))
        return REAL(unlinkat)(at, given, flags);
    WITH_LOG(REAL(unlinkat)(at, given, flags),
             name_changed(flags & AT_REMOVEDIR ? OP_RMDIR : OP_UNLINK, path, NULL))
}

int rmdir(const char *given)
{
    char path[PATH_MAX];
    absolute(AT_FDCWD, given, path);
    if (!named(path))
        return REAL(rmdir)(given);
    WITH_LOG(REAL(rmdir)(given), name_changed(OP_RMDIR, path, NULL))
}

int mkdir(const char *given, mode_t mode)
{
    char path[PATH_MAX];
    absolute(AT_FDCWD, given, path);
    if (!named(path))
        return REAL(mkdir)(given, mode);
    WITH_LOG(REAL(mkdir)(given, mode), name_changed(OP_MKDIR, path, NULL))
}

int mkdirat(int at, const char *given, mode_t mode)
{
    char path[PATH_MAX];
    absolute(at, given, path);
    if (!named(path))
        return REAL(mkdirat)(at, given, mode);
    WITH_LOG(REAL(mkdirat)(at, given, mode), name_changed(OP_MKDIR, path, NULL))
}

#define RENAMES(name, parameters, arguments, from_at, to_at)                          \
    int name parameters                                                               \
    {                                                                                 \
        char first[PATH_MAX], second[PATH_MAX];                                       \
        absolute(from_at, from, first);                                               \
        absolute(to_at, to, second);                                                  \
        if (!below(first) && !below(second))                                          \
            return REAL(name) arguments;                                              \
        WITH_LOG(REAL(name) arguments, name_changed(OP_RENAME, first, second))        \
    }

RENAMES(rename, (const char *from, const char *to), (from, to), AT_FDCWD, AT_FDCWD)
RENAMES(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), a, b)

/* From here on: what the replay does not know. */
#define REFUSES(type, name, parameters, arguments, condition)                         \
    type name parameters                                                              \
    {                                                                                 \
        if (condition) {                                                              \
            pthread_mutex_lock(&lock);                                                \
            unsupported(#name);                                                       \
            pthread_mutex_unlock(&lock);                                              \
        }                                                                             \
        return REAL(name) arguments;                                                  \
    }

REFUSES(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
        (a, from, b, to, flags), below(from) || below(to))
REFUSES(int, link, (const char *from, const char *to), (from, to), below(to))
REFUSES(int, linkat, (int a, const char *from, int b, const char *to, int flags),
        (a, from, b, to, flags), below(to))
REFUSES(int, symlink, (const char *from, const char *to), (from, to), below(to))
REFUSES(int, truncate, (const char *path, off_t length), (path, length), below(path))
REFUSES(int, truncate64, (const char *path, off64_t length), (path, length), below(path))
REFUSES(ssize_t, copy_file_range,
        (int from, off64_t *a, int to, off64_t *b, size_t length, unsigned flags),
        (from, a, to, b, length, flags), is_tracked(to))
REFUSES(ssize_t, pwritev2,
        (int fd, const struct iovec *parts, int count, off_t offset, int flags),
        (fd, parts, count, offset, flags), is_tracked(fd))
REFUSES(ssize_t, pwritev64v2,
        (int fd, const struct iovec *parts, int count, off64_t offset, int flags),
        (fd, parts, count, offset, flags), is_tracked(fd))
REFUSES(void *, mmap, (void *at, size_t length, int access, int flags, int fd, off_t offset),
        (at, length, access, flags, fd, offset),
        is_tracked(fd) && (flags & MAP_SHARED) && (access & PROT_WRITE))
REFUSES(void *, mmap64, (void *at, size_t length, int access, int flags, int fd, off64_t offset),
        (at, length, access, flags, fd, offset),
        is_tracked(fd) && (flags & MAP_SHARED) && (access & PROT_WRITE))
