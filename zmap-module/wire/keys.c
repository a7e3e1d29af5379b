#include "keys.h"

#define DRAW_BITS 6
#define DRAWS_PER_HASH (64 / DRAW_BITS)

uint64_t key_weight16(const struct siphash_key *secret, const struct target *target)
{
	uint64_t key = 0;
	unsigned weight = 0;

	/* The counter never wraps: 2560 draws meet 15 positions with chance < 2^-5000. */
	for (uint8_t counter = 0; weight < KEY_WEIGHT; counter++) {
		uint64_t hash = target_hash(secret, 'K', counter, target);

		for (int i = 0; i < DRAWS_PER_HASH && weight < KEY_WEIGHT; i++) {
			uint64_t position = UINT64_C(1) << (hash & 63);

			weight += (key & position) == 0;
			key |= position;
			hash >>= DRAW_BITS;
		}
	}
	return key;
}

uint64_t sender_key(const struct key_source *source, const struct siphash_key *secret,
		    const struct target *target)
{
	if (source->method == KEY_STATIC)
		return source->fixed;
	return key_weight16(secret, target);
}
