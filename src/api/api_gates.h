/* SPDX-License-Identifier: MIT */
/*
 * api_gates.h - what a file has to pass before it is imported: who may have written it, and who
 * signed it. Private to the room. Process: supervisor, cli.
 */
#pragma once

#include "augury/api.h"

/* A file to be vouched for. */
struct gate_file {
    const char *path;
    struct bytes content;
};

enum { GATE_FILES_MAX = 2 };

/* An import that is about to happen. */
struct gate_import {
    const char *name;
    uint32_t version;           /* asked for; 0: the next */
    const char *features;       /* names given on the line, which no manifest covers; or NULL */
    const char *manifest_path;  /* NULL: none */
    const char *signature_path; /* NULL: manifest_path with ".sig" behind it */
    struct gate_file files[GATE_FILES_MAX];
    size_t file_count;
};

/* What was found. */
struct gate_pass {
    struct registry_evidence evidence;
    uint32_t version; /* the manifest's; 0: it names none */
};

/* Holds an import against its signed manifest, as far as one is given or models.require_signature
 * wants one. */
AUGURY_MUST_USE int gate_signature(const struct api_verbs *verbs, const struct gate_import *import,
                                   struct gate_pass *out_pass, struct err *err);
/* What is to be said about an import that passed, or NULL. */
const char *gate_warning(const struct api_verbs *verbs, const struct gate_pass *pass);
