/*
 * What a probe carries so that a reply can be known as its answer without a table of
 * what was sent: everything is a keyed hash of the target.
 *
 *	hash = SipHash-2-4(secret, tag 'S' | 0 | port (16 bits) | address (32 bits))
 *
 *	bits  0-31  sequence number
 *	bits 32-46  source port, below the constant top bit: 32768-65535
 *	bits 47-62  IPv4 identification
 *	bit  63     unused
 *
 * A forger who does not see the probe has to guess 47 bits, sequence number and port.
 * These functions are pure: any number of threads may share a secret. Several probes
 * to one target (ZMap's -P) differ in their source address at most.
 */
#ifndef MPCENSUS_PROBE_STATE_H
#define MPCENSUS_PROBE_STATE_H

#include <stdint.h>

#include "siphash.h"

#define SOURCE_PORT_FIRST 32768u
#define SOURCE_PORT_LAST 65535u

/* Both in host byte order. */
struct target {
	uint32_t address;
	uint16_t port;
};

struct probe_state {
	uint32_t seq;
	uint16_t source_port;
	uint16_t ip_id;
};

/* Hashes of different use differ in `tag`; blocks of one stream differ in `counter`. */
uint64_t target_hash(const struct siphash_key *secret, char tag, uint8_t counter,
		     struct target target);

struct probe_state probe_state(const struct siphash_key *secret, struct target target);

#endif
