/*
 * A keyed permutation of the 32-bit numbers: the block cipher Speck32/64.
 * Beaulieu et al., "The SIMON and SPECK Families of Lightweight Block Ciphers",
 * IACR ePrint 2013/404.
 *
 * An indexed probe carries its index so in the sequence number: whoever does not know the
 * key sees a random number, and we get the index back from any reply that repeats it.
 */
#ifndef MPCENSUS_PERMUTATION_H
#define MPCENSUS_PERMUTATION_H

#include <stdint.h>

#define PERMUTATION_KEY_BYTES 8
#define PERMUTATION_ROUNDS 22

struct permutation {
	uint16_t round_keys[PERMUTATION_ROUNDS];
};

/* The key's words in the paper's order, most significant first: key[0..1] is l[2]. */
struct permutation permutation(const uint8_t key[PERMUTATION_KEY_BYTES]);

uint32_t permutation_apply(const struct permutation *order, uint32_t number);
uint32_t permutation_invert(const struct permutation *order, uint32_t number);

#endif
