/* SPDX-License-Identifier: MIT */
/*
 * test_cache_lease.c - single flight across processes: who owns, who waits, what ends a wait. The
 * rules with a clock of their own; then threads on few keys (run it under TSan) and processes that
 * are killed at any instruction. AUGURY_SOAK_MS makes the last one longer.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { SLOTS = 6, DEADLINE_MS = 5000, PATIENCE_MS = 20000 };

struct world {
    void *shared;
    struct cache_board *board;
    int wake_fds[SLOTS];
    struct cache caches[SLOTS]; /* a process's view each */
    struct arena arena;
};

static struct cache_board_options
options_of(const struct world *world)
{
    return (struct cache_board_options){
        .ring_bytes = 4096, .slots = SLOTS, .keeper_wake_fd = -1, .wake_fds = world->wake_fds};
}

static bool
world_init(struct world *world)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        world->wake_fds[slot] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    struct cache_board_options options = options_of(world);
    world->shared = shm_map(cache_board_bytes(&options));
    if (world->shared == NULL || arena_init(&world->arena, 1 << 20) != 0) {
        return false;
    }
    world->board = cache_board_attach(world->shared, &options);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        world->caches[slot] =
            (struct cache){.slot = slot, .board = world->board, .invalid = world->board->invalid};
    }
    return true;
}

static void
world_fini(struct world *world)
{
    struct cache_board_options options = options_of(world);

    for (unsigned slot = 0; slot < SLOTS; slot++) {
        close(world->wake_fds[slot]);
    }
    arena_fini(&world->arena);
    shm_unmap(&world->shared, cache_board_bytes(&options));
}

static struct digest
key_of(uint64_t number)
{
    return digest_of(bytes_of((const uint8_t *)&number, sizeof(number)));
}

static enum cache_flight
begin_at(struct world *world, unsigned slot, uint64_t key_number, uint64_t now_ms,
         struct cache_lease *out_lease)
{
    struct cache_wish wish = {.key = key_of(key_number), .deadline_ms = DEADLINE_MS};

    return cache_flight_begin(&world->caches[slot], &wish, now_ms, out_lease);
}

static enum cache_flight
begin(struct world *world, unsigned slot, uint64_t key_number, struct cache_lease *out_lease)
{
    return begin_at(world, slot, key_number, clock_mono_ms(), out_lease);
}

static int
look(struct world *world, unsigned slot, uint64_t key_number, struct bytes *out_value)
{
    struct digest key = key_of(key_number);

    return cache_flight_look(&world->caches[slot], &key, &world->arena, out_value);
}

/* Wakes since the last call. */
static uint64_t
wakes_of(const struct world *world, unsigned slot)
{
    uint64_t count = 0;

    return read(world->wake_fds[slot], &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* ---- the rules ------------------------------------------------------------------------------ */

static void
the_first_owns_and_the_others_wait_for_its_result(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease other;
    struct bytes value;

    CHECK(world_init(&world));
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    CHECK_INT(begin(&world, 5, 1, &other), CACHE_FLIGHT_WAITER);
    CHECK(other.deadline_mono_ms == lease.deadline_mono_ms);
    CHECK_INT(begin(&world, 2, 2, &other), CACHE_FLIGHT_OWNER);
    CHECK_INT(look(&world, 1, 1, &value), AUGURY_ERR_BUSY);
    CHECK_INT(wakes_of(&world, 1), 0);
    cache_flight_publish(&world.caches[0], &lease, 0, bytes_of_text("the result"));
    CHECK_INT(wakes_of(&world, 1), 1);
    CHECK_INT(wakes_of(&world, 5), 1);
    CHECK_INT(wakes_of(&world, 2), 0);
    CHECK_INT(look(&world, 1, 1, &value), 0);
    CHECK(bytes_equal_text(value, "the result"));
    CHECK_INT(look(&world, 5, 1, &value), 0);
    world_fini(&world);
}

static void
a_result_answers_latecomers_for_a_moment(void)
{
    struct world world;
    struct cache_lease lease;
    struct bytes value;

    CHECK(world_init(&world));
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    cache_flight_publish(&world.caches[0], &lease, 0, bytes_of_text("it"));
    uint64_t now_ms = clock_mono_ms();
    CHECK_INT(begin_at(&world, 1, 1, now_ms, &lease), CACHE_FLIGHT_WAITER);
    CHECK_INT(look(&world, 1, 1, &value), 0);
    CHECK_INT(begin_at(&world, 1, 1, now_ms + 51, &lease), CACHE_FLIGHT_OWNER);
    world_fini(&world);
}

static void
a_result_over_the_size_of_a_mailbox_is_looked_for_in_the_cache(void)
{
    static uint8_t large[CACHE_MAIL_MAX + 1];
    struct world world;
    struct cache_lease lease;
    struct cache_lease other;
    struct bytes value;

    CHECK(world_init(&world));
    for (size_t i = 0; i < sizeof(large); i++) {
        large[i] = (uint8_t)(i * 7);
    }
    for (size_t len = CACHE_MAIL_MAX - 9; len <= CACHE_MAIL_MAX + 1; len++) {
        CHECK_INT(begin(&world, 0, len, &lease), CACHE_FLIGHT_OWNER);
        CHECK_INT(begin(&world, 1, len, &other), CACHE_FLIGHT_WAITER);
        cache_flight_publish(&world.caches[0], &lease, 0, bytes_of(large, len));
        CHECK_INT(wakes_of(&world, 1), 1);
        CHECK_INT(look(&world, 1, len, &value), len > CACHE_MAIL_MAX ? AUGURY_NOT_FOUND : 0);
        CHECK(len > CACHE_MAIL_MAX || bytes_equal(value, bytes_of(large, len)));
    }
    world_fini(&world);
}

static void
a_failure_counts_for_a_moment(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease other;
    struct bytes value;

    CHECK(world_init(&world));
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    cache_flight_publish(&world.caches[0], &lease, AUGURY_ERR_IO, bytes_of_text("why"));
    CHECK_INT(wakes_of(&world, 1), 1);
    CHECK_INT(look(&world, 1, 1, &value), AUGURY_ERR_IO);
    CHECK(bytes_equal_text(value, "why"));
    uint64_t now_ms = clock_mono_ms();
    CHECK_INT(begin_at(&world, 2, 1, now_ms, &other), CACHE_FLIGHT_FAILED);
    CHECK_INT(begin_at(&world, 2, 1, now_ms + 101, &other), CACHE_FLIGHT_OWNER);
    world_fini(&world);
}

static void
a_result_for_one_alone_ends_the_queue_for_its_key(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease other;
    struct bytes value;

    CHECK(world_init(&world));
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    cache_flight_publish(&world.caches[0], &lease, AUGURY_END, bytes_of_text("once"));
    CHECK_INT(look(&world, 1, 1, &value), 0);
    uint64_t now_ms = clock_mono_ms();
    CHECK_INT(begin_at(&world, 2, 1, now_ms + 9000, &other), CACHE_FLIGHT_ALONE);
    CHECK_INT(begin_at(&world, 2, 1, now_ms + 10001, &other), CACHE_FLIGHT_OWNER);
    world_fini(&world);
}

static void
what_is_given_up_is_anothers(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease other;
    struct bytes value;

    CHECK(world_init(&world));
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    CHECK_INT(begin(&world, 2, 1, &other), CACHE_FLIGHT_WAITER);
    cache_flight_publish(&world.caches[0], &lease, AUGURY_NOT_FOUND, bytes_of(NULL, 0));
    CHECK_INT(wakes_of(&world, 1), 1);
    CHECK_INT(look(&world, 1, 1, &value), AUGURY_NOT_FOUND);
    CHECK_INT(begin(&world, 2, 1, &other), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    world_fini(&world);
}

static void
a_lease_is_taken_over_at_its_deadline_and_its_late_result_dropped(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease second;
    struct cache_lease other;
    struct bytes value;
    uint64_t now_ms = clock_mono_ms();

    CHECK(world_init(&world));
    CHECK_INT(begin_at(&world, 0, 1, now_ms, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin_at(&world, 1, 1, now_ms + 1, &other), CACHE_FLIGHT_WAITER);
    CHECK_INT(begin_at(&world, 2, 1, now_ms + 1, &other), CACHE_FLIGHT_WAITER);
    CHECK_INT(begin_at(&world, 1, 1, now_ms + DEADLINE_MS, &second), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin_at(&world, 2, 1, now_ms + DEADLINE_MS, &other), CACHE_FLIGHT_WAITER);
    cache_flight_publish(&world.caches[0], &lease, 0, bytes_of_text("late"));
    CHECK_INT(look(&world, 2, 1, &value), AUGURY_ERR_BUSY);
    CHECK_INT(wakes_of(&world, 2), 0);
    cache_flight_publish(&world.caches[1], &second, 0, bytes_of_text("in time"));
    CHECK_INT(wakes_of(&world, 2), 1);
    CHECK_INT(look(&world, 2, 1, &value), 0);
    CHECK(bytes_equal_text(value, "in time"));
    world_fini(&world);
}

/* Where the work is known, what is invalidated beside it does not matter. */
static void
work_is_joined_after_an_invalidation_of_something_else(void)
{
    struct cache_item like = {.class = CACHE_OBJECT, .key = bytes_of_text("object:a")};
    struct cache_wish wish = {.key = key_of(1), .like = &like, .deadline_ms = DEADLINE_MS};
    struct cache_lease lease;
    struct world world;
    uint64_t now_ms = clock_mono_ms();

    CHECK(world_init(&world));
    struct cache_invalid *invalid = world.board->invalid;
    CHECK_INT(cache_flight_begin(&world.caches[0], &wish, now_ms, &lease), CACHE_FLIGHT_OWNER);
    atomic_store(&invalid->classes[CACHE_FEATURE], atomic_fetch_add(&invalid->clock, 1) + 1);
    CHECK_INT(cache_flight_begin(&world.caches[1], &wish, now_ms, &lease), CACHE_FLIGHT_WAITER);
    atomic_store(&invalid->classes[CACHE_OBJECT], atomic_fetch_add(&invalid->clock, 1) + 1);
    CHECK_INT(cache_flight_begin(&world.caches[2], &wish, now_ms, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(cache_flight_begin(&world.caches[1], &wish, now_ms, &lease), CACHE_FLIGHT_WAITER);
    world_fini(&world);
}

static void
work_begun_before_an_invalidation_is_not_joined_after_it(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease second;
    struct cache_lease other;
    struct bytes value;

    CHECK(world_init(&world));
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    atomic_fetch_add(&world.board->invalid->clock, 1);
    CHECK_INT(begin(&world, 2, 1, &second), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 3, 1, &other), CACHE_FLIGHT_WAITER);
    cache_flight_publish(&world.caches[0], &lease, 0, bytes_of_text("old"));
    CHECK_INT(look(&world, 3, 1, &value), AUGURY_ERR_BUSY);
    cache_flight_publish(&world.caches[2], &second, 0, bytes_of_text("new"));
    CHECK_INT(wakes_of(&world, 1), 1); /* it asked before, and gets the newer one */
    CHECK_INT(look(&world, 3, 1, &value), 0);
    CHECK(bytes_equal_text(value, "new"));
    /* Nor is a result that stands in its mailbox. */
    atomic_fetch_add(&world.board->invalid->clock, 1);
    CHECK_INT(begin(&world, 4, 1, &other), CACHE_FLIGHT_OWNER);
    world_fini(&world);
}

static void
a_dead_owner_frees_its_leases_and_wakes_who_waits(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease other;
    struct bytes value;

    CHECK(world_init(&world));
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 0, 2, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 3, 3, &other), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    CHECK_INT(begin(&world, 2, 1, &other), CACHE_FLIGHT_WAITER);
    CHECK_INT(begin(&world, 2, 3, &other), CACHE_FLIGHT_WAITER);
    cache_flight_slot_died(world.board, 0);
    CHECK_INT(wakes_of(&world, 1), 1);
    CHECK_INT(wakes_of(&world, 2), 1);
    CHECK_INT(look(&world, 1, 1, &value), AUGURY_NOT_FOUND);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 2, 1, &other), CACHE_FLIGHT_WAITER);
    CHECK_INT(begin(&world, 2, 2, &other), CACHE_FLIGHT_OWNER);
    CHECK_INT(look(&world, 2, 3, &value), AUGURY_ERR_BUSY); /* another slot's */
    world_fini(&world);
}

/* Keys that fall into one bucket: the fifth has no place until one is over. */
static void
a_full_bucket_lets_everybody_work_alone(void)
{
    enum { KEYS = 5 };
    struct digest keys[KEYS];
    struct cache_lease leases[KEYS];
    struct cache_lease other;
    struct world world;
    uint64_t now_ms = clock_mono_ms();

    CHECK(world_init(&world));
    for (uint64_t i = 0; i < KEYS; i++) {
        keys[i] = (struct digest){.lo = 4096 + (i << 32), .hi = i};
    }
    for (size_t i = 0; i < KEYS; i++) {
        struct cache_wish wish = {.key = keys[i], .deadline_ms = DEADLINE_MS};
        CHECK_INT(cache_flight_begin(&world.caches[0], &wish, now_ms, &leases[i]),
                  i < 4 ? CACHE_FLIGHT_OWNER : CACHE_FLIGHT_ALONE);
    }
    struct cache_wish third = {.key = keys[2], .deadline_ms = DEADLINE_MS};
    struct cache_wish fifth = {.key = keys[4], .deadline_ms = DEADLINE_MS};
    CHECK_INT(cache_flight_begin(&world.caches[1], &third, now_ms, &other), CACHE_FLIGHT_WAITER);
    cache_flight_publish(&world.caches[0], &leases[2], 0, bytes_of_text("done"));
    CHECK_INT(wakes_of(&world, 1), 1);
    /* What is done gives way to what begins, even while it would still count. */
    CHECK_INT(cache_flight_begin(&world.caches[2], &fifth, now_ms, &other), CACHE_FLIGHT_OWNER);
    world_fini(&world);
}

static void
a_process_without_a_board_works_alone(void)
{
    struct cache cache = {0};
    struct cache_wish wish = {.key = key_of(1), .deadline_ms = 1};
    struct cache_lease lease;
    struct bytes value;

    CHECK_INT(cache_flight_begin(&cache, &wish, 1, &lease), CACHE_FLIGHT_ALONE);
    CHECK_INT(cache_flight_look(&cache, &wish.key, NULL, &value), AUGURY_NOT_FOUND);
}

/* ---- many at once --------------------------------------------------------------------------- */

enum { KEYS = 3 };

/* In shared memory, beside the board: who works on a key, and what was seen. */
struct record {
    atomic_uint owner[KEYS]; /* slot + 1 */
    atomic_uint_least64_t flights, joins, wrong_values, double_owners, lost_wakes, slow;
};

struct member {
    struct world *world;
    struct record *record;
    unsigned slot;
    unsigned rounds; /* 0: for ever */
    struct arena arena;
};

/* A value says its key, and its length follows from a number in it. */
static struct bytes
value_make(uint8_t *room, uint64_t key, uint64_t number)
{
    size_t len = 16 + number * 7919 % 4000;

    memset(room, (int)(number & 255), len);
    memcpy(room, &key, 8);
    memcpy(room + 8, &number, 8);
    return bytes_of(room, len);
}

static bool
value_is_right(struct bytes value, uint64_t key)
{
    uint8_t room[4096];
    uint64_t number = 0;

    if (value.len < 16) {
        return false;
    }
    memcpy(&number, value.data + 8, 8);
    return bytes_equal(value, value_make(room, key, number));
}

static void
own(struct member *member, uint64_t key, const struct cache_lease *lease, uint64_t number)
{
    uint8_t room[4096];
    unsigned nobody = 0;

    if (!atomic_compare_exchange_strong(&member->record->owner[key], &nobody, member->slot + 1)) {
        atomic_fetch_add(&member->record->double_owners, 1);
    }
    for (unsigned i = 0; i < number % 3; i++) {
        sched_yield();
    }
    atomic_store(&member->record->owner[key], 0);
    int rc = number % 32 == 0 ? 0 : AUGURY_NOT_FOUND; /* results count for a moment: a few do */
    cache_flight_publish(&member->world->caches[member->slot], lease, rc,
                         value_make(room, key, number));
    atomic_fetch_add(&member->record->flights, 1);
}

/* Until the flight is over, as a worker would: look, then sleep until the next wake. */
static void
wait_for_result(struct member *member, uint64_t key)
{
    struct cache *cache = &member->world->caches[member->slot];
    struct digest digest = key_of(key);
    struct pollfd wake = {.fd = member->world->wake_fds[member->slot], .events = POLLIN};
    struct bytes value;
    uint64_t begin_ms = clock_mono_ms();
    int rc;

    while ((rc = cache_flight_look(cache, &digest, &member->arena, &value)) == AUGURY_ERR_BUSY) {
        if (poll(&wake, 1, 2000) != 1) {
            atomic_fetch_add(&member->record->lost_wakes, 1);
            return;
        }
        (void)wakes_of(member->world, member->slot);
    }
    if (rc == 0 && !value_is_right(value, key)) {
        atomic_fetch_add(&member->record->wrong_values, 1);
    }
    if (clock_mono_ms() - begin_ms > 1000) {
        atomic_fetch_add(&member->record->slow, 1);
    }
    atomic_fetch_add(&member->record->joins, 1);
}

static void *
member_run(void *arg)
{
    struct member *member = arg;
    struct cache_lease lease;

    if (arena_init(&member->arena, 1 << 20) != 0) {
        return NULL;
    }
    for (uint64_t i = 0; member->rounds == 0 || i < member->rounds; i++) {
        uint64_t key = (i + member->slot) / 2 % KEYS;
        enum cache_flight flight = begin(member->world, member->slot, key, &lease);
        if (flight == CACHE_FLIGHT_OWNER) {
            own(member, key, &lease, i);
        } else if (flight == CACHE_FLIGHT_WAITER) {
            wait_for_result(member, key);
        }
        arena_reset(&member->arena, 1 << 20);
    }
    arena_fini(&member->arena);
    return member;
}

static struct record *
record_new(void)
{
    return shm_map(sizeof(struct record));
}

static void
threads_share_their_work_and_no_wake_is_lost(void)
{
    enum { THREADS = 4, ROUNDS = 20000 };
    struct member members[THREADS];
    pthread_t threads[THREADS];
    struct world world;
    struct record *record = record_new();

    CHECK(world_init(&world) && record != NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] =
            (struct member){.world = &world, .record = record, .slot = i, .rounds = ROUNDS};
        CHECK(pthread_create(&threads[i], NULL, member_run, &members[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        CHECK(result != NULL);
    }
    printf("# %llu flights, %llu joins\n", (unsigned long long)record->flights,
           (unsigned long long)record->joins);
    CHECK_INT(record->wrong_values, 0);
    CHECK_INT(record->double_owners, 0);
    CHECK_INT(record->lost_wakes, 0);
    CHECK(record->joins > 0 && record->flights > 0);
    world_fini(&world);
    void *memory = record;
    shm_unmap(&memory, sizeof(*record));
}

static pid_t
member_fork(struct world *world, struct record *record, unsigned slot)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct member member = {.world = world, .record = record, .slot = slot};
        (void)member_run(&member);
        _exit(1);
    }
    return pid;
}

static void
member_kill(struct world *world, struct record *record, unsigned slot, pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (unsigned key = 0; key < KEYS; key++) {
        unsigned dead = slot + 1;
        (void)atomic_compare_exchange_strong(&record->owner[key], &dead, 0);
    }
    cache_flight_slot_died(world->board, slot);
}

static uint64_t
soak_ms(void)
{
    const char *text = getenv("AUGURY_SOAK_MS");
    uint64_t ms = 1500;

    return text != NULL && bytes_to_u64(bytes_of_text(text), 86400000, &ms) == 0 ? ms : 1500;
}

static void
killed_processes_leave_nobody_waiting(void)
{
    struct world world;
    struct record *record = record_new();
    pid_t pids[SLOTS];
    unsigned kills = 0;

    CHECK(world_init(&world) && record != NULL);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        pids[slot] = member_fork(&world, record, slot);
    }
    uint64_t end_ms = clock_mono_ms() + soak_ms();
    srand(1);
    while (clock_mono_ms() < end_ms) {
        unsigned slot = (unsigned)rand() % SLOTS;
        usleep((useconds_t)rand() % 3000);
        member_kill(&world, record, slot, pids[slot]);
        pids[slot] = member_fork(&world, record, slot);
        kills++;
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        member_kill(&world, record, slot, pids[slot]);
    }
    printf("# %u kills, %llu flights, %llu joins\n", kills, (unsigned long long)record->flights,
           (unsigned long long)record->joins);
    CHECK_INT(record->wrong_values, 0);
    CHECK_INT(record->double_owners, 0);
    CHECK_INT(record->lost_wakes, 0);
    CHECK_INT(record->slow, 0);
    CHECK(kills > 10 && record->joins > 0);
    /* Nothing is left behind: every key can be owned again at once. */
    for (uint64_t key = 0; key < KEYS; key++) {
        struct cache_lease lease;
        CHECK_INT(begin_at(&world, 0, key, clock_mono_ms() + 60000, &lease), CACHE_FLIGHT_OWNER);
    }
    world_fini(&world);
    void *memory = record;
    shm_unmap(&memory, sizeof(*record));
}

/* A box of foreign bytes, or half of one, is an empty box. */
static void
a_mailbox_with_foreign_contents_is_empty(void)
{
    struct world world;
    struct cache_lease lease;
    struct cache_lease other;
    struct bytes value;
    uint8_t *mails;

    CHECK(world_init(&world));
    mails = (uint8_t *)world.board->mails;
    CHECK_INT(begin(&world, 0, 1, &lease), CACHE_FLIGHT_OWNER);
    CHECK_INT(begin(&world, 1, 1, &other), CACHE_FLIGHT_WAITER);
    cache_flight_publish(&world.caches[0], &lease, 0, bytes_of_text("whole"));
    CHECK_INT(look(&world, 1, 1, &value), 0);
    size_t box = cache_mails_bytes() / 256;
    uint8_t *mine = mails + lease.index % 256 * box;
    for (size_t at = 8; at < 29; at++) { /* check, length, value */
        mine[at] ^= 0x40;
        CHECK_INT(look(&world, 1, 1, &value), AUGURY_NOT_FOUND);
        mine[at] ^= 0x40;
    }
    CHECK_INT(look(&world, 1, 1, &value), 0);
    memset(mine + 16, 0xff, 8);
    CHECK_INT(look(&world, 1, 1, &value), AUGURY_NOT_FOUND);
    world_fini(&world);
}

/* Bytes that no process wrote: nobody crashes, and whoever has a time to give up at is done. */
static void
foreign_contents_cost_a_flight_at_most(void)
{
    struct world world;
    struct bytes value;
    unsigned owners = 0;
    uint64_t random = 88172645463325252U;

    CHECK(world_init(&world));
    for (unsigned round = 0; round < 4; round++) {
        uint64_t *words = (uint64_t *)(void *)world.board->flights;
        for (size_t i = 0; i < cache_flights_bytes() / sizeof(*words); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            /* Settled states, mostly: one that is claimed for ever is nobody's. */
            words[i] = round == 0 ? random : random & UINT64_C(0x000005ffffffffff);
        }
        for (uint64_t key = 0; key < 5000; key++) {
            struct cache_lease lease;
            enum cache_flight flight = begin(&world, (unsigned)(key % SLOTS), key, &lease);
            if (flight == CACHE_FLIGHT_OWNER) {
                cache_flight_publish(&world.caches[key % SLOTS], &lease, 0, bytes_of_text("x"));
                CHECK_INT(look(&world, 0, key, &value), 0);
                owners++;
            }
            CHECK(flight != CACHE_FLIGHT_WAITER);
            arena_reset(&world.arena, 1 << 20);
        }
        cache_flight_slot_died(world.board, 3);
    }
    CHECK(owners > 5000);
    world_fini(&world);
}

int
main(void)
{
    TAP_RUN(the_first_owns_and_the_others_wait_for_its_result);
    TAP_RUN(a_result_answers_latecomers_for_a_moment);
    TAP_RUN(a_result_over_the_size_of_a_mailbox_is_looked_for_in_the_cache);
    TAP_RUN(a_failure_counts_for_a_moment);
    TAP_RUN(a_result_for_one_alone_ends_the_queue_for_its_key);
    TAP_RUN(what_is_given_up_is_anothers);
    TAP_RUN(a_lease_is_taken_over_at_its_deadline_and_its_late_result_dropped);
    TAP_RUN(work_is_joined_after_an_invalidation_of_something_else);
    TAP_RUN(work_begun_before_an_invalidation_is_not_joined_after_it);
    TAP_RUN(a_dead_owner_frees_its_leases_and_wakes_who_waits);
    TAP_RUN(a_full_bucket_lets_everybody_work_alone);
    TAP_RUN(a_process_without_a_board_works_alone);
    TAP_RUN(a_mailbox_with_foreign_contents_is_empty);
    TAP_RUN(foreign_contents_cost_a_flight_at_most);
    TAP_RUN(threads_share_their_work_and_no_wake_is_lost);
    TAP_RUN(killed_processes_leave_nobody_waiting);
    return tap_done();
}
