#ifndef MPCENSUS_HEX_H
#define MPCENSUS_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes 2 * length lower-case digits and a NUL; `text` has room for them. Inline, because
 * ZMap 4, into which this is linked, has a function of this name.
 */
static inline void hex_encode(const uint8_t *bytes, size_t length, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 0xf];
	}
	*text = '\0';
}

/*
 * Reads 2 * length digits of either case. False, with `bytes` in part written, at the
 * first character that is no hex digit (a NUL is none, so `text` may be shorter).
 */
bool hex_decode(const char *text, uint8_t *bytes, size_t length);

#endif
