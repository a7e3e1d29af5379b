/*
 * What became of the captured packets, and the line in which a scan reports it:
 *
 *	MODULE: counts {"packets_sent":N,"send_failures":N,"received":N,"invalid":N,
 *	        "invalid_by_reason":{"wrong-ack":N,...}}
 *
 * `received` are the packets that passed the capture filter, `invalid` those of them that
 * answer no probe of ours; reasons that never occurred are left out.
 */
#ifndef MPCENSUS_COUNTS_H
#define MPCENSUS_COUNTS_H

#include <stdint.h>
#include <stdio.h>

#include "reply.h"

struct reply_counts {
	uint64_t by_status[REPLY_STATUS_COUNT];
};

void counts_add(struct reply_counts *counts, enum reply_status status);

/* NULL: ZMap does its own sending, and knows that number itself. */
void counts_print(FILE *file, const char *module, const struct reply_counts *counts,
		  const uint64_t *packets_sent, const uint64_t *send_failures);

#endif
