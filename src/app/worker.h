/* SPDX-License-Identifier: MIT */
/* worker.h - a worker: accepts, reads HTTP, predicts. Private to app. Process: worker. */
#pragma once

#include "heritage.h"

/* A proc_child_main. arg: struct heritage. */
int worker_main(void *arg, struct proc_link link);
