/*
 * What a probe carries so that a reply can be known as its answer without a table of
 * what was sent: everything is a keyed function of the target.
 *
 *	hash = SipHash-2-4(secret, tag | counter | port (16 bits) | address)
 *
 * with an IPv4 address in 32 bits, or 32 zero bits and an IPv6 address in 128. The state
 * is the hash of tag 'S', counter 0:
 *
 *	direct		indexed
 *	bits  0-31	(none)		sequence number
 *	bits 32-46	bits  0-14	source port, below the constant top bit: 32768-65535
 *	bits 47-62	bits 15-34	label: IPv4 identification, IPv6 flow label
 *
 * A trace must know which of a target's probes is quoted where a box has rewritten the
 * sequence number, and yet send all of them along one path: what routers balance load by
 * is the same at every TTL (Augustin et al., "Avoiding traceroute anomalies with Paris
 * traceroute", IMC 2006). To the identification of an indexed IPv4 probe its mark is
 * therefore added, modulo 2^16: its TTL, and in a trace 64 times the number of its kind.
 * Routers balance by the flow label, too (RFC 6438): an IPv6 probe has its mark in the TCP
 * window (syn.h), which ICMPv6 quotes as well. Traces that are to be compared share the
 * secret of this hash (flow=), and so each target's flow.
 *
 * The sequence number of an indexed probe is the keyed permutation of the index instead
 * (permutation.h), so that a reply leads to its target. A forger who does not see the
 * probe has to guess 47 bits, sequence number and port. These functions are pure: any
 * number of threads may share a secret. Several probes to one target (ZMap's -P) differ
 * in their source address at most.
 */
#ifndef MPCENSUS_PROBE_STATE_H
#define MPCENSUS_PROBE_STATE_H

#include <stdint.h>

#include "address.h"
#include "permutation.h"
#include "siphash.h"

#define SOURCE_PORT_FIRST 32768u
#define SOURCE_PORT_LAST 65535u

struct target {
	struct ip_address address;
	uint16_t port;
	uint32_t index; /* of the probe (scan.h); 0 in direct scans */
};

struct probe_state {
	uint32_t seq;
	uint16_t source_port;
	uint32_t
	    label; /* lower 16 bits: IPv4 identification; lower 20: IPv6 flow label */
};

/* Hashes of different use differ in `tag`; blocks of one stream differ in `counter`. */
uint64_t target_hash(const struct siphash_key *secret, char tag, uint8_t counter,
		     const struct target *target);

struct probe_state probe_state_direct(const struct siphash_key *secret,
				      const struct target *target);
struct probe_state probe_state_indexed(const struct siphash_key *secret,
				       const struct permutation *order,
				       const struct target *target, uint16_t mark);

/* The part of a label that a probe carries. */
static inline uint32_t label_mask(enum ip_family family)
{
	return family == IP_FAMILY_6 ? 0xfffff : 0xffff;
}

#endif
