#include "permutation.h"

/* The paper's rotations for Speck32: alpha = 7, beta = 2. */
#define ALPHA 7
#define BETA 2

static inline uint16_t rotate_left(uint16_t word, unsigned bits)
{
	return (uint16_t)(word << bits | word >> (16 - bits));
}

static inline uint16_t rotate_right(uint16_t word, unsigned bits)
{
	return rotate_left(word, 16 - bits);
}

/* The round function, also of the key schedule. */
static inline void round_forward(uint16_t *x, uint16_t *y, uint16_t key)
{
	*x = (uint16_t)(rotate_right(*x, ALPHA) + *y) ^ key;
	*y = rotate_left(*y, BETA) ^ *x;
}

static inline void round_back(uint16_t *x, uint16_t *y, uint16_t key)
{
	*y = rotate_right(*x ^ *y, BETA);
	*x = rotate_left((uint16_t)((*x ^ key) - *y), ALPHA);
}

struct permutation permutation(const uint8_t key[PERMUTATION_KEY_BYTES])
{
	struct permutation order;
	uint16_t words[4]; /* k[0], l[0], l[1], l[2] */
	uint16_t k;

	for (int i = 0; i < 4; i++)
		words[i] = (uint16_t)(key[6 - 2 * i] << 8 | key[7 - 2 * i]);
	k = words[0];
	for (uint16_t i = 0; i < PERMUTATION_ROUNDS; i++) {
		order.round_keys[i] = k;
		round_forward(&words[1 + i % 3], &k, i);
	}
	return order;
}

uint32_t permutation_apply(const struct permutation *order, uint32_t number)
{
	uint16_t x = (uint16_t)(number >> 16), y = (uint16_t)number;

	for (int i = 0; i < PERMUTATION_ROUNDS; i++)
		round_forward(&x, &y, order->round_keys[i]);
	return (uint32_t)x << 16 | y;
}

uint32_t permutation_invert(const struct permutation *order, uint32_t number)
{
	uint16_t x = (uint16_t)(number >> 16), y = (uint16_t)number;

	for (int i = PERMUTATION_ROUNDS - 1; i >= 0; i--)
		round_back(&x, &y, order->round_keys[i]);
	return (uint32_t)x << 16 | y;
}
