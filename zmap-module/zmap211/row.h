/* A reply as ZMap's fields: names and meaning are the contract of the JSON rows. */
#ifndef MPCENSUS_ZMAP211_ROW_H
#define MPCENSUS_ZMAP211_ROW_H

#include "abi.h"
#include "../wire/reply.h"
#include "../wire/syn.h"

/* snaplen: an Ethernet frame of 1500 bytes with room to spare. */
#define CAPTURE_BYTES 1600

#define ROW_FIELD_COUNT 20

extern struct field_def row_fields[ROW_FIELD_COUNT];

/*
 * Adds exactly the fields of row_fields, in their order, to a fieldset that already holds
 * ZMap's IP fields. `sent_key` matters only to PROBE_V0.
 *
 * Texts live in static memory until the next call: ZMap has one receive thread, and has
 * written a row out before it looks at the next packet. So no row allocates or leaks.
 */
void row_add(struct fieldset *fs, const struct reply *reply, enum probe_kind probe,
	     uint64_t sent_key);

#endif
