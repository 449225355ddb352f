/* SPDX-License-Identifier: MIT */
/*
 * analyser.h - what clang's analyser cannot see because it reads one file at a time: that err_set()
 * returns the code it was given, and err_at() a failure. Forced in by lint.py alone.
 */
#pragma once

#include "augury/base.h"

#define err_set(err_to, rc_to, ...)                                                                \
    ({                                                                                             \
        int analyser_rc = (rc_to);                                                                 \
        (void)(err_set)((err_to), analyser_rc, __VA_ARGS__);                                       \
        analyser_rc;                                                                               \
    })

#define err_at(err_to, ...)                                                                        \
    ({                                                                                             \
        (void)(err_at)((err_to), __VA_ARGS__);                                                     \
        AUGURY_ERR_INVALID;                                                                        \
    })
