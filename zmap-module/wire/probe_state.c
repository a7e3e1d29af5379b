#include "probe_state.h"

#include "store.h"

uint64_t target_hash(const struct siphash_key *secret, char tag, uint8_t counter,
		     struct target target)
{
	uint8_t message[8];

	message[0] = (uint8_t)tag;
	message[1] = counter;
	store_u16(message + 2, target.port);
	store_u32(message + 4, target.address);
	return siphash24(secret, message, sizeof message);
}

struct probe_state probe_state(const struct siphash_key *secret, struct target target)
{
	uint64_t hash = target_hash(secret, 'S', 0, target);

	return (struct probe_state){
	    .seq = (uint32_t)hash,
	    .source_port = (uint16_t)(SOURCE_PORT_FIRST | (hash >> 32 & 0x7fff)),
	    .ip_id = (uint16_t)(hash >> 47),
	};
}
