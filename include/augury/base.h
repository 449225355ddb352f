/* SPDX-License-Identifier: MIT */
/*
 * base.h - what every room stands on: error codes, bytes, growable buffers, arenas, digests,
 * clocks, shared memory and log lines.
 * Room: base (floor 0, uses libc and xxhash). Process: all.
 * Ownership: said at each type. Nothing here keeps state between calls; contexts are arguments.
 * Errors: 0 done, > 0 a normal no (enum augury_no), < 0 a failure (enum augury_err).
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AUGURY_MUST_USE __attribute__((warn_unused_result))
#define AUGURY_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define AUGURY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Stops the process on a bug of ours, also in release builds. Never used on input. */
#define AUGURY_ASSERT(cond) ((cond) ? (void)0 : augury_assert_fail(#cond, __FILE__, __LINE__))
_Noreturn void augury_assert_fail(const char *cond, const char *file, int line);

/* ---- codes ------------------------------------------------------------------------------ */

enum augury_no {
    AUGURY_NOT_FOUND = 1, /* looked, is not there */
    AUGURY_MORE = 2,      /* more input is needed before an answer is possible */
    AUGURY_END = 3,       /* a sequence is over */
};

enum augury_err {
    AUGURY_OK = 0,
    AUGURY_ERR_NOMEM = -1,       /* memory or a bounded arena is used up */
    AUGURY_ERR_INVALID = -2,     /* input breaks a rule that the message names */
    AUGURY_ERR_LIMIT = -3,       /* input is larger or deeper than a configured limit */
    AUGURY_ERR_UNSUPPORTED = -4, /* well-formed, of a kind that augury does not read */
    AUGURY_ERR_CORRUPT = -5,     /* stored bytes do not match their checksum or format */
    AUGURY_ERR_IO = -6,          /* the system refused an operation on a file or socket */
    AUGURY_ERR_FULL = -7,        /* a map, ring or table has no room left */
    AUGURY_ERR_EXISTS = -8,      /* the name or version is taken */
    AUGURY_ERR_DENIED = -9,      /* missing right */
    AUGURY_ERR_BUSY = -10,       /* somebody else holds it; try again */
    AUGURY_ERR_TIMEOUT = -11,    /* a deadline passed */
    AUGURY_ERR_STATE = -12,      /* not possible now (draining, not loaded) */
};

/* A few words for a code of either enum, for messages. */
const char *augury_strerror(int rc);

/*
 * What went wrong, where, and what would be right. Caller's storage, never freed. `code` is a
 * static snake_case word that clients may test ("invalid_feature"), `at` the place
 * ("rows[3].ydstogo", "augury.conf:12", "byte 812"; may be empty), `reason` one sentence.
 */
struct err {
    int rc;
    const char *code;
    char at[160];
    char reason[352];
};

/* Fills *err (which may be NULL) and returns rc, so that `return err_set(...)` reads as one
 * step. Clears `at`. Reason and place are UTF-8 without control characters: others become '?'. */
int err_set(struct err *err, int rc, const char *code, const char *fmt, ...) AUGURY_PRINTF(4, 5);
/* Sets the place of an error that has been set; returns err->rc (or 0 when err is NULL). */
int err_at(struct err *err, const char *fmt, ...) AUGURY_PRINTF(2, 3);

/* ---- bytes ------------------------------------------------------------------------------ */

/* A borrowed view. data may be NULL when len is 0. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

/* The first few are here, within reach of the optimiser: a request makes hundreds of views. */
static inline struct bytes
bytes_of(const void *data, size_t len)
{
    return (struct bytes){.data = (const uint8_t *)data, .len = len};
}

static inline struct bytes
bytes_of_text(const char *text)
{
    return bytes_of(text, strlen(text));
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool
bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}

bool bytes_equal_nocase(struct bytes a, const char *lower_case_text); /* ASCII */
bool bytes_start_with(struct bytes a, const char *prefix);
/* Unsigned decimal, all of `text`, digits only. 0, AUGURY_ERR_INVALID or AUGURY_ERR_LIMIT (over
 * max). */
AUGURY_MUST_USE int bytes_to_u64(struct bytes text, uint64_t max, uint64_t *out_value);
enum { U64_TEXT_MAX = 20 };
/* Decimal digits of value, no NUL; out_text has room for U64_TEXT_MAX. Returns how many. */
size_t u64_to_text(uint64_t value, char *out_text);
bool utf8_is_valid(struct bytes text);

/* Little-endian fields of stored formats; p needs no alignment. */
static inline uint16_t
le16_get(const uint8_t *p)
{
    return (uint16_t)(p[0] | (unsigned)p[1] << 8);
}

static inline uint32_t
le32_get(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
le64_get(const uint8_t *p)
{
    return (uint64_t)le32_get(p) | (uint64_t)le32_get(p + 4) << 32;
}

static inline void
le16_put(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void
le32_put(uint8_t *p, uint32_t value)
{
    le16_put(p, (uint16_t)value);
    le16_put(p + 2, (uint16_t)(value >> 16));
}

static inline void
le64_put(uint8_t *p, uint64_t value)
{
    le32_put(p, (uint32_t)value);
    le32_put(p + 4, (uint32_t)(value >> 32));
}

/* ---- buf: a growable buffer with a maximum ------------------------------------------------ */

/* Sticky: after the first put that does not fit or cannot be allocated, further puts do nothing and
 * buf_finish() gives the code. The buffer owns data. */
struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
    int rc;
};

void buf_init(struct buf *buf, size_t max_bytes);
void buf_fini(struct buf *buf);  /* frees; the buffer may be initialised again */
void buf_reset(struct buf *buf); /* empties, keeps the memory, clears the sticky code */
void buf_put(struct buf *buf, const void *data, size_t len);
void buf_put_bytes(struct buf *buf, struct bytes bytes);
void buf_put_text(struct buf *buf, const char *text);
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u64(struct buf *buf, uint64_t value); /* decimal */
void buf_printf(struct buf *buf, const char *fmt, ...) AUGURY_PRINTF(2, 3);
/* Room for len more bytes at the end, or NULL (sticky); buf_commit() makes the first n of them
 * count. */
uint8_t *buf_reserve(struct buf *buf, size_t len);
void buf_commit(struct buf *buf, size_t n);
void buf_consume(struct buf *buf, size_t n); /* drops the first n bytes */
AUGURY_MUST_USE int buf_finish(const struct buf *buf);
struct bytes buf_view(const struct buf *buf);

/* ---- arena: bounded memory that is freed all at once --------------------------------------- */

/* One reserved range of address space; pages are taken from the system as they are touched. */
struct arena {
    uint8_t *base;
    size_t used;
    size_t max;
    size_t high; /* the most ever used since the last trim */
};

AUGURY_MUST_USE int arena_init(struct arena *arena, size_t max_bytes);
void arena_fini(struct arena *arena);
/* Empties; gives memory beyond the first keep_bytes back to the system when it was touched. */
void arena_reset(struct arena *arena, size_t keep_bytes);
/* 16-byte aligned, not zeroed; NULL when the bound is reached. */
void *arena_alloc(struct arena *arena, size_t size) AUGURY_MUST_USE;
void *arena_zalloc(struct arena *arena, size_t count,
                   size_t size) AUGURY_MUST_USE; /* overflow-checked, zeroed */
void *arena_alloc_aligned(struct arena *arena, size_t size, size_t align) AUGURY_MUST_USE;
/* A copy that ends with a NUL. */
char *arena_text(struct arena *arena, struct bytes text) AUGURY_MUST_USE;

/* ---- addresses ---------------------------------------------------------------------------- */

/* IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that a client is the same whichever socket it comes
 * by. All zero: none, as of who comes by a UNIX socket. */
struct ip_address {
    uint8_t bytes[16];
};
struct ip_address ip_of_v4(const uint8_t *four_bytes); /* in network order */
static inline bool
ip_equal(const struct ip_address *a, const struct ip_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
bool ip_is_none(const struct ip_address *address);
bool ip_is_v4(const struct ip_address *address);
/* "192.0.2.1" or "2001:db8::1", all of text. AUGURY_ERR_INVALID: neither. */
AUGURY_MUST_USE int ip_parse(struct bytes text, struct ip_address *out_address);
/* As ip_parse() reads it, "-" for none; room: IP_TEXT_MAX + 1 bytes, and what is returned. */
enum { IP_TEXT_MAX = 45 };
const char *ip_to_text(const struct ip_address *address, char *room);

struct ip_network {
    struct ip_address address; /* zero behind its bits */
    uint8_t bits;              /* of the 128; IPv4 has 96 more than it is written with */
};
enum { IP_NETWORKS_MAX = 16 };
struct ip_networks {
    uint32_t count;
    bool has_unix; /* whoever comes by a UNIX socket */
    struct ip_network list[IP_NETWORKS_MAX];
};
/* "10.0.0.0/8, 192.0.2.1, ::1, unix:", or "": none. Every byte of *out_networks is written. */
AUGURY_MUST_USE int ip_networks_parse(const char *text, struct ip_networks *out_networks,
                                      struct err *err);
void ip_networks_put(const struct ip_networks *networks, struct buf *buf);
bool ip_networks_contain(const struct ip_networks *networks, const struct ip_address *address);

/* ---- digests ------------------------------------------------------------------------------ */

/* XXH3, 128 bits (xxhash). Not a signature: see seal.h for SHA-256. */
struct digest {
    uint64_t lo;
    uint64_t hi;
};

enum { DIGEST_SECRET_BYTES = 192, DIGEST_HEX_BYTES = 32 };

struct digest digest_of(struct bytes data);
/* secret: DIGEST_SECRET_BYTES random bytes. */
struct digest digest_with_secret(struct bytes data, const uint8_t *secret);
bool digest_equal(struct digest a, struct digest b);
/* Writes DIGEST_HEX_BYTES lower-case hex characters, hi first, no NUL. */
void digest_to_hex(struct digest digest, char *out_hex);
uint64_t hash64_of(struct bytes data);             /* XXH3, 64 bits */
void hex_encode(struct bytes data, char *out_hex); /* 2 × len characters, no NUL */
/* RFC 4648 4, with padding, no NUL. */
size_t base64_len(size_t data_len);
void base64_encode(struct bytes data, char *out_text);

/* ---- clocks ------------------------------------------------------------------------------- */

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* The same clock as of the kernel's last tick, at most a few ms ago: at a fifth of the cost, for
 * deadlines. */
uint64_t clock_mono_coarse_ns(void);
/* How long this thread has computed so far, or waited for a processor: what it has not slept. Some
 * microseconds, as a file of the kernel's is read. */
uint64_t clock_thread_awake_ns(void);
/* Without the waiting: how long it has computed. */
uint64_t clock_thread_cpu_ns(void);
uint64_t clock_wall_ms(void); /* since 1970, UTC */

enum { CLOCK_HTTP_BYTES = 29, CLOCK_ISO_BYTES = 24 };
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7), no NUL. */
void clock_to_http(uint64_t wall_ms, char *out_text);
/* "1994-11-06T08:49:37.123Z", no NUL. */
void clock_to_iso(uint64_t wall_ms, char *out_text);

/* ---- shared memory ------------------------------------------------------------------------ */

/* Zeroed, shared with every child forked later, not reserved in advance. NULL when refused. */
void *shm_map(size_t size_bytes) AUGURY_MUST_USE;
void shm_unmap(void **map, size_t size_bytes);

/* ---- jobs: threads for work that takes long ------------------------------------------------ */

/* Work handed to a pool. Caller's storage; set run and arg. */
struct job {
    void (*run)(void *arg);
    void *arg;
    struct job *next; /* private */
    bool is_done;     /* private */
};

enum { JOBS_THREADS_MAX = 256 };

struct jobs;
/* After fork only. Fewer threads than asked for when the system gives no more. They take no signal.
 */
AUGURY_MUST_USE int jobs_new(unsigned thread_count, struct jobs **out_jobs);
void jobs_free(struct jobs **jobs); /* does what was put, then ends the threads */
unsigned jobs_thread_count(const struct jobs *jobs);
/* Jobs begin in the order in which they were put; each has to be waited for before it is put again
 * or its memory goes. */
void jobs_put(struct jobs *jobs, struct job *job);
void jobs_wait(struct jobs *jobs, const struct job *job);

/* ---- log ---------------------------------------------------------------------------------- */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * One line an event, logfmt: `2026-01-02T03:04:05.678Z level=info process=worker.3 gen=1 pid=123
 * event=… …`, written by one write(). Only net, proc and app log; the others return codes and bump
 * counters.
 */
struct log {
    int fd;
    enum log_level level;
    char process[48]; /* "master", "worker.3" */
    unsigned generation;
    char path[256]; /* empty: fd is stderr and is never reopened */
};

/* path empty or "stderr": standard error. */
AUGURY_MUST_USE int log_open(struct log *log, const char *path, enum log_level level,
                             struct err *err);
AUGURY_MUST_USE int log_reopen(struct log *log); /* by path, after a rotation */
void log_close(struct log *log);
void log_name(struct log *log, const char *process, unsigned generation);
/* fmt: `key=value` pairs without event and newline. Quote free text with log_quote(). NULL log:
 * nothing is written. */
void log_event(struct log *log, enum log_level level, const char *event, const char *fmt, ...)
    AUGURY_PRINTF(4, 5);
/* text as a logfmt value: quoted, controls escaped, cut to the size of out. Returns out. */
const char *log_quote(struct bytes text, char *out, size_t out_size);
AUGURY_MUST_USE int log_level_find(const char *name,
                                   enum log_level *out_level); /* AUGURY_NOT_FOUND */
