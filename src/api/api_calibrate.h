/* SPDX-License-Identifier: MIT */
/* api_calibrate.h - the verb `model calibrate`. Private to the room. Process: cli. */
#pragma once

#include "augury/api.h"

/* argv[0] is "calibrate". Writes one document on success. */
AUGURY_MUST_USE int api_calibrate(const struct api_verbs *verbs, int argc, const char *const *argv,
                                  struct wire_writer *writer, struct err *err);
