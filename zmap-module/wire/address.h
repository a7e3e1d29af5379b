/* An address of either family, as numbers. */
#ifndef MPCENSUS_ADDRESS_H
#define MPCENSUS_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"

#define IPV4_ADDRESS_BYTES 4
#define IPV6_ADDRESS_BYTES 16

enum ip_family { IP_FAMILY_4 = 4, IP_FAMILY_6 = 6 };

/* In host byte order; an IPv4 address is in the lower 32 bits of `low`. */
struct ip_address {
	enum ip_family family;
	uint64_t high, low;
};

static inline struct ip_address ip_address_4(uint32_t address)
{
	return (struct ip_address){.family = IP_FAMILY_4, .low = address};
}

static inline struct ip_address ip_address_6(const uint8_t bytes[IPV6_ADDRESS_BYTES])
{
	return (struct ip_address){
	    .family = IP_FAMILY_6,
	    .high = load_u64(bytes),
	    .low = load_u64(bytes + 8),
	};
}

static inline bool ip_address_equal(struct ip_address a, struct ip_address b)
{
	return a.family == b.family && a.high == b.high && a.low == b.low;
}

static inline void store_address_4(uint8_t *at, struct ip_address address)
{
	store_u32(at, (uint32_t)address.low);
}

static inline void store_address_6(uint8_t *at, struct ip_address address)
{
	store_u64(at, address.high);
	store_u64(at + 8, address.low);
}

#endif
