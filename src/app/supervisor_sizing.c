/* SPDX-License-Identifier: MIT */
/* supervisor_sizing.c - figures in, quota out. What to do with them is cache_size.c's. */
#include "supervisor_sizing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>

enum { PIN_LEAST_BYTES = 4 << 20, ON_AGAIN_MS = 3000 };

struct sizing {
    struct supervisor *supervisor;
    struct proc_meter *meter;
    struct net_timer *timer;
    uint32_t interval_ms;
    struct cache_size_config config;
    struct cache_size_state state;
    bool is_at_floor; /* said once */
    bool is_off;      /* so is this */
    uint64_t off_seen_mono_ms;
};

/* ---- configuration --------------------------------------------------------------------------- */

static uint64_t
quota_max(const struct sizing *sizing)
{
    return sizing->supervisor->heritage->cache_map_bytes / 10 * 7;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static struct cache_size_config
config_of(const struct sizing *sizing)
{
    const struct conf *conf = &sizing->supervisor->conf;
    uint64_t base = least(conf->cache.size_bytes, quota_max(sizing));
    uint64_t floor = conf->supervisor.floor_bytes;
    uint64_t ceiling = conf->supervisor.ceiling_bytes;
    struct cache_size_config config = {
        .is_auto = conf->supervisor.is_auto,
        .base_bytes = base,
        .floor_bytes = least(floor != 0 ? floor : base / 4, base),
        .ceiling_bytes = least(ceiling != 0 ? ceiling : base * 4, quota_max(sizing)),
        .shrink_below_percent = conf->supervisor.shrink_below_percent,
        .grow_above_percent = conf->supervisor.grow_above_percent,
        .target_cpu_percent = conf->supervisor.target_cpu_percent,
        .patience_ms = conf->supervisor.patience_ms,
    };

    for (uint32_t i = 0; i < conf->supervisor.memory_steps.count && i < CACHE_SIZE_STEPS; i++) {
        config.rules[config.rule_count++] = (struct cache_size_rule){
            .below_bytes = conf->supervisor.memory_steps.list[i].below_bytes,
            .percent = conf->supervisor.memory_steps.list[i].percent};
    }
    return config;
}

static int
make_meter(struct sizing *sizing)
{
    const struct conf *conf = &sizing->supervisor->conf;
    const char *cgroup = conf->supervisor.cgroup;

    proc_meter_free(&sizing->meter);
    return proc_meter_new(conf->supervisor.proc, strcmp(cgroup, "auto") == 0 ? "" : cgroup,
                          &sizing->meter);
}

/* ---- one look -------------------------------------------------------------------------------- */

static uint64_t
sum_of(const struct stats *stats, const enum stats_id *ids, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += stats_sum(stats, ids[i]);
    }
    return sum;
}

static void
sample_cache(const struct sizing *sizing, struct cache_size_sample *sample)
{
    static const enum stats_id hits[] = {STATS_CACHE_HITS_PREDICTION, STATS_CACHE_HITS_FEATURE,
                                         STATS_CACHE_HITS_LINEUP,     STATS_CACHE_HITS_MODEL,
                                         STATS_CACHE_HITS_RESPONSE,   STATS_CACHE_HITS_OBJECT};
    static const enum stats_id misses[] = {
        STATS_CACHE_MISSES_PREDICTION, STATS_CACHE_MISSES_FEATURE,  STATS_CACHE_MISSES_LINEUP,
        STATS_CACHE_MISSES_MODEL,      STATS_CACHE_MISSES_RESPONSE, STATS_CACHE_MISSES_OBJECT};
    const struct stats *stats = sizing->supervisor->heritage->stats;
    struct cache_usage usage;
    struct statvfs room;
    double half, same, twice;

    if (cache_usage(sizing->supervisor->cache, &usage) == 0) {
        sample->used_bytes = usage.used_bytes;
        sample->resident_bytes = usage.file_blocks_bytes;
    }
    sample->hits = sum_of(stats, hits, AUGURY_COUNT(hits));
    sample->misses = sum_of(stats, misses, AUGURY_COUNT(misses));
    sample->evicted = stats_sum(stats, STATS_CACHE_EVICTED);
    bool is_known =
        cache_shadow_read(sizing->supervisor->heritage->cache_board, &half, &same, &twice);
    sample->gain = !is_known ? -1 : twice > same ? twice - same : 0;
    if (statvfs(sizing->supervisor->conf.cache.dir, &room) == 0) {
        sample->room_bytes = (uint64_t)room.f_bavail * room.f_frsize + sample->resident_bytes;
    }
}

static struct cache_size_sample
sample_take(struct sizing *sizing)
{
    struct cache_size_sample sample = {.now_ms = clock_mono_ms()};
    struct proc_reading reading;

    proc_meter_read(sizing->meter, sample.now_ms, &reading);
    sample.has_memory = reading.has_memory;
    sample.has_psi = reading.has_psi;
    sample.has_cpu = reading.has_cpu;
    sample.total_bytes = reading.total_bytes;
    sample.available_bytes = reading.available_bytes;
    sample.headroom = reading.headroom;
    sample.psi_full_avg10 = reading.psi_full_avg10;
    sample.cpu_percent = reading.cpu_percent;
    sample.limit_events = reading.limit_events;
    sample.oom_events = reading.oom_events;
    sample_cache(sizing, &sample);
    return sample;
}

/* ---- what follows from it -------------------------------------------------------------------- */

static void
say_resized(struct sizing *sizing, const struct cache_size_record *record)
{
    const struct cache_size_sample *sample = &record->sample;
    const struct cache_size_decision *decision = &record->decision;
    bool is_bad = decision->action == CACHE_SIZE_EMERGENCY;

    log_event(&sizing->supervisor->heritage->log, is_bad ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
              "cache_resized",
              "action=%s reason=%s from=%" PRIu64 " to=%" PRIu64 " used=%" PRIu64
              " resident=%" PRIu64 " available=%" PRIu64 " total=%" PRIu64
              " headroom=%.4f psi_full=%.2f cpu=%.1f limit_events=%" PRIu64 " oom_events=%" PRIu64
              " want=%.3f",
              cache_size_action_name(decision->action), cache_size_reason_name(decision->reason),
              decision->from_bytes, decision->to_bytes, sample->used_bytes, sample->resident_bytes,
              sample->available_bytes, sample->total_bytes, sample->headroom,
              sample->psi_full_avg10, sample->cpu_percent, sample->limit_events, sample->oom_events,
              sizing->state.want_permille / 1000.0);
}

/* Once a time that it comes to this. */
static void
say_at_floor(struct sizing *sizing, const struct cache_size_record *record)
{
    bool is_at_floor = record->decision.reason == CACHE_SIZE_AT_FLOOR;

    if (is_at_floor && !sizing->is_at_floor) {
        log_event(&sizing->supervisor->heritage->log, LOG_LEVEL_WARN, "cache_at_floor",
                  "bytes=%" PRIu64 " available=%" PRIu64 " headroom=%.4f",
                  record->decision.to_bytes, record->sample.available_bytes,
                  record->sample.headroom);
    }
    sizing->is_at_floor = is_at_floor;
}

/* An alarm when the file system takes no more, and the end of it when it has taken all for a while.
 */
static void
say_condition(struct sizing *sizing)
{
    struct supervisor *supervisor = sizing->supervisor;
    struct log *log = &supervisor->heritage->log;
    struct cache_condition condition;

    cache_condition(supervisor->heritage->cache_board, &condition);
    uint64_t now_ms = clock_mono_ms();
    if (condition.is_off) {
        sizing->off_seen_mono_ms = now_ms;
        if (!sizing->is_off) {
            log_event(log, LOG_LEVEL_ERROR, "cache_off", "reason=\"%s\" dir=%s",
                      condition.is_full ? "the file system is full"
                                        : "the file system refused a write",
                      supervisor->conf.cache.dir);
        }
        sizing->is_off = true;
    } else if (sizing->is_off && now_ms - sizing->off_seen_mono_ms > ON_AGAIN_MS) {
        log_event(log, LOG_LEVEL_INFO, "cache_on_again", "dir=%s", supervisor->conf.cache.dir);
        sizing->is_off = false;
    }
}

static enum stats_id
counter_of(const struct cache_size_decision *decision)
{
    if (decision->action == CACHE_SIZE_HOLD) {
        return STATS_CONTROLLER_HOLDS;
    }
    switch ((int)decision->reason) {
    case CACHE_SIZE_HEADROOM: return STATS_CONTROLLER_HEADROOM_SHRINKS;
    case CACHE_SIZE_RULE: return STATS_CONTROLLER_RULE_SHRINKS;
    case CACHE_SIZE_FILE_SYSTEM: return STATS_CONTROLLER_ROOM_SHRINKS;
    case CACHE_SIZE_CPU_BUSY: return STATS_CONTROLLER_CPU_SHRINKS;
    case CACHE_SIZE_OUT_OF_ROOM: return STATS_CONTROLLER_ROOM_EMERGENCIES;
    case CACHE_SIZE_LIMIT_HIT: return STATS_CONTROLLER_LIMIT_EMERGENCIES;
    case CACHE_SIZE_STALLED: return STATS_CONTROLLER_STALL_EMERGENCIES;
    case CACHE_SIZE_RECOVERING: return STATS_CONTROLLER_RECOVERIES;
    case CACHE_SIZE_EARNED: return STATS_CONTROLLER_GROWTHS;
    default: return STATS_CONTROLLER_SETS;
    }
}

static void
count_decision(const struct sizing *sizing, const struct cache_size_record *record)
{
    struct stats_slot *stats = sizing->supervisor->stats;

    stats_add(stats, counter_of(&record->decision), 1);
    stats_set(stats, STATS_CONTROLLER_AVAILABLE, record->sample.available_bytes);
    stats_set(stats, STATS_CONTROLLER_HEADROOM, (uint64_t)(record->sample.headroom * 1000));
    stats_set(stats, STATS_CONTROLLER_STATE, (uint64_t)record->decision.reason);
    stats_set(stats, STATS_CACHE_QUOTA_BYTES, record->decision.to_bytes);
}

/* A file system smaller than the floor: the floor gives way, or the cache would be off. */
static struct cache_size_config
config_in(const struct sizing *sizing, const struct cache_size_sample *sample)
{
    struct cache_size_config config = sizing->config;

    if (sample->room_bytes != 0) {
        config.floor_bytes = least(config.floor_bytes, sample->room_bytes / 2);
    }
    return config;
}

static void
look(struct sizing *sizing)
{
    struct heritage *heritage = sizing->supervisor->heritage;
    struct cache_size_record record = {.wall_ms = clock_wall_ms(), .sample = sample_take(sizing)};
    struct cache_size_config config = config_in(sizing, &record.sample);

    cache_size_step(&config, &sizing->state, &record.sample, &record.decision);
    if (record.decision.action != CACHE_SIZE_HOLD) {
        say_resized(sizing, &record);
        cache_keeper_quota(sizing->supervisor->cache, record.decision.to_bytes);
        /* The loop's next turn evicts. */
        (void)eventfd_write(heritage->wake_fd, 1);
    }
    say_at_floor(sizing, &record);
    say_condition(sizing);
    count_decision(sizing, &record);
    cache_size_note(heritage->cache_board, &config, sizing->state.pinned_bytes, &record);
}

static void
on_interval(void *arg)
{
    look(arg);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int
make_timer(struct sizing *sizing)
{
    uint32_t interval_ms = sizing->supervisor->conf.supervisor.interval_ms;

    if (sizing->timer != NULL && interval_ms == sizing->interval_ms) {
        return 0;
    }
    net_timer_free(&sizing->timer);
    sizing->interval_ms = interval_ms;
    return net_timer_new(sizing->supervisor->loop, interval_ms, on_interval, sizing,
                         &sizing->timer);
}

/* As after a start: the configured size, and what memory says of it a moment later. */
static void
begin_anew(struct sizing *sizing)
{
    uint64_t pinned = sizing->state.pinned_bytes;

    sizing->state =
        (struct cache_size_state){.quota_bytes = sizing->config.base_bytes, .pinned_bytes = pinned};
    if (pinned == 0) {
        cache_keeper_quota(sizing->supervisor->cache, sizing->config.base_bytes);
    }
}

/* What the supervisor before this one knew. */
static void
take_over(struct sizing *sizing)
{
    struct cache_size_history history;

    cache_size_read(sizing->supervisor->heritage->cache_board, &history);
    if (history.count == 0) {
        return;
    }
    uint64_t max = quota_max(sizing);
    sizing->state.pinned_bytes = least(history.pinned_bytes, max);
    sizing->state.quota_bytes = least(history.records[history.count - 1].decision.to_bytes, max);
    cache_keeper_quota(sizing->supervisor->cache, sizing->state.quota_bytes);
}

int
sizing_new(struct supervisor *supervisor, struct sizing **out_sizing, struct err *err)
{
    struct sizing *sizing = calloc(1, sizeof(*sizing));

    if (sizing == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    sizing->supervisor = supervisor;
    sizing->config = config_of(sizing);
    begin_anew(sizing);
    take_over(sizing);
    if (make_meter(sizing) != 0 || make_timer(sizing) != 0) {
        sizing_free(&sizing);
        return err_set(err, AUGURY_ERR_NOMEM, "sizing", "the meter of memory cannot be made");
    }
    look(sizing);
    *out_sizing = sizing;
    return 0;
}

void
sizing_free(struct sizing **sizing)
{
    if (*sizing == NULL) {
        return;
    }
    net_timer_free(&(*sizing)->timer);
    proc_meter_free(&(*sizing)->meter);
    free(*sizing);
    *sizing = NULL;
}

void
sizing_follow_conf(struct sizing *sizing)
{
    struct cache_size_config config = config_of(sizing);
    bool is_same =
        config.base_bytes == sizing->config.base_bytes && config.is_auto == sizing->config.is_auto;

    sizing->config = config;
    if (!is_same) {
        begin_anew(sizing);
    }
    if (make_meter(sizing) != 0 || make_timer(sizing) != 0) {
        log_event(&sizing->supervisor->heritage->log, LOG_LEVEL_ERROR, "sizing_failed", "errno=%d",
                  errno);
    }
}

int
sizing_pin(struct sizing *sizing, uint64_t bytes, struct err *err)
{
    if (bytes < PIN_LEAST_BYTES || bytes > quota_max(sizing)) {
        return err_set(err, AUGURY_ERR_LIMIT, "out_of_bounds",
                       "a size from %d to %" PRIu64
                       " bytes is possible: up to 70 %% of cache.map, which only a restart changes",
                       (int)PIN_LEAST_BYTES, quota_max(sizing));
    }
    sizing->state.pinned_bytes = bytes;
    look(sizing);
    return 0;
}

void
sizing_release(struct sizing *sizing)
{
    sizing->state.pinned_bytes = 0;
    begin_anew(sizing);
    look(sizing);
}

uint64_t
sizing_quota(const struct sizing *sizing)
{
    return sizing->state.quota_bytes;
}
