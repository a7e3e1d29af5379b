/*
 * The Internet checksum (RFC 1071), kept as a running sum so that the constant part of a
 * packet is added once and what changes is added per packet.
 *
 * A 32-bit sum holds 65,536 words before it could overflow: an IPv4 packet has 32,768.
 */
#ifndef MPCENSUS_CHECKSUM_H
#define MPCENSUS_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds bytes that start at an even offset of the packet; an odd last byte is padded. */
uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t length);

static inline uint32_t checksum_add_u32(uint32_t sum, uint32_t value)
{
	return sum + (value >> 16) + (value & 0xffff);
}

/* Folds the sum: the value of the packet's checksum field. */
uint16_t checksum_finish(uint32_t sum);

#endif
