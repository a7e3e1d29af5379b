#include "../row/row.h"

#include "../wire/hex.h"
#include "check.h"
#include "sample.h"

/* ZMap's IP fields, which are there before the module is asked for its own. */
#define IP_FIELD_COUNT 6

/* What ZMap makes of any packet: IPv4 header fields, whatever lies there. */
static struct fieldset with_ip_fields(void)
{
	struct fieldset fs = {.len = 0};

	fs_add_string(&fs, "saddr", "32.1.13.184", 0);
	fs_add_uint64(&fs, FIELD_SADDR_RAW, 11111);
	fs_add_string(&fs, "daddr", "0.0.0.0", 0);
	fs_add_uint64(&fs, FIELD_DADDR_RAW, 22222);
	fs_add_uint64(&fs, "ipid", 4711);
	fs_add_uint64(&fs, "ttl", 99);
	return fs;
}

/* ZMap translates by place: every row must have every field where its definition is. */
static void check_order_and_types(const struct fieldset *fs)
{
	static const char *const ip_fields[IP_FIELD_COUNT] = {
	    "saddr", FIELD_SADDR_RAW, "daddr", FIELD_DADDR_RAW, "ipid", "ttl",
	};

	int own = fs->len - IP_FIELD_COUNT;

	CHECK(own == ROW_FIELD_COUNT || own == TRACE_ROW_FIELD_COUNT);
	for (int i = 0; i < IP_FIELD_COUNT; i++)
		CHECK_TEXT(fs->fields[i].name, ip_fields[i]);
	for (int i = 0; i < own; i++) {
		const struct field *field = &fs->fields[IP_FIELD_COUNT + i];
		bool is_string = strcmp(row_fields[i].type, "string") == 0;

		CHECK_TEXT(field->name, row_fields[i].name);
		CHECK(field->free_ == 0);
		if (field->type != FS_NULL)
			CHECK_EQ(field->name, field->type,
				 is_string ? FS_STRING : FS_UINT64);
		/* --output-filter runs strcmp on it, NULL or not. */
		if (is_string)
			CHECK(field->value.ptr != NULL);
	}
}

/* "name=value name=value": every field that is not NULL, in order. */
static void check_row(const struct scan *scan, const struct reply *reply,
		      const char *expected)
{
	struct fieldset fs = with_ip_fields();
	char text[1024];
	size_t used = 0;

	row_add(&fs, scan, reply);
	check_order_and_types(&fs);
	text[0] = '\0';
	for (int i = 0; i < fs.len; i++) {
		const struct field *field = &fs.fields[i];
		const char *space = used > 0 ? " " : "";

		if (field->type == FS_STRING)
			used += (size_t)snprintf(text + used, sizeof text - used,
						 "%s%s=%s", space, field->name,
						 (const char *)field->value.ptr);
		else if (field->type == FS_UINT64)
			used += (size_t)snprintf(text + used, sizeof text - used,
						 "%s%s=%" PRIu64, space, field->name,
						 field->value.num);
	}
	CHECK_TEXT(text, expected);
}

static struct reply sample_reply(const struct scan *scan, enum reply_kind kind)
{
	return (struct reply){
	    .kind = kind,
	    .target = sample_target_of(scan),
	    .our_address = sample_our_address(scan),
	    .our_port = 40000,
	    .ttl = SAMPLE_TTL,
	};
}

/* The raw addresses are the bytes c6 33 64 07 and c0 00 02 01 as they lie in memory. */
#define IPV4_FIELDS                                                                      \
	"saddr=198.51.100.7 saddr-raw=124007366 daddr=192.0.2.1 daddr-raw=16908480 "     \
	"ipid=4711 ttl=57 sport=443 dport=40000 "

/* IPv6 has no identification, and no address in 32 bits. */
#define IPV6_FIELDS                                                                      \
	"saddr=2001:db8:1:2:3:4:5:7 daddr=2001:db8::1 ttl=57 sport=443 dport=40000 "

static void test_synack(void)
{
	/* MP_CAPABLE v0, flags 81, key. */
	static const uint8_t options[] = {0x1e, 0x0c, 0x00, 0x81, 0xfe, 0xdc,
					  0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
	struct scan scan = sample_direct_scan();
	struct reply reply = sample_reply(&scan, REPLY_SYNACK);

	scan.args.probe = PROBE_V0;
	scan.args.key = (struct key_source){.method = KEY_STATIC, .fixed = 0xff};
	reply.seq = 4294967295;
	reply.ack = 2147483648;
	reply.window = 65535;
	reply.tcp_flags = 18;
	reply.options = options;
	reply.options_length = sizeof options;
	reply.mptcp = tcp_options_find_mptcp(options, sizeof options);
	check_row(&scan, &reply,
		  IPV4_FIELDS "seqnum=4294967295 acknum=2147483648 "
			      "window=65535 tcp_flags=18 probe=v0 "
			      "tcp_options=1e0c0081fedcba9876543210 "
			      "mptcp=capable mptcp_version=0 mptcp_flags=129 "
			      "mptcp_length=12 mptcp_key=fedcba9876543210 "
			      "sent_key=00000000000000ff "
			      "classification=synack success=1");
}

static void test_rst(void)
{
	struct scan scan = sample_direct_scan();
	struct reply reply = sample_reply(&scan, REPLY_RST);

	scan.args.probe = PROBE_PLAIN;
	reply.tcp_flags = 20;
	check_row(&scan, &reply,
		  IPV4_FIELDS "seqnum=0 acknum=0 window=0 tcp_flags=20 probe=plain "
			      "tcp_options= mptcp=none classification=rst success=0");
}

static void test_icmp(void)
{
	static const uint8_t quote[] = {0x45, 0x00, 0x00, 0x2c};
	struct scan scan = sample_direct_scan();
	struct reply reply = sample_reply(&scan, REPLY_ICMP);

	reply.icmp_type = 3;
	reply.icmp_code = 13;
	reply.responder = sample_router_address(&scan);
	reply.quote = quote;
	reply.quote_length = sizeof quote;
	check_row(&scan, &reply,
		  IPV4_FIELDS "probe=v1 classification=icmp success=0 icmp_type=3 "
			      "icmp_code=13 responder=203.0.113.1 quote=4500002c");
}

static void test_ipv6(void)
{
	static const uint8_t quote[] = {0x60, 0x00};
	struct scan scan = sample_indexed_scan(IP_FAMILY_6);
	struct reply synack = sample_reply(&scan, REPLY_SYNACK);
	struct reply rst = sample_reply(&scan, REPLY_RST);
	struct reply icmp = sample_reply(&scan, REPLY_ICMP);

	check_row(&scan, &synack,
		  IPV6_FIELDS
		  "seqnum=0 acknum=0 window=0 tcp_flags=0 probe=v1 tcp_options= "
		  "mptcp=none classification=synack success=1");
	check_row(&scan, &rst,
		  IPV6_FIELDS
		  "seqnum=0 acknum=0 window=0 tcp_flags=0 probe=v1 tcp_options= "
		  "mptcp=none classification=rst success=0");
	icmp.icmp_type = 1;
	icmp.icmp_code = 4;
	icmp.responder = sample_router_address(&scan);
	icmp.quote = quote;
	icmp.quote_length = sizeof quote;
	check_row(&scan, &icmp,
		  IPV6_FIELDS "probe=v1 classification=icmp success=0 icmp_type=1 "
			      "icmp_code=4 responder=2001:db8:ffff::1 quote=6000");
}

static const char *value_of(const struct fieldset *fs, const char *name)
{
	for (int i = 0; i < fs->len; i++) {
		if (strcmp(fs->fields[i].name, name) == 0)
			return fs->fields[i].type == FS_NULL ? "NULL"
							     : fs->fields[i].value.ptr;
	}
	return "missing";
}

/* Every answer is a success, and has the probe as scan_test.c knows it. */
static void test_trace(enum ip_family family)
{
	static const uint8_t quote[] = {0x45, 0x00, 0x00, 0x2c};
	static const char *const classes[] = {
	    [REPLY_SYNACK] = "synack", [REPLY_RST] = "rst", [REPLY_ICMP] = "icmp"};
	struct scan scan = sample_trace(family);

	scan.syn = syn_template(&(struct syn_shape){
	    .family = family, .kind = PROBE_V1, .source = sample_our_address(&scan)});
	for (int kind = REPLY_SYNACK; kind <= REPLY_ICMP; kind++) {
		struct reply reply = sample_reply(&scan, (enum reply_kind)kind);
		struct fieldset fs = with_ip_fields();
		const struct field *last;
		uint8_t packet[SYN_MAX_BYTES];
		char sent[2 * SYN_MAX_BYTES + 1];

		reply.responder = sample_router_address(&scan);
		reply.quote = quote;
		reply.quote_length = kind == REPLY_ICMP ? sizeof quote : 0;
		row_add(&fs, &scan, &reply);
		check_order_and_types(&fs);
		CHECK_EQ("fields", fs.len, IP_FIELD_COUNT + TRACE_ROW_FIELD_COUNT);
		CHECK_TEXT(value_of(&fs, "classification"), classes[kind]);
		last = &fs.fields[fs.len - 1];
		CHECK_TEXT(last[-1].name, "probe_ttl");
		CHECK_EQ("probe_ttl", last[-1].value.num, 6);
		scan_make_syn(&scan, packet, SAMPLE_OUR_ADDRESS,
			      0x01000000 + reply.target.index);
		hex_encode(packet, scan.syn.length, sent);
		CHECK_TEXT(value_of(&fs, "sent"), sent);
		for (int i = 0; i < fs.len; i++) {
			if (strcmp(fs.fields[i].name, "success") == 0)
				CHECK_EQ("success", fs.fields[i].value.num, 1);
		}
	}
}

/* The examples of RFC 5952, section 4. */
static void test_ipv6_text(void)
{
	static const struct {
		uint64_t high, low;
		const char *text;
	} cases[] = {
	    {0x20010db800000000, 0x0000000000000001, "2001:db8::1"},
	    {0x20010db800000000, 0x0000000000020001, "2001:db8::2:1"},
	    {0x20010db800000001, 0x0001000100010001, "2001:db8:0:1:1:1:1:1"},
	    {0x2001000000000001, 0x0000000000000001, "2001:0:0:1::1"},
	    {0x20010db800000000, 0x0001000000000001, "2001:db8::1:0:0:1"},
	    {0x20010db8aaaabbbb, 0xccccddddeeee0001,
	     "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"},
	    {0, 0, "::"},
	    {UINT64_MAX, UINT64_MAX, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};
	struct scan scan = sample_indexed_scan(IP_FAMILY_6);

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct reply reply = sample_reply(&scan, REPLY_RST);
		struct fieldset fs = with_ip_fields();

		reply.target.address.high = cases[i].high;
		reply.target.address.low = cases[i].low;
		row_add(&fs, &scan, &reply);
		CHECK_TEXT(fs.fields[0].value.ptr, cases[i].text);
	}
}

static void test_canary(void)
{
	static const struct {
		enum reply_kind kind;
		enum canary_presence presence;
		const char *expected;
	} cases[] = {
	    {REPLY_SYNACK, CANARY_NONE, "none"},
	    {REPLY_SYNACK, CANARY_MIRRORED, "mirrored"},
	    {REPLY_RST, CANARY_ALTERED, "altered"},
	    {REPLY_ICMP, CANARY_NONE, "NULL"},
	};
	struct scan scan = sample_direct_scan();
	char nonce[9];

	scan.args.probe = PROBE_PLAIN;
	scan.args.canary = true;
	snprintf(
	    nonce, sizeof nonce, "%08" PRIx32,
	    scan_sent_canary(
		&scan, &(struct target){ip_address_4(SAMPLE_TARGET_ADDRESS), 443, 0}));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct reply reply = sample_reply(&scan, cases[i].kind);
		struct fieldset fs = with_ip_fields();

		reply.canary = cases[i].presence;
		row_add(&fs, &scan, &reply);
		check_order_and_types(&fs);
		CHECK_TEXT(value_of(&fs, "probe"), "canary");
		CHECK_TEXT(value_of(&fs, "canary"), cases[i].expected);
		CHECK_TEXT(value_of(&fs, "sent_canary"), nonce);
	}
}

static void test_longest_quote(void)
{
	static uint8_t quote[CAPTURE_BYTES + 1];
	struct scan scan = sample_direct_scan();
	struct reply reply = sample_reply(&scan, REPLY_ICMP);
	struct fieldset fs = with_ip_fields();

	reply.responder = sample_router_address(&scan);
	reply.quote = quote;
	reply.quote_length = sizeof quote;
	row_add(&fs, &scan, &reply);
	CHECK_EQ("quote", strlen(value_of(&fs, "quote")), 2 * CAPTURE_BYTES);
}

int main(void)
{
	test_synack();
	test_rst();
	test_icmp();
	test_ipv6();
	test_ipv6_text();
	test_trace(IP_FAMILY_4);
	test_trace(IP_FAMILY_6);
	test_canary();
	test_longest_quote();
	return check_report("row_test");
}
