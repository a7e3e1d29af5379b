/*
 * One scan: everything that the adapters to ZMap 2.1.1 and ZMap 4 share.
 *
 * A direct scan probes ZMap's destinations, which are IPv4 addresses. An indexed scan
 * (targets=FILE) reads them as indices of a target file of either family (index_set.h).
 * A trace is an indexed scan that sends every target one probe with each of T TTLs: index
 * i stands for record i / T and TTL first + i % T. Any other scan sends all its probes
 * with one TTL, so that T is 1.
 */
#ifndef MPCENSUS_SCAN_H
#define MPCENSUS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "permutation.h"
#include "probe_args.h"
#include "probe_state.h"
#include "siphash.h"
#include "syn.h"
#include "target_file.h"

#define SCAN_PCAP_FILTER_BYTES 320
#define SCAN_ERROR_BYTES (PROBE_ARGS_MAX_BYTES + 256)

enum scan_method { METHOD_SYNSCAN, METHOD_TRACE };

struct scan {
	enum scan_method method;
	struct probe_args args;
	struct siphash_key secret;
	struct siphash_key flow;    /* of source ports and labels: the secret, or flow= */
	struct permutation order;   /* of the indices, indexed scans */
	struct target_file targets; /* count 0: a direct scan */
	struct ttl_range ttls;
	enum ip_family family;
	uint16_t port;
	struct syn_template syn;
};

enum scan_status { SCAN_OK, SCAN_HELP_ASKED, SCAN_BAD };

/* ZMap's name of the probe module: mptcp_synscan or mptcp_trace. */
const char *scan_module_name(const struct scan *scan);

static inline bool scan_is_trace(const struct scan *scan)
{
	return scan->method == METHOD_TRACE;
}

/*
 * Reads the arguments, opens the target file, draws the secrets. `probe_args` may be NULL.
 * `error` becomes one line without newline if SCAN_BAD.
 */
enum scan_status scan_open(struct scan *scan, enum scan_method method,
			   const char *probe_args, uint16_t target_port,
			   char error[SCAN_ERROR_BYTES]);

/*
 * Whether ZMap's set is what this scan can probe: of an indexed scan, exactly its
 * indices, of a direct scan anything. `allowed` counts ZMap's set without its blocklist.
 */
bool scan_check_index_set(const struct scan *scan, char *const *cidrs, int cidr_count,
			  const char *whitelist, uint64_t allowed,
			  char error[SCAN_ERROR_BYTES]);

/* Lets replies pass that reply.h may accept, and as little else as it can. */
void scan_pcap_filter(const struct scan *scan, char *text, size_t size);

uint16_t scan_ethertype(const struct scan *scan);

/*
 * Writes the probe to where ZMap's `destination` leads. Addresses are in host byte order;
 * an IPv6 probe leaves `source` aside. `packet` has room for SYN_MAX_BYTES. Returns the
 * packet's length, 0 if there is no such index.
 */
size_t scan_make_syn(const struct scan *scan, uint8_t *packet, uint32_t source,
		     uint32_t destination);

/*
 * Has the processor fetch what scan_make_syn will read for this destination. A scan goes
 * through the target file in random order: each record is a wait for memory otherwise.
 */
void scan_prefetch(const struct scan *scan, uint32_t destination);

/* Of an indexed scan: how many indices it has, and what one below that names. */
uint32_t scan_probe_count(const struct scan *scan);
struct target scan_target_at(const struct scan *scan, uint32_t index);

/* What our probe to a target carried; and the whole of it, as scan_make_syn wrote it. */
uint8_t scan_probe_ttl(const struct scan *scan, const struct target *target);
size_t scan_make_probe(const struct scan *scan, uint8_t *packet, uint32_t source,
		       const struct target *target);
struct probe_state scan_probe_state(const struct scan *scan, const struct target *target);
uint16_t scan_probe_mark(const struct scan *scan, const struct target *target);
uint64_t scan_sent_key(const struct scan *scan, const struct target *target); /* or 0 */
bool scan_sends_canary(const struct scan *scan);
uint32_t scan_sent_canary(const struct scan *scan, const struct target *target);
const char *scan_probe_name(const struct scan *scan); /* v0, v1, plain or canary */

enum scan_recognition {
	SCAN_OURS,
	SCAN_WRONG_PORT,
	SCAN_WRONG_SEQ,
	SCAN_WRONG_ADDRESS,
};

/*
 * Whether a probe of ours went to `address` and `port` from `our_port` with `seq`.
 * `target` is filled in if SCAN_OURS.
 */
enum scan_recognition scan_recognise(const struct scan *scan, struct ip_address address,
				     uint16_t port, uint16_t our_port, uint32_t seq,
				     struct target *target);

/*
 * What ZMap's duplicate detection goes by: the destination that it named, in host byte
 * order. In a trace that is a target and a TTL.
 */
uint32_t scan_duplicate_key(const struct scan *scan, const struct target *target);

#endif
