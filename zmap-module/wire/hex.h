#ifndef MPCENSUS_HEX_H
#define MPCENSUS_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * length lower-case digits and a NUL; `text` has room for them. */
void hex_encode(const uint8_t *bytes, size_t length, char *text);

/*
 * Reads 2 * length digits of either case. False, with `bytes` in part written, at the
 * first character that is no hex digit (a NUL is none, so `text` may be shorter).
 */
bool hex_decode(const char *text, uint8_t *bytes, size_t length);

#endif
