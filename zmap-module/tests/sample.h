/* Replies of the target 198.51.100.7:443 to a probe from 192.0.2.1 (RFC 5737 addresses). */
#ifndef MPCENSUS_SAMPLE_H
#define MPCENSUS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "../wire/headers.h"
#include "../wire/probe_state.h"

#define SAMPLE_MAX_BYTES 256
#define SAMPLE_TARGET_ADDRESS 0xc6336407u
#define SAMPLE_OUR_ADDRESS 0xc0000201u
#define SAMPLE_ROUTER_ADDRESS 0xcb007101u /* 203.0.113.1 */
#define SAMPLE_TARGET_PORT 443
#define SAMPLE_SEQ 0x89abcdefu
#define SAMPLE_WINDOW 65160

struct siphash_key sample_secret(void);
struct target sample_target(void);

/* Both return the packet's length. `packet` has room for SAMPLE_MAX_BYTES. */
size_t sample_tcp(uint8_t *packet, uint8_t flags, const uint8_t *options, size_t length);

/* Destination unreachable from the router, quoting the first bytes of a 44-byte probe. */
size_t sample_icmp(uint8_t *packet, uint8_t code, size_t quoted_bytes);

#endif
