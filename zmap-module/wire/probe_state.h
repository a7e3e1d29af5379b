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
	uint32_t index; /* in the target file; 0 in direct scans */
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
				       const struct target *target);

#endif
