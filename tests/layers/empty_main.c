/* SPDX-License-Identifier: MIT */
/* Linked with one whole room and those below it: an upward call does not link. */
int
main(void)
{
    return 0;
}
