/* SPDX-License-Identifier: MIT */
/* put_conf.c - prints the table of options as "mdoc" or "markdown", for check_docs.py. */
#include <stdio.h>
#include <string.h>

#include "augury/conf.h"

int
main(int argc, char **argv)
{
    struct buf buf;

    if (argc != 2) {
        return 2;
    }
    buf_init(&buf, 1 << 20);
    if (strcmp(argv[1], "mdoc") == 0) {
        conf_put_mdoc(&buf);
    } else {
        conf_put_markdown(&buf);
    }
    int rc = buf_finish(&buf);
    if (rc == 0) {
        fwrite(buf.data, 1, buf.len, stdout);
    }
    buf_fini(&buf);
    return rc == 0 ? 0 : 1;
}
