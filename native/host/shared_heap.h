/* SPDX-License-Identifier: Apache-2.0 */
/* A heap that forks share again where they have written to it and it is as it was. */
#ifndef ORLOP_SHARED_HEAP_H
#define ORLOP_SHARED_HEAP_H
#include <stdint.h>

/* Bytes that are shared, or -errno; on failure nothing is changed. */
int64_t orlop_share_heap(void);
/* Bytes given back, or -errno. */
int64_t orlop_give_back(void);
/* The addresses of pages that were copied, so many at most; how many, or -errno. */
int64_t orlop_copied_pages(uint64_t *pages, int64_t most);
/* Copy these pages now, in ascending order, where they are shared yet; 0 or -errno. */
int64_t orlop_copy_pages(const uint64_t *pages, int64_t count);

#endif
