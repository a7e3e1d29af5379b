/*
 * What the option bytes of a TCP header say about Multipath TCP, and about the canary: an
 * option that no host knows, sent to see who mirrors what it does not understand.
 *
 * The rule (pipeline/mptcp implements the same text; testdata/options holds for both):
 *
 *  1. Options are walked from the first byte (RFC 9293 section 3.1). Kind 0 ends the
 *     list, kind 1 is one byte long, every other kind has a length byte that counts
 *     kind and length too. An option without a length byte, with a length below 2, or
 *     with a length beyond the option bytes cannot be stepped over: the walk ends
 *     with it.
 *  2. An option of kind 30 that ends the walk so, or whose length is 2 (no room for a
 *     subtype), is a malformed MPTCP option. The same in another kind just ends the
 *     walk.
 *  3. Otherwise the upper four bits of its third byte are the subtype. Subtype 0 is
 *     MP_CAPABLE; the lower four bits are its version, the fourth byte its flags. Its
 *     legal lengths in a SYN or SYN-ACK are 12 for version 0 (RFC 6824 section 3.1),
 *     4 or 12 for version 1 (RFC 8684 section 3.1); later versions, which no RFC
 *     defines, are held to those of version 1. With another length it is malformed.
 *     Any other subtype is `other`, whatever its length.
 *  4. The first well-formed MP_CAPABLE decides; if there is none, the first malformed
 *     option; if there is none, the first other subtype; else the answer is `none`.
 *  5. Version, flags and length are those of the deciding option, if its subtype is 0.
 *     Its third and fourth byte count when they lie both within what its length byte
 *     claims and within the option bytes, so an option that is cut short may have a
 *     version and no flags. With no third byte the subtype is unknown, and all three
 *     are absent. The length is the length byte, even when fewer bytes follow.
 *  6. The key is the eight bytes from the fifth on, of a well-formed MP_CAPABLE of 12
 *     bytes.
 *  7. The canary is an option of kind 254 (experiments: RFC 4727) whose third and fourth
 *     byte are our experiment identifier (RFC 6994 section 3); of both bytes holds what
 *     rule 5 says. The first such option decides. It is `mirrored` if its length is 8, it
 *     lies within the option bytes and its last four bytes are the nonce that we sent,
 *     else `altered`; without such an option the answer is `none`.
 */
#ifndef MPCENSUS_TCP_OPTIONS_H
#define MPCENSUS_TCP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The data offset counts at most 15 words, five of them fixed (RFC 9293 section 3.1). */
#define TCP_OPTIONS_MAX_BYTES 40

#define TCP_OPTION_EOL 0            /* RFC 9293 section 3.2 */
#define TCP_OPTION_NOP 1            /* RFC 9293 section 3.2 */
#define TCP_OPTION_MSS 2            /* RFC 9293 section 3.2 */
#define TCP_OPTION_WINDOW_SCALE 3   /* RFC 7323 section 2.2 */
#define TCP_OPTION_SACK_PERMITTED 4 /* RFC 2018 section 2 */
#define TCP_OPTION_TIMESTAMPS 8     /* RFC 7323 section 3.2 */
#define TCP_OPTION_MPTCP 30         /* RFC 8684 section 3, figure 3 */
#define TCP_OPTION_EXPERIMENT 254   /* RFC 4727 */

#define MPTCP_SUBTYPE_CAPABLE 0      /* RFC 8684 section 7.2 */
#define MP_CAPABLE_BYTES 4           /* RFC 8684 section 3.1, figure 4: no key */
#define MP_CAPABLE_WITH_KEY_BYTES 12 /* RFC 8684 section 3.1, figure 4: sender's key */
#define MP_CAPABLE_V0_BYTES 12       /* RFC 6824 section 3.1, figure 4 */

/* Kind, length, identifier of 16 bits (RFC 6994 section 3), nonce of 32 bits. */
#define CANARY_BYTES 8
#define CANARY_EXPERIMENT 0x4d43 /* "MC" */

enum mptcp_presence { MPTCP_NONE, MPTCP_CAPABLE, MPTCP_MALFORMED, MPTCP_OTHER };

struct mptcp_facts {
	enum mptcp_presence presence;
	bool has_version, has_flags, has_length, has_key;
	uint8_t version, flags, length;
	uint64_t key;
};

struct mptcp_facts tcp_options_find_mptcp(const uint8_t *options, size_t length);

enum canary_presence { CANARY_NONE, CANARY_MIRRORED, CANARY_ALTERED };

enum canary_presence tcp_options_find_canary(const uint8_t *options, size_t length,
					     uint32_t sent_nonce);

#endif
