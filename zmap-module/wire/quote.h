/*
 * Whether a packet that an ICMP message quotes is a probe of ours, and to which target.
 *
 * A scan asks for all that names a probe: destination, ports and sequence number. A trace
 * is there to meet boxes that rewrite some of them, so one of these is enough:
 *
 *  (a) the sequence number leads to an index whose target is the quoted destination
 *      (source rewritten: NAT);
 *  (b) it leads to an index whose source port and label are those quoted (destination
 *      rewritten);
 *  (c) the quoted destination is a target, and source port and label are those of its
 *      probe at one of the TTLs (sequence number rewritten). IPv6: the label is that of
 *      all its probes, and the window tells which one it is.
 *
 * Whoever did not see the probe has to guess for N targets and T TTLs: (a) a number out of
 * 2^32 of which T are right, (b) 63 bits of which N * T values are right, (c) 31 bits of
 * which T values are right (IPv6: (b) 67 bits, (c) 35 bits of which one value is right).
 */
#ifndef MPCENSUS_QUOTE_H
#define MPCENSUS_QUOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "probe_state.h"
#include "scan.h"

/* What RFC 792 promises of a quoted probe, the IP header and eight bytes; and the window. */
struct quote {
	struct ip_address destination;
	uint32_t label; /* IPv4 identification, IPv6 flow label */
	uint16_t our_port, port;
	uint32_t seq;
	bool has_window; /* whether the quote goes on so far */
	uint16_t window;
};

/* `target` is filled in if true. */
bool quote_recognise(const struct scan *scan, const struct quote *quote,
		     struct target *target);

#endif
