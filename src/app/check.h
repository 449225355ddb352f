/* SPDX-License-Identifier: MIT */
/* check.h - `auguryd -t`: what a configuration needs from this machine. Private to app. Process:
 * the command. */
#pragma once

#include "augury/conf.h"

/* Users, groups, folders, files and addresses; each failure is one error. Makes nothing, and
 * touches no file of a daemon that runs: an address in use is no error. */
void check_machine(const struct conf *conf, struct conf_errors *out_errors);
