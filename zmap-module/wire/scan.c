#include "scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "error_line.h"
#include "headers.h"
#include "index_set.h"

#define HOW_TO_GIVE_INDICES                                                              \
	"start it by zmap-mptcp or mpcensus scan, or as mpcensus targets arguments says"

const char *scan_module_name(const struct scan *scan)
{
	return scan_is_trace(scan) ? "mptcp_trace" : "mptcp_synscan";
}

static bool is_indexed(const struct scan *scan)
{
	return scan->targets.count > 0;
}

/* Everything random about a scan. */
static bool draw_secrets(struct scan *scan, uint32_t *ts_value)
{
	struct {
		uint8_t secret[SIPHASH_KEY_BYTES];
		uint8_t order[PERMUTATION_KEY_BYTES];
		uint32_t ts_value;
	} drawn;

	/* Up to 256 bytes come whole or not at all (getrandom(2)). */
	if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn)
		return false;
	scan->secret = siphash_key(drawn.secret);
	scan->order = permutation(drawn.order);
	*ts_value = drawn.ts_value;
	return true;
}

static bool open_targets(struct scan *scan, char error[SCAN_ERROR_BYTES])
{
	char problem[TARGET_FILE_ERROR_BYTES];
	const char *path = scan->args.targets;

	scan->targets = (struct target_file){.count = 0};
	scan->family = IP_FAMILY_4;
	if (*path != '\0') {
		if (!target_file_open(scan_module_name(scan), path, &scan->targets,
				      problem)) {
			error_line(error, SCAN_ERROR_BYTES, "%s %s", path, problem);
			return false;
		}
		scan->family = scan->targets.family;
	}
	if (scan->family == IP_FAMILY_6 && !scan->args.has_source) {
		error_line(error, SCAN_ERROR_BYTES,
			   "%s lists IPv6 addresses: give our own by source=ADDRESS",
			   path);
		return false;
	}
	if (scan->family == IP_FAMILY_4 && scan->args.has_source) {
		error_line(error, SCAN_ERROR_BYTES,
			   "source= is for IPv6 targets only: "
			   "give an IPv4 source by ZMap's --source-ip");
		return false;
	}
	return true;
}

static bool settle_flow(struct scan *scan, char error[SCAN_ERROR_BYTES])
{
	bool given = scan->args.has_flow;

	scan->flow = given ? scan->args.flow : scan->secret;
	if (given && !scan_is_trace(scan)) {
		error_line(error, SCAN_ERROR_BYTES,
			   "flow= is an argument of mptcp_trace only");
		return false;
	}
	return true;
}

static bool settle_ttls(struct scan *scan, char error[SCAN_ERROR_BYTES])
{
	bool given = scan->args.ttls.last != 0;
	uint32_t most;

	if (!scan_is_trace(scan)) {
		if (given)
			error_line(error, SCAN_ERROR_BYTES,
				   "ttl= is an argument of mptcp_trace only");
		scan->ttls = (struct ttl_range){SYN_LINUX_TTL, SYN_LINUX_TTL};
		return !given;
	}
	scan->ttls =
	    given ? scan->args.ttls : (struct ttl_range){TRACE_FIRST_TTL, TRACE_LAST_TTL};
	if (!is_indexed(scan)) {
		error_line(error, SCAN_ERROR_BYTES,
			   "a trace needs targets=FILE, "
			   "made by mpcensus targets build");
		return false;
	}
	most = TARGET_FILE_MAX_COUNT / ttl_count(scan->ttls);
	if (scan->targets.count > most) {
		error_line(error, SCAN_ERROR_BYTES,
			   "%s lists %" PRIu32 " addresses, a trace with %" PRIu32
			   " TTLs takes %" PRIu32 ": split the file",
			   scan->args.targets, scan->targets.count, ttl_count(scan->ttls),
			   most);
		return false;
	}
	return true;
}

enum scan_status scan_open(struct scan *scan, enum scan_method method,
			   const char *probe_args, uint16_t target_port,
			   char error[SCAN_ERROR_BYTES])
{
	char problem[PROBE_ARGS_ERROR_BYTES];
	uint32_t ts_value;

	scan->method = method;
	switch (probe_args_parse(probe_args, &scan->args, problem)) {
	case PROBE_ARGS_OK:
		break;
	case PROBE_ARGS_HELP_ASKED:
		return SCAN_HELP_ASKED;
	case PROBE_ARGS_BAD:
		error_line(error, SCAN_ERROR_BYTES, "--probe-args: %s", problem);
		return SCAN_BAD;
	}
	if (!open_targets(scan, error) || !settle_ttls(scan, error))
		return SCAN_BAD;
	if (!draw_secrets(scan, &ts_value)) {
		error_line(error, SCAN_ERROR_BYTES, "the kernel gave no random bytes");
		return SCAN_BAD;
	}
	if (!settle_flow(scan, error))
		return SCAN_BAD;
	scan->port = target_port;
	scan->syn = syn_template(&(struct syn_shape){
	    .family = scan->family,
	    .kind = scan->args.probe,
	    .options = scan->args.options,
	    .canary = scan->args.canary,
	    .target_port = target_port,
	    /* Linux offsets its clock at random too; a probe needs no clock behind it. */
	    .ts_value = ts_value,
	    .source = scan->args.source,
	});
	return SCAN_OK;
}

static bool given_indices(char *const *cidrs, int cidr_count, uint32_t indices)
{
	FILE *command_line = fopen("/proc/self/cmdline", "r");
	bool matches = command_line != NULL &&
		       index_set_matches(cidrs, cidr_count, command_line, indices);

	if (command_line != NULL)
		fclose(command_line);
	return matches;
}

bool scan_check_index_set(const struct scan *scan, char *const *cidrs, int cidr_count,
			  const char *whitelist, uint64_t allowed,
			  char error[SCAN_ERROR_BYTES])
{
	uint32_t count = scan_probe_count(scan);

	if (!is_indexed(scan))
		return true;
	if (whitelist != NULL) {
		error_line(error, SCAN_ERROR_BYTES,
			   "%s says what to probe, and so does ZMap's -w: give one of "
			   "them",
			   scan->args.targets);
		return false;
	}
	if (!given_indices(cidrs, cidr_count, count)) {
		error_line(error, SCAN_ERROR_BYTES,
			   "ZMap's targets are not the %" PRIu32
			   " indices of %s%s: " HOW_TO_GIVE_INDICES,
			   count, scan->args.targets,
			   scan_is_trace(scan) ? " and these TTLs" : "");
		return false;
	}
	if (allowed != count) {
		error_line(error, SCAN_ERROR_BYTES,
			   "ZMap's blocklist leaves %" PRIu64 " of the %" PRIu32
			   " indices of %s: give -b /dev/null, and the blocklist to "
			   "mpcensus targets build",
			   allowed, count, scan->args.targets);
		return false;
	}
	return true;
}

/* tcp[] is of no use in IPv6 filters (pcap-filter(7)): offsets from the IPv6 header. */
void scan_pcap_filter(const struct scan *scan, char *text, size_t size)
{
	if (scan->family == IP_FAMILY_6)
		snprintf(
		    text, size,
		    "ip6 and ((ip6[6] = %d and ip6[40:2] = %u and ip6[42:2] >= %u and "
		    "(ip6[53] & 0x12 = 0x12 or ip6[53] & 0x04 != 0)) or "
		    "(ip6[6] = %d and ip6[40] >= %d and ip6[40] <= %d))",
		    IP_PROTOCOL_TCP, scan->port, SOURCE_PORT_FIRST, IP_PROTOCOL_ICMPV6,
		    ICMPV6_DESTINATION_UNREACHABLE, ICMPV6_PARAMETER_PROBLEM);
	else
		snprintf(text, size,
			 "ip and ((tcp src port %u and tcp dst portrange %u-%u and "
			 "(tcp[13] & 0x12 = 0x12 or tcp[13] & 0x04 != 0)) or "
			 "icmp[0] = %d or icmp[0] = %d or icmp[0] = %d)",
			 scan->port, SOURCE_PORT_FIRST, SOURCE_PORT_LAST,
			 ICMP_DESTINATION_UNREACHABLE, ICMP_TIME_EXCEEDED,
			 ICMP_PARAMETER_PROBLEM);
}

uint16_t scan_ethertype(const struct scan *scan)
{
	return scan->family == IP_FAMILY_6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
}

uint32_t scan_probe_count(const struct scan *scan)
{
	return scan->targets.count * ttl_count(scan->ttls);
}

struct target scan_target_at(const struct scan *scan, uint32_t index)
{
	return (struct target){
	    .address = target_file_address(&scan->targets, index / ttl_count(scan->ttls)),
	    .port = scan->port,
	    .index = index,
	};
}

size_t scan_make_syn(const struct scan *scan, uint8_t *packet, uint32_t source,
		     uint32_t destination)
{
	struct target target = {.address = ip_address_4(destination), .port = scan->port};

	if (is_indexed(scan)) {
		uint32_t index = destination - INDEX_BASE;

		if (index >= scan_probe_count(scan))
			return 0;
		target = scan_target_at(scan, index);
	}
	return scan_make_probe(scan, packet, source, &target);
}

size_t scan_make_probe(const struct scan *scan, uint8_t *packet, uint32_t source,
		       const struct target *target)
{
	struct syn_values values = {
	    .ttl = scan_probe_ttl(scan, target),
	    .mark = scan_probe_mark(scan, target),
	    .source = source,
	    .state = scan_probe_state(scan, target),
	    .key = scan_sent_key(scan, target),
	};

	if (scan_sends_canary(scan))
		values.canary = scan_sent_canary(scan, target);
	syn_make(&scan->syn, packet, target, &values);
	return scan->syn.length;
}

void scan_prefetch(const struct scan *scan, uint32_t destination)
{
	uint32_t index = destination - INDEX_BASE;

	if (index < scan_probe_count(scan))
		target_file_prefetch(&scan->targets, index / ttl_count(scan->ttls));
}

uint8_t scan_probe_ttl(const struct scan *scan, const struct target *target)
{
	return (uint8_t)(scan->ttls.first + target->index % ttl_count(scan->ttls));
}

/*
 * Traces of one flow differ in their kind of probe. A late quote of another trace's must
 * not pass for a probe of this one whose sequence number and options were rewritten.
 */
static uint16_t first_mark(const struct scan *scan)
{
	static const uint8_t numbers[] = {
	    [PROBE_V1] = 0,
	    [PROBE_V0] = 1,
	    [PROBE_PLAIN] = 2,
	};
	unsigned kind = numbers[scan->args.probe] + (scan->args.canary ? 3u : 0u);

	return (uint16_t)(scan_is_trace(scan) ? kind * SYN_LINUX_TTL : 0);
}

uint16_t scan_probe_mark(const struct scan *scan, const struct target *target)
{
	return (uint16_t)(first_mark(scan) + scan_probe_ttl(scan, target));
}

struct probe_state scan_probe_state(const struct scan *scan, const struct target *target)
{
	if (is_indexed(scan))
		return probe_state_indexed(&scan->flow, &scan->order, target,
					   scan_probe_mark(scan, target));
	return probe_state_direct(&scan->secret, target);
}

uint64_t scan_sent_key(const struct scan *scan, const struct target *target)
{
	if (scan->args.probe != PROBE_V0)
		return 0;
	return sender_key(&scan->args.key, &scan->secret, target);
}

bool scan_sends_canary(const struct scan *scan)
{
	return scan->args.canary;
}

uint32_t scan_sent_canary(const struct scan *scan, const struct target *target)
{
	return (uint32_t)target_hash(&scan->secret, 'N', 0, target);
}

const char *scan_probe_name(const struct scan *scan)
{
	switch (scan->args.probe) {
	case PROBE_V0:
		return "v0";
	case PROBE_V1:
		return "v1";
	case PROBE_PLAIN:
		break;
	}
	return scan->args.canary ? "canary" : "plain";
}

enum scan_recognition scan_recognise(const struct scan *scan, struct ip_address address,
				     uint16_t port, uint16_t our_port, uint32_t seq,
				     struct target *target)
{
	struct target named = {.address = address, .port = port};
	struct probe_state sent;

	if (port != scan->port)
		return SCAN_WRONG_PORT;
	if (is_indexed(scan)) {
		uint32_t index = permutation_invert(&scan->order, seq);

		if (index >= scan_probe_count(scan))
			return SCAN_WRONG_SEQ;
		named = scan_target_at(scan, index);
	}
	if (!ip_address_equal(named.address, address) || address.family != scan->family)
		return SCAN_WRONG_ADDRESS;
	sent = scan_probe_state(scan, &named);
	if (our_port != sent.source_port)
		return SCAN_WRONG_PORT;
	if (seq != sent.seq)
		return SCAN_WRONG_SEQ;
	*target = named;
	return SCAN_OURS;
}

uint32_t scan_duplicate_key(const struct scan *scan, const struct target *target)
{
	if (is_indexed(scan))
		return INDEX_BASE + target->index;
	return (uint32_t)target->address.low;
}
