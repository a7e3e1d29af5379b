#include "row.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

#include "../wire/hex.h"
#include "../wire/store.h"

struct field_def row_fields[TRACE_ROW_FIELD_COUNT] = {
    {"sport", "int", "target's TCP port"},
    {"dport", "int", "our TCP port"},
    {"seqnum", "string", "TCP sequence number, unsigned decimal (TCP replies)"},
    {"acknum", "string", "TCP acknowledgement number, unsigned decimal (TCP replies)"},
    {"window", "int", "TCP window, unscaled (TCP replies)"},
    {"tcp_flags", "int", "TCP flags byte (TCP replies)"},
    {"probe", "string", "what was sent: v0, v1, plain or canary"},
    {"tcp_options", "string", "all TCP option bytes, hex (TCP replies)"},
    {"mptcp", "string", "none, capable, malformed or other (TCP replies)"},
    {"mptcp_version", "int", "version of the MP_CAPABLE"},
    {"mptcp_flags", "int", "flags byte of the MP_CAPABLE"},
    {"mptcp_length", "int", "length byte of the MP_CAPABLE"},
    {"mptcp_key", "string", "peer's key, 16 hex digits"},
    {"sent_key", "string", "key sent to this target, 16 hex digits (probe v0)"},
    {"canary", "string", "none, mirrored or altered (TCP replies, if one was sent)"},
    {"sent_canary", "string", "nonce of the canary sent to this target, 8 hex digits"},
    {"classification", "string", "synack, rst or icmp"},
    {"success", FIELD_SUCCESS_TYPE, "1 for a SYN-ACK, and in a trace for every answer"},
    {"icmp_type", "int", "ICMP type (ICMP replies)"},
    {"icmp_code", "int", "ICMP code (ICMP replies)"},
    {"responder", "string", "source of the ICMP message (ICMP replies)"},
    {"quote", "string", "quoted packet, hex, all bytes (ICMP replies)"},
    {"probe_ttl", "int", "TTL or hop limit of the probe as it was sent (traces)"},
    {"sent", "string", "the probe as it was sent, hex, from its IP header on (traces)"},
};

static struct {
	char saddr[INET6_ADDRSTRLEN], daddr[INET6_ADDRSTRLEN];
	char responder[INET6_ADDRSTRLEN];
	char seqnum[sizeof "4294967295"], acknum[sizeof "4294967295"];
	char mptcp_key[17], sent_key[17], sent_canary[9];
	char tcp_options[2 * TCP_OPTIONS_MAX_BYTES + 1];
	char quote[2 * CAPTURE_BYTES + 1];
	char sent[2 * SYN_MAX_BYTES + 1];
} text;

static void add_int_if(struct fieldset *fs, const char *name, bool present,
		       uint64_t value)
{
	if (present)
		field_add_int(fs, name, value);
	else
		field_add_null_int(fs, name);
}

static void add_u32_string(struct fieldset *fs, const char *name, uint32_t value,
			   char *digits, size_t size)
{
	snprintf(digits, size, "%" PRIu32, value);
	field_add_string(fs, name, digits);
}

static void add_key_if(struct fieldset *fs, const char *name, bool present, uint64_t key,
		       char *digits)
{
	uint8_t bytes[sizeof key];

	if (!present) {
		field_add_null_string(fs, name);
		return;
	}
	store_u64(bytes, key);
	hex_encode(bytes, sizeof bytes, digits);
	field_add_string(fs, name, digits);
}

/* IPv6 as RFC 5952 writes it. */
static void format_address(struct ip_address address, char digits[INET6_ADDRSTRLEN])
{
	uint8_t bytes[IPV6_ADDRESS_BYTES];

	if (address.family == IP_FAMILY_4) {
		store_address_4(bytes, address);
		inet_ntop(AF_INET, bytes, digits, INET6_ADDRSTRLEN);
	} else {
		store_address_6(bytes, address);
		inet_ntop(AF_INET6, bytes, digits, INET6_ADDRSTRLEN);
	}
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

static const char *canary_name(enum canary_presence presence)
{
	static const char *const names[] = {
	    [CANARY_NONE] = "none",
	    [CANARY_MIRRORED] = "mirrored",
	    [CANARY_ALTERED] = "altered",
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
		field_add_null_string(fs, "seqnum");
		field_add_null_string(fs, "acknum");
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
		field_add_null_string(fs, "tcp_options");
		field_add_null_string(fs, "mptcp");
	} else {
		hex_encode(reply->options, reply->options_length, text.tcp_options);
		field_add_string(fs, "tcp_options", text.tcp_options);
		field_add_string(fs, "mptcp", mptcp_name(mptcp->presence));
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
		field_add_null_string(fs, "responder");
		field_add_null_string(fs, "quote");
		return;
	}
	format_address(reply->responder, text.responder);
	field_add_string(fs, "responder", text.responder);
	/* No capture is longer; the bound is for a libpcap that ignores its snaplen. */
	hex_encode(reply->quote, quoted < CAPTURE_BYTES ? quoted : CAPTURE_BYTES,
		   text.quote);
	field_add_string(fs, "quote", text.quote);
}

static void add_sent_canary(struct fieldset *fs, const struct scan *scan,
			    const struct reply *reply)
{
	uint8_t nonce[sizeof(uint32_t)];

	if (!scan_sends_canary(scan)) {
		field_add_null_string(fs, "canary");
		field_add_null_string(fs, "sent_canary");
		return;
	}
	if (reply->kind == REPLY_ICMP)
		field_add_null_string(fs, "canary");
	else
		field_add_string(fs, "canary", canary_name(reply->canary));
	store_u32(nonce, scan_sent_canary(scan, &reply->target));
	hex_encode(nonce, sizeof nonce, text.sent_canary);
	field_add_string(fs, "sent_canary", text.sent_canary);
}

static void add_probe(struct fieldset *fs, const struct scan *scan,
		      const struct reply *reply)
{
	uint8_t packet[SYN_MAX_BYTES];
	size_t length = scan_make_probe(scan, packet, (uint32_t)reply->our_address.low,
					&reply->target);

	field_add_int(fs, "probe_ttl", scan_probe_ttl(scan, &reply->target));
	hex_encode(packet, length, text.sent);
	field_add_string(fs, "sent", text.sent);
}

/*
 * ZMap took these from the packet, which it reads as IPv4; and an ICMP message came from
 * a router, while the row is about the target that it quotes.
 */
static void correct_ip_fields(struct fieldset *fs, const struct reply *reply)
{
	format_address(reply->target.address, text.saddr);
	format_address(reply->our_address, text.daddr);
	field_set_string(fs, "saddr", text.saddr);
	field_set_string(fs, "daddr", text.daddr);
	field_set_int(fs, "ttl", reply->ttl);
	if (reply->target.address.family == IP_FAMILY_4) {
		field_set_int(fs, FIELD_SADDR_RAW,
			      htonl((uint32_t)reply->target.address.low));
		field_set_int(fs, FIELD_DADDR_RAW,
			      htonl((uint32_t)reply->our_address.low));
	} else {
		field_set_null_int(fs, FIELD_SADDR_RAW);
		field_set_null_int(fs, FIELD_DADDR_RAW);
		field_set_null_int(fs, "ipid");
	}
}

void row_add(struct fieldset *fs, const struct scan *scan, const struct reply *reply)
{
	correct_ip_fields(fs, reply);
	field_add_int(fs, "sport", reply->target.port);
	field_add_int(fs, "dport", reply->our_port);
	add_tcp_header(fs, reply);
	field_add_string(fs, "probe", scan_probe_name(scan));
	add_tcp_options(fs, reply);
	add_key_if(fs, "sent_key", scan->args.probe == PROBE_V0,
		   scan_sent_key(scan, &reply->target), text.sent_key);
	add_sent_canary(fs, scan, reply);
	field_add_string(fs, "classification", classification(reply->kind));
	/* ZMap's duplicate detection knows only what was a success before. */
	field_add_success(fs, reply->kind == REPLY_SYNACK || scan_is_trace(scan));
	add_icmp(fs, reply);
	if (scan_is_trace(scan))
		add_probe(fs, scan, reply);
}
