/* SPDX-License-Identifier: MIT */
/* banned.h - forced into every source file: functions that have a safe counterpart in base or
 * libc are compile errors. */
#pragma once

/* Declared before they are poisoned, so that later includes of the same headers stay legal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol atof gets       \
    localtime gmtime ctime asctime
