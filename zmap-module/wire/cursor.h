/*
 * The one way in which captured bytes are read.
 *
 * A read past the end gives zero (or NULL), moves nothing and sets `overrun`, which stays
 * set: a parser may read several fields and check once, before it uses any of them.
 * Multi-byte values are in network byte order.
 */
#ifndef MPCENSUS_CURSOR_H
#define MPCENSUS_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *next;
	size_t left;
	bool overrun;
};

static inline struct cursor cursor_over(const uint8_t *bytes, size_t length)
{
	return (struct cursor){.next = bytes, .left = length, .overrun = false};
}

/* Consumes `length` bytes and returns where they start. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t length)
{
	const uint8_t *taken = c->next;

	if (c->overrun || length > c->left) {
		c->overrun = true;
		return NULL;
	}
	/* Advancing by zero would be undefined for a cursor over (NULL, 0). */
	if (length > 0) {
		c->next += length;
		c->left -= length;
	}
	return taken;
}

static inline uint64_t cursor_big_endian(struct cursor *c, size_t length)
{
	const uint8_t *bytes = cursor_take(c, length);
	uint64_t value = 0;

	if (bytes == NULL)
		return 0;
	for (size_t i = 0; i < length; i++)
		value = value << 8 | bytes[i];
	return value;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	return (uint8_t)cursor_big_endian(c, 1);
}

static inline uint16_t cursor_u16(struct cursor *c)
{
	return (uint16_t)cursor_big_endian(c, 2);
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	return (uint32_t)cursor_big_endian(c, 4);
}

static inline uint64_t cursor_u64(struct cursor *c)
{
	return cursor_big_endian(c, 8);
}

#endif
