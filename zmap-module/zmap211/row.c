#include "row.h"

#include <arpa/inet.h>
#include <inttypes.h>

#include "../wire/hex.h"
#include "../wire/store.h"

struct field_def row_fields[ROW_FIELD_COUNT] = {
    {"sport", "int", "target's TCP port"},
    {"dport", "int", "our TCP port"},
    {"seqnum", "string", "TCP sequence number, unsigned decimal (TCP replies)"},
    {"acknum", "string", "TCP acknowledgement number, unsigned decimal (TCP replies)"},
    {"window", "int", "TCP window, unscaled (TCP replies)"},
    {"tcp_flags", "int", "TCP flags byte (TCP replies)"},
    {"probe", "string", "what was sent: v0, v1 or plain"},
    {"tcp_options", "string", "all TCP option bytes, hex (TCP replies)"},
    {"mptcp", "string", "none, capable, malformed or other (TCP replies)"},
    {"mptcp_version", "int", "version of the MP_CAPABLE"},
    {"mptcp_flags", "int", "flags byte of the MP_CAPABLE"},
    {"mptcp_length", "int", "length byte of the MP_CAPABLE"},
    {"mptcp_key", "string", "peer's key, 16 hex digits"},
    {"sent_key", "string", "key sent to this target, 16 hex digits (probe v0)"},
    {"classification", "string", "synack, rst or icmp"},
    {"success", "int", "1 for a SYN-ACK, else 0"},
    {"icmp_type", "int", "ICMP type (ICMP replies)"},
    {"icmp_code", "int", "ICMP code (ICMP replies)"},
    {"responder", "string", "source of the ICMP message (ICMP replies)"},
    {"quote", "string", "quoted packet, hex, all bytes (ICMP replies)"},
};

static struct {
	char saddr[INET_ADDRSTRLEN], daddr[INET_ADDRSTRLEN], responder[INET_ADDRSTRLEN];
	char seqnum[sizeof "4294967295"], acknum[sizeof "4294967295"];
	char mptcp_key[17], sent_key[17];
	char tcp_options[2 * TCP_OPTIONS_MAX_BYTES + 1];
	char quote[2 * CAPTURE_BYTES + 1];
} text;

/*
 * ZMap 2.1.1 evaluates an --output-filter such as `mptcp = capable` with strcmp on
 * whatever the field holds, so a NULL pointer there would let one RST end the scan.
 * Outputs go by the type alone: the empty string behind it is never printed.
 */
static void add_null_string(struct fieldset *fs, const char *name)
{
	fs_add_string(fs, name, "", 0);
	fs->fields[fs->len - 1].type = FS_NULL;
}

static void add_int_if(struct fieldset *fs, const char *name, bool present,
		       uint64_t value)
{
	if (present)
		fs_add_uint64(fs, name, value);
	else
		fs_add_null(fs, name);
}

static void add_u32_string(struct fieldset *fs, const char *name, uint32_t value,
			   char *digits, size_t size)
{
	snprintf(digits, size, "%" PRIu32, value);
	fs_add_string(fs, name, digits, 0);
}

static void add_key_if(struct fieldset *fs, const char *name, bool present, uint64_t key,
		       char *digits)
{
	uint8_t bytes[sizeof key];

	if (!present) {
		add_null_string(fs, name);
		return;
	}
	store_u64(bytes, key);
	hex_encode(bytes, sizeof bytes, digits);
	fs_add_string(fs, name, digits, 0);
}

static void format_address(uint32_t address, char digits[INET_ADDRSTRLEN])
{
	struct in_addr network = {.s_addr = htonl(address)};

	inet_ntop(AF_INET, &network, digits, INET_ADDRSTRLEN);
}

static const char *probe_name(enum probe_kind probe)
{
	static const char *const names[] = {
	    [PROBE_V0] = "v0",
	    [PROBE_V1] = "v1",
	    [PROBE_PLAIN] = "plain",
	};

	return names[probe];
}

static const char *mptcp_name(enum mptcp_presence presence)
{
	static const char *const names[] = {
	    [MPTCP_NONE] = "none",
	    [MPTCP_CAPABLE] = "capable",
	    [MPTCP_MALFORMED] = "malformed",
	    [MPTCP_OTHER] = "other",
	};

	return names[presence];
}

static const char *classification(enum reply_kind kind)
{
	static const char *const names[] = {
	    [REPLY_SYNACK] = "synack",
	    [REPLY_RST] = "rst",
	    [REPLY_ICMP] = "icmp",
	};

	return names[kind];
}

static void add_tcp_header(struct fieldset *fs, const struct reply *reply)
{
	if (reply->kind == REPLY_ICMP) {
		add_null_string(fs, "seqnum");
		add_null_string(fs, "acknum");
	} else {
		add_u32_string(fs, "seqnum", reply->seq, text.seqnum, sizeof text.seqnum);
		add_u32_string(fs, "acknum", reply->ack, text.acknum, sizeof text.acknum);
	}
	add_int_if(fs, "window", reply->kind != REPLY_ICMP, reply->window);
	add_int_if(fs, "tcp_flags", reply->kind != REPLY_ICMP, reply->tcp_flags);
}

static void add_tcp_options(struct fieldset *fs, const struct reply *reply)
{
	const struct mptcp_facts *mptcp = &reply->mptcp;

	if (reply->kind == REPLY_ICMP) {
		add_null_string(fs, "tcp_options");
		add_null_string(fs, "mptcp");
	} else {
		hex_encode(reply->options, reply->options_length, text.tcp_options);
		fs_add_string(fs, "tcp_options", text.tcp_options, 0);
		fs_add_string(fs, "mptcp", mptcp_name(mptcp->presence), 0);
	}
	add_int_if(fs, "mptcp_version", mptcp->has_version, mptcp->version);
	add_int_if(fs, "mptcp_flags", mptcp->has_flags, mptcp->flags);
	add_int_if(fs, "mptcp_length", mptcp->has_length, mptcp->length);
	add_key_if(fs, "mptcp_key", mptcp->has_key, mptcp->key, text.mptcp_key);
}

static void add_icmp(struct fieldset *fs, const struct reply *reply)
{
	size_t quoted = reply->quote_length;

	add_int_if(fs, "icmp_type", reply->kind == REPLY_ICMP, reply->icmp_type);
	add_int_if(fs, "icmp_code", reply->kind == REPLY_ICMP, reply->icmp_code);
	if (reply->kind != REPLY_ICMP) {
		add_null_string(fs, "responder");
		add_null_string(fs, "quote");
		return;
	}
	format_address(reply->responder, text.responder);
	fs_add_string(fs, "responder", text.responder, 0);
	/* No capture is longer; the bound is for a libpcap that ignores its snaplen. */
	hex_encode(reply->quote, quoted < CAPTURE_BYTES ? quoted : CAPTURE_BYTES,
		   text.quote);
	fs_add_string(fs, "quote", text.quote, 0);
}

/* ZMap took these from the ICMP message; the row is about the target that it quotes. */
static void name_target(struct fieldset *fs, const struct reply *reply)
{
	format_address(reply->target.address, text.saddr);
	format_address(reply->our_address, text.daddr);
	fs_modify_string(fs, "saddr", text.saddr, 0);
	fs_modify_uint64(fs, "saddr-raw", htonl(reply->target.address));
	fs_modify_string(fs, "daddr", text.daddr, 0);
	fs_modify_uint64(fs, "daddr-raw", htonl(reply->our_address));
}

void row_add(struct fieldset *fs, const struct reply *reply, enum probe_kind probe,
	     uint64_t sent_key)
{
	if (reply->kind == REPLY_ICMP)
		name_target(fs, reply);
	fs_add_uint64(fs, "sport", reply->target.port);
	fs_add_uint64(fs, "dport", reply->our_port);
	add_tcp_header(fs, reply);
	fs_add_string(fs, "probe", probe_name(probe), 0);
	add_tcp_options(fs, reply);
	add_key_if(fs, "sent_key", probe == PROBE_V0, sent_key, text.sent_key);
	fs_add_string(fs, "classification", classification(reply->kind), 0);
	fs_add_uint64(fs, "success", reply->kind == REPLY_SYNACK);
	add_icmp(fs, reply);
}
