/* SPDX-License-Identifier: MIT */
/*
 * cgroup.h - where our control group of one controller lies, and what its files say. Private to
 * proc. v1, v2 and both at once; a missing file is no value, never an error.
 */
#pragma once

#include "augury/proc.h"

/* A folder of the hierarchy: our group, then, by cgroup_up(), each group above it. */
struct cgroup_place {
    bool is_v2;
    size_t top; /* length of the mount point within dir: nothing above it is ours to see */
    char dir[PROC_CGROUP_BYTES];
};

struct cgroup_roots {
    const char *proc;   /* folder of the process file system */
    const char *cgroup; /* folder in which the hierarchies are mounted; "": as mountinfo says */
    const char *below;  /* goes before the mount points that mountinfo names; "" but in tests */
};

/* controller NULL: the one hierarchy of v2; else that controller's of v1. */
bool cgroup_find(const struct cgroup_roots *roots, const char *controller,
                 struct cgroup_place *out_place);
bool cgroup_up(struct cgroup_place *place); /* false: place is the top */
/* First line of a file of the group, without its end. */
bool cgroup_read_line(const struct cgroup_place *place, const char *name, char *out_line,
                      size_t size);
/* A file that is one number; "max" and -1 are none. */
bool cgroup_read_u64(const struct cgroup_place *place, const char *name, uint64_t *out_value);

/* ---- files of "name value" lines ------------------------------------------------------------- */

struct keyed {
    const char *name; /* the first word of its line, with the colon if there is one */
    uint64_t value;
    bool is_there;
};
/* Fills the rows that the file has, by name: order and further lines differ between kernels. false:
 * the file cannot be read. */
bool keyed_read(const char *path, struct keyed *rows, size_t count);
bool cgroup_read_keyed(const struct cgroup_place *place, const char *name, struct keyed *rows,
                       size_t count);
