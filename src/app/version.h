/* SPDX-License-Identifier: MIT */
/* version.h - what this program was built from and what it runs with. Private to app. */
#pragma once

#include <stdio.h>

/* Compiler, libraries at build time, and the library files that are loaded now. */
void version_print(FILE *out);
