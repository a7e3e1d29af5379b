#include "probe_state.h"

#include "store.h"

uint64_t target_hash(const struct siphash_key *secret, char tag, uint8_t counter,
		     const struct target *target)
{
	uint8_t message[24] = {(uint8_t)tag, counter};

	store_u16(message + 2, target->port);
	if (target->address.family == IP_FAMILY_4) {
		store_address_4(message + 4, target->address);
		return siphash24(secret, message, 8);
	}
	store_address_6(message + 8, target->address);
	return siphash24(secret, message, sizeof message);
}

static uint16_t source_port(uint64_t bits)
{
	return (uint16_t)(SOURCE_PORT_FIRST | (bits & 0x7fff));
}

struct probe_state probe_state_direct(const struct siphash_key *secret,
				      const struct target *target)
{
	uint64_t hash = target_hash(secret, 'S', 0, target);

	return (struct probe_state){
	    .seq = (uint32_t)hash,
	    .source_port = source_port(hash >> 32),
	    .label = (uint16_t)(hash >> 47),
	};
}

struct probe_state probe_state_indexed(const struct siphash_key *secret,
				       const struct permutation *order,
				       const struct target *target, uint16_t mark)
{
	uint64_t hash = target_hash(secret, 'S', 0, target);
	uint32_t label = (uint32_t)(hash >> 15);

	if (target->address.family == IP_FAMILY_4)
		label += mark;
	return (struct probe_state){
	    .seq = permutation_apply(order, target->index),
	    .source_port = source_port(hash),
	    .label = label & label_mask(target->address.family),
	};
}
