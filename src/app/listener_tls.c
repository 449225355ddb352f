/* SPDX-License-Identifier: MIT */
/*
 * listener_tls.c - what a listener's TLS is made of: read by the master, which may read the key,
 * when a generation begins; opened by the workers, which may not.
 */
#include "heritage.h"

#include <stdlib.h>
#include <string.h>

#include "augury/api.h"

enum { PEM_BYTES_MAX = 1 << 20 };

int
listener_tls_read(const struct conf_listen *listen, struct listener_tls **out_tls, struct err *err)
{
    bool has_certificate = listen->tls_certificate[0] != '\0';

    *out_tls = NULL;
    if (has_certificate != (listen->tls_key[0] != '\0') ||
        (!has_certificate && listen->tls_client_ca[0] != '\0')) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_tls",
                       "TLS takes tls_certificate and tls_key, both; tls_client_ca goes with them");
    }
    if (!has_certificate) {
        return 0;
    }
    struct listener_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    buf_init(&tls->certificate, PEM_BYTES_MAX);
    buf_init(&tls->key, PEM_BYTES_MAX);
    buf_init(&tls->client_ca, PEM_BYTES_MAX);
    tls->is_12_allowed = strcmp(listen->tls_min, "1.2") == 0;
    int rc = api_read_checked(listen->tls_certificate, PEM_BYTES_MAX, API_READ_TRUSTED,
                              &tls->certificate, err);
    if (rc == 0) {
        rc =
            api_read_checked(listen->tls_key, PEM_BYTES_MAX, API_READ_CONFIDENTIAL, &tls->key, err);
    }
    if (rc == 0 && listen->tls_client_ca[0] != '\0') {
        rc = api_read_checked(listen->tls_client_ca, PEM_BYTES_MAX, API_READ_TRUSTED,
                              &tls->client_ca, err);
    }
    if (rc == 0) {
        struct net_tls *trial = NULL;
        rc = listener_tls_open(tls, NULL, &trial, err);
        net_tls_free(&trial);
    }
    if (rc != 0) {
        listener_tls_free(&tls);
        return rc;
    }
    *out_tls = tls;
    return 0;
}

int
listener_tls_open(const struct listener_tls *tls, const struct net_tickets *tickets,
                  struct net_tls **out_tls, struct err *err)
{
    struct net_tls_options options = {
        .certificate = buf_view(&tls->certificate),
        .key = buf_view(&tls->key),
        .client_ca = buf_view(&tls->client_ca),
        .is_12_allowed = tls->is_12_allowed,
        .tickets = tickets,
    };

    return net_tls_new(&options, out_tls, err);
}

void
listener_tls_free(struct listener_tls **tls)
{
    if (*tls == NULL) {
        return;
    }
    if ((*tls)->key.len > 0) {
        explicit_bzero((*tls)->key.data, (*tls)->key.len);
    }
    buf_fini(&(*tls)->certificate);
    buf_fini(&(*tls)->key);
    buf_fini(&(*tls)->client_ca);
    free(*tls);
    *tls = NULL;
}
