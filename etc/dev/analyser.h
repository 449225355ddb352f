/* SPDX-License-Identifier: MIT */
/*
 * analyser.h - what clang's analyser cannot see because it reads one file at a time: that err_set()
 * returns the code it was given and err_at() the one that was set. Forced in by lint.py alone.
 */
#pragma once

#include "augury/base.h"

#define err_set(err_to, rc_to, ...)                                                                \
    ({                                                                                             \
        struct err *analyser_err = (err_to);                                                       \
        int analyser_rc = (rc_to);                                                                 \
        (void)(err_set)(analyser_err, analyser_rc, __VA_ARGS__);                                   \
        if (analyser_err != NULL) {                                                                \
            analyser_err->rc = analyser_rc;                                                        \
        }                                                                                          \
        analyser_rc;                                                                               \
    })

#define err_at(err_to, ...)                                                                        \
    ({                                                                                             \
        struct err *analyser_place = (err_to);                                                     \
        int analyser_kept = analyser_place == NULL ? 0 : analyser_place->rc;                       \
        (void)(err_at)(analyser_place, __VA_ARGS__);                                               \
        if (analyser_place != NULL) {                                                              \
            analyser_place->rc = analyser_kept;                                                    \
        }                                                                                          \
        analyser_kept;                                                                             \
    })
