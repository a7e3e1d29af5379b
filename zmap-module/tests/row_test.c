#include "../zmap211/row.h"

#include "check.h"
#include "sample.h"

/* ZMap's IP fields, which are there before the module is asked for its own. */
#define IP_FIELD_COUNT 6

static struct fieldset with_ip_fields(void)
{
	struct fieldset fs = {.len = 0};

	fs_add_string(&fs, "saddr", "of the packet", 0);
	fs_add_uint64(&fs, "saddr-raw", 0);
	fs_add_string(&fs, "daddr", "of the packet", 0);
	fs_add_uint64(&fs, "daddr-raw", 0);
	fs_add_uint64(&fs, "ipid", 4711);
	fs_add_uint64(&fs, "ttl", 57);
	return fs;
}

/* ZMap translates by place: the row must have every field where its definition is. */
static void check_order_and_types(const struct fieldset *fs)
{
	CHECK_EQ("fields", fs->len, IP_FIELD_COUNT + ROW_FIELD_COUNT);
	for (int i = 0; i < ROW_FIELD_COUNT; i++) {
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
static void check_row(const struct fieldset *fs, const char *expected)
{
	char text[1024];
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < fs->len; i++) {
		const struct field *field = &fs->fields[i];
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

static void test_synack(void)
{
	/* MP_CAPABLE v0, flags 81, key. */
	static const uint8_t options[] = {0x1e, 0x0c, 0x00, 0x81, 0xfe, 0xdc,
					  0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
	struct reply reply = {
	    .kind = REPLY_SYNACK,
	    .target = sample_target(),
	    .our_address = SAMPLE_OUR_ADDRESS,
	    .our_port = 40000,
	    .seq = 4294967295,
	    .ack = 2147483648,
	    .window = 65535,
	    .tcp_flags = 18,
	    .options = options,
	    .options_length = sizeof options,
	    .mptcp = tcp_options_find_mptcp(options, sizeof options),
	};
	struct fieldset fs = with_ip_fields();

	row_add(&fs, &reply, PROBE_V0, 0x00ff);
	check_order_and_types(&fs);
	check_row(
	    &fs,
	    "saddr=of the packet saddr-raw=0 daddr=of the packet daddr-raw=0 ipid=4711 "
	    "ttl=57 sport=443 dport=40000 seqnum=4294967295 acknum=2147483648 "
	    "window=65535 tcp_flags=18 probe=v0 tcp_options=1e0c0081fedcba9876543210 "
	    "mptcp=capable mptcp_version=0 mptcp_flags=129 mptcp_length=12 "
	    "mptcp_key=fedcba9876543210 sent_key=00000000000000ff "
	    "classification=synack success=1");
}

static void test_rst(void)
{
	struct reply reply = {
	    .kind = REPLY_RST, .target = sample_target(), .our_port = 40000};
	struct fieldset fs = with_ip_fields();

	reply.tcp_flags = 20;
	row_add(&fs, &reply, PROBE_PLAIN, 0);
	check_order_and_types(&fs);
	check_row(
	    &fs,
	    "saddr=of the packet saddr-raw=0 daddr=of the packet daddr-raw=0 ipid=4711 "
	    "ttl=57 sport=443 dport=40000 seqnum=0 acknum=0 window=0 tcp_flags=20 "
	    "probe=plain tcp_options= mptcp=none classification=rst success=0");
}

static void test_icmp(void)
{
	static const uint8_t quote[] = {0x45, 0x00, 0x00, 0x2c};
	struct reply reply = {
	    .kind = REPLY_ICMP,
	    .target = sample_target(),
	    .our_address = SAMPLE_OUR_ADDRESS,
	    .our_port = 40000,
	    .icmp_type = 3,
	    .icmp_code = 13,
	    .responder = SAMPLE_ROUTER_ADDRESS,
	    .quote = quote,
	    .quote_length = sizeof quote,
	};
	struct fieldset fs = with_ip_fields();

	row_add(&fs, &reply, PROBE_V1, 0);
	check_order_and_types(&fs);
	/* The raw addresses are the bytes c6 33 64 07 and c0 00 02 01 as they lie in memory. */
	check_row(
	    &fs,
	    "saddr=198.51.100.7 saddr-raw=124007366 daddr=192.0.2.1 daddr-raw=16908480 "
	    "ipid=4711 ttl=57 sport=443 dport=40000 probe=v1 classification=icmp "
	    "success=0 icmp_type=3 icmp_code=13 responder=203.0.113.1 quote=4500002c");
}

static void test_longest_quote(void)
{
	static uint8_t quote[CAPTURE_BYTES + 1];
	struct reply reply = {
	    .kind = REPLY_ICMP, .quote = quote, .quote_length = sizeof quote};
	struct fieldset fs = with_ip_fields();

	row_add(&fs, &reply, PROBE_V1, 0);
	CHECK_EQ("quote", strlen(fs.fields[fs.len - 1].value.ptr), 2 * CAPTURE_BYTES);
}

int main(void)
{
	test_synack();
	test_rst();
	test_icmp();
	test_longest_quote();
	return check_report("row_test");
}
