/* SPDX-License-Identifier: MIT */
/* net_list.h - intrusive lists with a sentinel: a link is either in one list or alone (next ==
 * NULL). Private to net. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct net_list {
    struct net_list *prev;
    struct net_list *next;
};

#define NET_LIST_OWNER(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void
net_list_init(struct net_list *head)
{
    head->prev = head;
    head->next = head;
}

static inline bool
net_list_is_empty(const struct net_list *head)
{
    return head->next == head;
}

static inline bool
net_list_is_linked(const struct net_list *link)
{
    return link->next != NULL;
}

static inline void
net_list_add(struct net_list *head, struct net_list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void
net_list_del(struct net_list *link)
{
    if (link->next != NULL) {
        link->prev->next = link->next;
        link->next->prev = link->prev;
        link->next = NULL;
        link->prev = NULL;
    }
}

/* Takes the first one off; the list is not empty. */
static inline struct net_list *
net_list_pop(struct net_list *head)
{
    struct net_list *link = head->next;

    head->next = link->next;
    head->next->prev = head;
    link->next = NULL;
    link->prev = NULL;
    return link;
}
