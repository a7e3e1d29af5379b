/* A reply as ZMap's fields: names and meaning are the contract of the JSON rows. */
#ifndef MPCENSUS_ROW_H
#define MPCENSUS_ROW_H

#include "../wire/reply.h"
#include "../wire/scan.h"
/* Of the ZMap that the row is made for: its folder is in the include path. */
#include "zmap_fields.h"

/* snaplen: an Ethernet frame of 1500 bytes with room to spare. */
#define CAPTURE_BYTES 1600

/* The rows of a trace have all fields, those of any other scan leave out the last two. */
#define TRACE_ROW_FIELD_COUNT 24
#define ROW_FIELD_COUNT (TRACE_ROW_FIELD_COUNT - 2)

extern struct field_def row_fields[TRACE_ROW_FIELD_COUNT];

/*
 * Adds exactly the scan's fields of row_fields, in their order, to a fieldset that already holds
 * ZMap's IP fields, and corrects those: ZMap reads every packet as if it were IPv4.
 *
 * Texts live in static memory until the next call: ZMap has one receive thread, and has
 * written a row out before it looks at the next packet. So no row allocates or leaks.
 */
void row_add(struct fieldset *fs, const struct scan *scan, const struct reply *reply);

#endif
