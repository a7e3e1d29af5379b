/*
 * The sender's key of a version 0 MP_CAPABLE (RFC 6824 section 3.1).
 *
 * True keys are 64 random bits, of weight Binomial(64, 1/2); ours have weight 16, four
 * standard deviations below its mean, so that echoes pile up where few true keys are.
 */
#ifndef MPCENSUS_KEYS_H
#define MPCENSUS_KEYS_H

#include <stdint.h>

#include "probe_state.h"

#define KEY_WEIGHT 16

enum key_method {
	KEY_WEIGHT16, /* a key for each target */
	KEY_STATIC,   /* the same key for all */
};

struct key_source {
	enum key_method method;
	uint64_t fixed; /* of KEY_STATIC */
};

/*
 * A key with exactly 16 bits set, each of the C(64, 16) equally likely over secrets.
 *
 * Method: the keyed hash of (tag 'K', counter, target) is read as 6-bit numbers, each of
 * which names one of 64 positions with equal chance; a position drawn before is drawn
 * again. That takes 18.2 draws on average, two hashes of ten draws each.
 */
uint64_t key_weight16(const struct siphash_key *secret, const struct target *target);

uint64_t sender_key(const struct key_source *source, const struct siphash_key *secret,
		    const struct target *target);

#endif
