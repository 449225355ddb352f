/* SPDX-License-Identifier: MIT */
/*
 * cache_size.c - the controller of the cache's size. Two figures bound the quota: what memory
 * allows (rules by what is available, and the share of it that is left) and what is wanted (a
 * multiple of the configured size, moved by CPU and by evidence of hits). Shrinking is quick and
 * multiplicative, growing slow and additive, and between them lies a dead band.
 * Why it does not oscillate: it grows only after a minute without pressure, and if growth was
 * followed by pressure soon, after two, four, … minutes; and only if, were the growth filled at
 * once, memory would still be left in the middle of the dead band and above the rule.
 */
#include "augury/cache_size.h"

enum {
    SHRINK_EVERY_MS = 2000,
    /* Parts and multiples of the configured patience, a minute unless told otherwise. */
    START_PART = 2,
    GROW_PART = 6,
    WAIT_MOST = 10,
    ROOM_SAMPLES = 10,
    CPU_SAMPLES = 30,
    CPU_BAND_PERCENT = 10,
    CPU_WANT_LEAST = 500, /* permille: what CPU alone may take the cache down to */
    WANT_BASE = 1000,
    FULL_PERCENT = 95,
    RULE_SPARE_BYTES = 512 << 20,
    ROOM_PERCENT = 70, /* as of the map */
    ROOM_GROW_PERCENT = 60,
};

static const double emergency_headroom = 0.03;
static const double emergency_psi = 10.0;
static const double gain_least = 0.005;
static const double smooth_old = 0.9;

/* ---- arithmetic ------------------------------------------------------------------------------ */

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t
minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Of a size, without overflow: sizes are below 2^54. */
static uint64_t
permille_of(uint64_t bytes, uint32_t permille)
{
    return bytes / 1000 * permille + bytes % 1000 * permille / 1000;
}

static uint64_t
clamp(const struct cache_size_config *config, uint64_t bytes)
{
    bytes = bytes > config->ceiling_bytes ? config->ceiling_bytes : bytes;
    return bytes < config->floor_bytes ? config->floor_bytes : bytes;
}

static bool
has_passed(uint64_t now_ms, uint64_t since_ms, uint64_t span_ms)
{
    return now_ms >= since_ms && now_ms - since_ms >= span_ms;
}

static uint8_t
bits_push(uint8_t bits, bool is_set)
{
    return (uint8_t)(((unsigned)bits << 1 | (is_set ? 1U : 0U)) & 7U);
}

static bool
are_two_of_three(uint8_t bits)
{
    return (bits & (bits - 1U)) != 0;
}

/* ---- what the figures mean ------------------------------------------------------------------- */

/* The most that the rules allow with so much available. */
static uint64_t
rule_cap(const struct cache_size_config *config, uint64_t available_bytes)
{
    for (uint32_t i = 0; i < config->rule_count && i < CACHE_SIZE_STEPS; i++) {
        if (available_bytes < config->rules[i].below_bytes) {
            return clamp(config, permille_of(config->base_bytes, config->rules[i].percent * 10));
        }
    }
    return config->ceiling_bytes;
}

/* The most that the file system has room for: its file is larger than what it holds. */
static uint64_t
room_cap(const struct cache_size_sample *sample, uint64_t percent)
{
    return sample->room_bytes == 0 ? UINT64_MAX : sample->room_bytes / 100 * percent;
}

static uint64_t
want_bytes(const struct cache_size_config *config, const struct cache_size_state *state)
{
    return clamp(config, permille_of(config->base_bytes, state->want_permille));
}

static double
share(uint32_t percent)
{
    return (double)percent / 100.0;
}

/* Remembers what must be compared with the next sample; the first has nothing to compare with. */
static void
begin(const struct cache_size_config *config, struct cache_size_state *state,
      const struct cache_size_sample *sample)
{
    state->has_begun = true;
    state->began_ms = state->grown_ms = state->cpu_changed_ms = sample->now_ms;
    state->wait_ms = config->patience_ms;
    state->want_permille = WANT_BASE;
    state->limit_events = sample->limit_events;
    state->oom_events = sample->oom_events;
    state->evicted = sample->evicted;
    state->headroom_smooth = sample->headroom;
    state->cpu_smooth = sample->cpu_percent;
    state->others_smooth =
        (double)minus(minus(sample->total_bytes, sample->available_bytes), sample->resident_bytes);
}

static bool
is_cpu_busy(const struct cache_size_config *config, const struct cache_size_state *state)
{
    return state->cpu_smooth > config->target_cpu_percent + CPU_BAND_PERCENT;
}

static bool
is_cpu_idle(const struct cache_size_config *config, const struct cache_size_state *state)
{
    return state->cpu_smooth + CPU_BAND_PERCENT < config->target_cpu_percent;
}

static void
look_at_cpu(const struct cache_size_config *config, struct cache_size_state *state,
            const struct cache_size_sample *sample)
{
    if (config->target_cpu_percent == 0 || !sample->has_cpu) {
        /* Nobody minds, and nobody knows: neither keeps the cache from growing. */
        state->cpu_busy_count = 0;
        state->cpu_idle_count = CPU_SAMPLES;
        return;
    }
    state->cpu_smooth = smooth_old * state->cpu_smooth + (1 - smooth_old) * sample->cpu_percent;
    state->cpu_busy_count = is_cpu_busy(config, state) ? state->cpu_busy_count + 1 : 0;
    state->cpu_idle_count = is_cpu_idle(config, state) ? state->cpu_idle_count + 1 : 0;
}

static void
look_at_memory(const struct cache_size_config *config, struct cache_size_state *state,
               const struct cache_size_sample *sample)
{
    double others =
        (double)minus(minus(sample->total_bytes, sample->available_bytes), sample->resident_bytes);
    bool is_low = sample->headroom < share(config->shrink_below_percent);
    bool has_room = sample->headroom > share(config->grow_above_percent);

    state->headroom_smooth =
        smooth_old * state->headroom_smooth + (1 - smooth_old) * sample->headroom;
    state->others_smooth = smooth_old * state->others_smooth + (1 - smooth_old) * others;
    state->low_bits = bits_push(state->low_bits, is_low);
    state->rule_bits =
        bits_push(state->rule_bits, state->quota_bytes > rule_cap(config, sample->available_bytes));
    state->room_count = has_room ? state->room_count + 1 : 0;
    if (is_low || (state->rule_bits & 1U) != 0) {
        state->has_pressed = true;
        state->pressed_ms = sample->now_ms;
    }
}

/* ---- shrinking ------------------------------------------------------------------------------- */

/* What pulls the size down: of several causes the one that goes furthest. */
struct pull {
    uint64_t to_bytes;
    enum cache_size_action action;
    enum cache_size_reason reason;
};

static void
pull_add(struct pull *pull, uint64_t to_bytes, enum cache_size_reason reason)
{
    if (to_bytes < pull->to_bytes) {
        pull->to_bytes = to_bytes;
        pull->reason = reason;
    }
}

/* Running against a limit counts while memory is short: a group that reads many files does it all
 * day, and loses nothing by it. */
static bool
is_emergency(const struct cache_size_config *config, struct cache_size_state *state,
             const struct cache_size_sample *sample, enum cache_size_reason *out_reason)
{
    bool was_killed = sample->oom_events > state->oom_events;
    bool was_limited = sample->limit_events > state->limit_events &&
                       sample->headroom <= share(config->grow_above_percent);

    state->limit_events = sample->limit_events;
    state->oom_events = sample->oom_events;
    if (sample->headroom < emergency_headroom) {
        *out_reason = CACHE_SIZE_OUT_OF_ROOM;
    } else if (was_killed || was_limited) {
        *out_reason = CACHE_SIZE_LIMIT_HIT;
    } else if (sample->has_psi && sample->psi_full_avg10 > emergency_psi) {
        *out_reason = CACHE_SIZE_STALLED;
    } else {
        return false;
    }
    return true;
}

/* Half at once, then again at the pace at which memory comes back; all that the rules ask for. */
static bool
pull_emergency(const struct cache_size_config *config, struct cache_size_state *state,
               const struct cache_size_sample *sample, struct pull *pull)
{
    enum cache_size_reason reason = CACHE_SIZE_STEADY;
    bool is_going_on = sample->now_ms < state->frozen_until_ms;

    if (!is_emergency(config, state, sample, &reason)) {
        return false;
    }
    pull->action = CACHE_SIZE_EMERGENCY;
    state->frozen_until_ms = sample->now_ms + config->patience_ms;
    if (!is_going_on || sample->now_ms >= state->next_shrink_ms) {
        pull_add(pull, state->quota_bytes / 2, reason);
    }
    pull_add(pull, rule_cap(config, sample->available_bytes), reason);
    return true;
}

static bool
pull_pressure(const struct cache_size_config *config, const struct cache_size_state *state,
              const struct cache_size_sample *sample, struct pull *pull)
{
    bool is_low = are_two_of_three(state->low_bits) && (state->low_bits & 1U) != 0;
    bool is_over = are_two_of_three(state->rule_bits) && (state->rule_bits & 1U) != 0;

    if (is_over) {
        pull_add(pull, rule_cap(config, sample->available_bytes), CACHE_SIZE_RULE);
    }
    pull_add(pull, room_cap(sample, ROOM_PERCENT), CACHE_SIZE_FILE_SYSTEM);
    if (is_low && sample->now_ms >= state->next_shrink_ms) {
        pull_add(pull, permille_of(state->quota_bytes, 850), CACHE_SIZE_HEADROOM);
    }
    return is_low || is_over || pull->reason == CACHE_SIZE_FILE_SYSTEM;
}

/* Busy for half a minute: a fifth less, a minute apart, down to half of what was asked for. */
static bool
pull_cpu(const struct cache_size_config *config, struct cache_size_state *state,
         const struct cache_size_sample *sample, struct pull *pull)
{
    if (state->cpu_busy_count < CPU_SAMPLES || state->want_permille <= CPU_WANT_LEAST ||
        !has_passed(sample->now_ms, state->cpu_changed_ms, config->patience_ms)) {
        return false;
    }
    uint32_t want = state->want_permille / 5 * 4;
    state->want_permille = want < CPU_WANT_LEAST ? CPU_WANT_LEAST : want;
    state->cpu_changed_ms = sample->now_ms;
    pull_add(pull, want_bytes(config, state), CACHE_SIZE_CPU_BUSY);
    return pull->to_bytes < state->quota_bytes;
}

/* Growth that did not last is tried again later than before. What hits had earned is given up with
 * the memory, and earned anew. */
static void
turn_down(const struct cache_size_config *config, struct cache_size_state *state, uint64_t now_ms)
{
    uint64_t base = config->base_bytes > 0 ? config->base_bytes : 1;
    uint64_t now_permille =
        state->quota_bytes / base * 1000 + state->quota_bytes % base * 1000 / base;
    uint64_t want = now_permille + 1 > WANT_BASE ? now_permille + 1 : WANT_BASE;

    state->want_permille = (uint32_t)least(state->want_permille, want);
    state->next_shrink_ms = now_ms + SHRINK_EVERY_MS;
    if (!state->is_growing) {
        return;
    }
    bool has_lasted = has_passed(now_ms, state->turned_up_ms, 2 * state->wait_ms);
    uint64_t longer_ms = least(2 * state->wait_ms, WAIT_MOST * config->patience_ms);

    state->wait_ms = has_lasted ? config->patience_ms : longer_ms;
    state->is_growing = false;
}

/* true: there is pressure, and the decision is made. */
static bool
step_shrink(const struct cache_size_config *config, struct cache_size_state *state,
            const struct cache_size_sample *sample, struct cache_size_decision *decision)
{
    struct pull pull = {
        .to_bytes = state->quota_bytes, .action = CACHE_SIZE_SHRINK, .reason = CACHE_SIZE_COOLING};
    bool is_pressed = pull_emergency(config, state, sample, &pull);

    is_pressed = pull_pressure(config, state, sample, &pull) || is_pressed;
    is_pressed = pull_cpu(config, state, sample, &pull) || is_pressed;
    if (!is_pressed) {
        return false;
    }
    state->has_pressed = true;
    state->pressed_ms = sample->now_ms;
    decision->reason = pull.reason;
    decision->to_bytes = clamp(config, pull.to_bytes);
    if (decision->to_bytes < state->quota_bytes) {
        decision->action = pull.action;
        state->quota_bytes = decision->to_bytes;
        turn_down(config, state, sample->now_ms);
    } else if (state->quota_bytes <= config->floor_bytes) {
        decision->reason = CACHE_SIZE_AT_FLOOR;
    }
    return true;
}

/* ---- growth ---------------------------------------------------------------------------------- */

/* Why nothing grows now; CACHE_SIZE_STEADY: nothing speaks against it. */
static enum cache_size_reason
why_not_grow(const struct cache_size_config *config, const struct cache_size_state *state,
             const struct cache_size_sample *sample)
{
    uint64_t now_ms = sample->now_ms;
    double others =
        (double)minus(minus(sample->total_bytes, sample->available_bytes), sample->resident_bytes);

    if (!has_passed(now_ms, state->began_ms, config->patience_ms / START_PART)) {
        return CACHE_SIZE_STARTING;
    }
    if (now_ms < state->frozen_until_ms) {
        return CACHE_SIZE_FROZEN;
    }
    if ((state->has_pressed && !has_passed(now_ms, state->pressed_ms, state->wait_ms)) ||
        !has_passed(now_ms, state->grown_ms, config->patience_ms / GROW_PART)) {
        return CACHE_SIZE_COOLING;
    }
    if (state->room_count < ROOM_SAMPLES ||
        state->headroom_smooth <= share(config->grow_above_percent)) {
        return CACHE_SIZE_TIGHT;
    }
    if (others > state->others_smooth + (double)sample->total_bytes / 100) {
        return CACHE_SIZE_RISING;
    }
    return CACHE_SIZE_STEADY;
}

/* Raises what is wanted by a fifth when it has been reached: up to what was asked for as soon as
 * CPU is idle again, beyond it only for hits. */
static void
raise_want(const struct cache_size_config *config, struct cache_size_state *state,
           const struct cache_size_sample *sample)
{
    bool is_full = sample->used_bytes >= permille_of(state->quota_bytes, FULL_PERCENT * 10);
    bool is_worth_it = is_full && sample->evicted > state->evicted &&
                       (sample->gain < 0 || sample->gain >= gain_least);

    if (state->quota_bytes < want_bytes(config, state) || state->cpu_idle_count < CPU_SAMPLES) {
        return;
    }
    if (state->want_permille < WANT_BASE) {
        if (has_passed(sample->now_ms, state->cpu_changed_ms, config->patience_ms)) {
            state->want_permille = (uint32_t)least(state->want_permille / 5 * 6, WANT_BASE);
            state->cpu_changed_ms = sample->now_ms;
        }
    } else if (is_worth_it && state->quota_bytes < config->ceiling_bytes) {
        state->want_permille = state->want_permille / 5 * 6;
    }
}

/* As much of to_bytes as memory can bear: with all of it filled, what is available would still be
 * in the middle of the dead band, and above the rule by a tenth or half a GiB. */
static uint64_t
what_fits(const struct cache_size_config *config, const struct cache_size_sample *sample,
          uint64_t to_bytes)
{
    to_bytes = least(to_bytes, room_cap(sample, ROOM_GROW_PERCENT));
    uint64_t more = minus(to_bytes, sample->resident_bytes);
    uint64_t after = minus(sample->available_bytes, more);
    double middle = (share(config->shrink_below_percent) + share(config->grow_above_percent)) / 2;
    double lost = sample->total_bytes > 0 ? (double)more / (double)sample->total_bytes : 1;

    uint64_t spare = least(after / 11, RULE_SPARE_BYTES);

    return sample->headroom - lost < middle ? 0 : least(to_bytes, rule_cap(config, after - spare));
}

static void
step_grow(const struct cache_size_config *config, struct cache_size_state *state,
          const struct cache_size_sample *sample, struct cache_size_decision *decision)
{
    decision->reason = why_not_grow(config, state, sample);
    if (decision->reason != CACHE_SIZE_STEADY) {
        return;
    }
    raise_want(config, state, sample);
    uint64_t want = want_bytes(config, state);
    if (state->quota_bytes >= want) {
        return;
    }
    uint64_t band = config->ceiling_bytes - config->floor_bytes;
    uint64_t add = least(sample->total_bytes / 50, band / 20);
    uint64_t to_bytes = what_fits(config, sample, least(state->quota_bytes + add, want));
    if (to_bytes <= state->quota_bytes) {
        decision->reason = CACHE_SIZE_AT_RULE;
        return;
    }
    if (!state->is_growing) {
        state->is_growing = true;
        state->turned_up_ms = sample->now_ms;
    }
    state->grown_ms = sample->now_ms;
    state->evicted = sample->evicted;
    decision->action = CACHE_SIZE_GROW;
    decision->reason = to_bytes > config->base_bytes ? CACHE_SIZE_EARNED : CACHE_SIZE_RECOVERING;
    decision->to_bytes = to_bytes;
}

/* ---- one step -------------------------------------------------------------------------------- */

/* What does not depend on figures: the operator's word, and bounds that have moved. true: decided.
 */
static bool
step_set(const struct cache_size_config *config, const struct cache_size_state *state,
         struct cache_size_decision *decision)
{
    if (state->pinned_bytes != 0) {
        decision->to_bytes = state->pinned_bytes;
        decision->reason = CACHE_SIZE_PINNED;
    } else if (!config->is_auto) {
        decision->to_bytes = config->base_bytes;
        decision->reason = CACHE_SIZE_OFF;
    } else if (clamp(config, state->quota_bytes) != state->quota_bytes) {
        decision->to_bytes = clamp(config, state->quota_bytes);
        decision->reason = CACHE_SIZE_CONFIGURED;
    } else {
        return false;
    }
    decision->action = decision->to_bytes != state->quota_bytes ? CACHE_SIZE_SET : CACHE_SIZE_HOLD;
    return true;
}

static void
decide(const struct cache_size_config *config, struct cache_size_state *state,
       const struct cache_size_sample *sample, struct cache_size_decision *decision)
{
    if (!sample->has_memory) {
        decision->reason = CACHE_SIZE_BLIND;
        state->room_count = 0;
        state->low_bits = 0;
        state->rule_bits = 0;
        return;
    }
    look_at_memory(config, state, sample);
    look_at_cpu(config, state, sample);
    if (!step_shrink(config, state, sample, decision)) {
        step_grow(config, state, sample, decision);
    }
}

void
cache_size_step(const struct cache_size_config *config, struct cache_size_state *state,
                const struct cache_size_sample *sample, struct cache_size_decision *out_decision)
{
    struct cache_size_decision decision = {.action = CACHE_SIZE_HOLD,
                                           .reason = CACHE_SIZE_STEADY,
                                           .from_bytes = state->quota_bytes,
                                           .to_bytes = state->quota_bytes};

    if (!state->has_begun) {
        begin(config, state, sample);
    }
    if (!step_set(config, state, &decision)) {
        decide(config, state, sample, &decision);
    }
    state->quota_bytes = decision.to_bytes;
    *out_decision = decision;
}
