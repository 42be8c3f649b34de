/* SPDX-License-Identifier: Apache-2.0 */
/* A heap that forks share again where they have written to it and it is as it was. */
#ifndef ORLOP_SHARED_HEAP_H
#define ORLOP_SHARED_HEAP_H
#include <stdint.h>

/* Bytes that are shared, or -errno; on failure nothing is changed. */
int64_t orlop_share_heap(void);
/* Bytes given back, or -errno. */
int64_t orlop_give_back(void);

#endif
