/* The text of --probe-args: comma-separated name=value. */
#ifndef MPCENSUS_PROBE_ARGS_H
#define MPCENSUS_PROBE_ARGS_H

#include <stdbool.h>

#include "address.h"
#include "keys.h"
#include "siphash.h"
#include "syn.h"

/* Lines of at most 80 characters, as ZMap's --help wants them. */
#define PROBE_ARGS_HELP                                                                  \
	"--probe-args=name=value,...\n"                                                  \
	"  probe=v0|v1|plain    MP_CAPABLE version; plain has none (default v1)\n"       \
	"  key=weight16|static:HEX16\n"                                                  \
	"                       sender's key of v0 probes (others carry none): one\n"    \
	"                       for each target with exactly 16 bits set, or this\n"     \
	"                       one (default weight16)\n"                                \
	"  options=linux|bare   the other TCP options: those of a Linux MPTCP\n"         \
	"                       client, or none (default linux)\n"                       \
	"  canary=on|off        one more option, experimental, with a nonce for each\n"  \
	"                       target: who sends it back mirrors unknown options\n"     \
	"                       (default off)\n"                                         \
	"  targets=FILE         probe what this target file lists (made by mpcensus\n"   \
	"                       targets build), IPv4 or IPv6\n"                          \
	"  source=ADDRESS       our IPv6 address, for IPv6 targets\n"                    \
	"  ttl=FIRST-LAST       mptcp_trace only: probe each target once with each of\n" \
	"                       these TTLs, from 1 to 64 (default 1-24)\n"               \
	"  flow=HEX32           mptcp_trace only: draw source ports and flow labels\n"   \
	"                       from this secret, so that traces of several kinds of\n"  \
	"                       probe take the same paths (default random)\n"            \
	"  help                 instead of a scan: print this list\n"

/* What ZMap's --help says of the two modules. */
#define SYNSCAN_HELP                                                                     \
	"Sends a TCP SYN with MP_CAPABLE (Multipath TCP, RFC 6824 and RFC 8684) and\n"   \
	"reports SYN-ACKs, RSTs and ICMP errors.\n" PROBE_ARGS_HELP OUTPUT_HELP
#define TRACE_HELP                                                                       \
	"Sends the SYNs of mptcp_synscan to the targets of a target file, with each "    \
	"of\n"                                                                           \
	"several TTLs, and reports ICMP errors with what they quote, SYN-ACKs and\n"     \
	"RSTs, all with the SYN that they answer.\n" PROBE_ARGS_HELP OUTPUT_HELP
#define OUTPUT_HELP "Choose --output-module=json --output-fields=* to get every field.\n"

/* The defaults of a trace: few paths are longer than 24 hops. */
#define TRACE_FIRST_TTL 1
#define TRACE_LAST_TTL 24

#define PROBE_ARGS_MAX_BYTES 1024
#define PROBE_ARGS_ERROR_BYTES 256

struct ttl_range {
	uint8_t first, last;
};

static inline uint32_t ttl_count(struct ttl_range ttls)
{
	return ttls.last - ttls.first + 1u;
}

struct probe_args {
	enum probe_kind probe;
	struct key_source key;
	enum option_set options;
	bool canary;
	char targets[PROBE_ARGS_MAX_BYTES]; /* path, empty if not given */
	bool has_source;
	struct ip_address source;
	struct ttl_range ttls; /* 0-0 if not given */
	bool has_flow;
	struct siphash_key flow;
};

enum probe_args_status { PROBE_ARGS_OK, PROBE_ARGS_HELP_ASKED, PROBE_ARGS_BAD };

/* `text` may be NULL. `error` becomes one line without newline if PROBE_ARGS_BAD. */
enum probe_args_status probe_args_parse(const char *text, struct probe_args *args,
					char error[PROBE_ARGS_ERROR_BYTES]);

#endif
