#include "../wire/probe_args.h"

#include "check.h"

static void test_defaults(void)
{
	static const char *const texts[] = {NULL, ""};

	for (int i = 0; i < 2; i++) {
		struct probe_args args;
		char error[PROBE_ARGS_ERROR_BYTES];

		CHECK(probe_args_parse(texts[i], &args, error) == PROBE_ARGS_OK);
		CHECK(args.probe == PROBE_V1);
		CHECK(args.key.method == KEY_WEIGHT16);
		CHECK(args.options == OPTIONS_LINUX);
		CHECK(!args.canary);
		CHECK_TEXT(args.targets, "");
		CHECK(!args.has_source);
		CHECK_EQ("TTLs", args.ttls.last, 0);
	}
}

static void test_accepted(void)
{
	struct probe_args args;
	char error[PROBE_ARGS_ERROR_BYTES];

	CHECK(probe_args_parse("options=bare,probe=v0,key=static:00000000ffFF0000", &args,
			       error) == PROBE_ARGS_OK);
	CHECK(args.probe == PROBE_V0);
	CHECK(args.key.method == KEY_STATIC);
	CHECK_EQ("static key", args.key.fixed, 0x00000000ffff0000);
	CHECK(args.options == OPTIONS_BARE);

	CHECK(probe_args_parse("probe=plain,key=weight16,options=linux", &args, error) ==
	      PROBE_ARGS_OK);
	CHECK(args.probe == PROBE_PLAIN);
	CHECK(args.key.method == KEY_WEIGHT16);
	CHECK(args.options == OPTIONS_LINUX);

	CHECK(probe_args_parse("canary=on,targets=/a dir/x=y,source=2001:dB8::10", &args,
			       error) == PROBE_ARGS_OK);
	CHECK(args.canary);
	CHECK_TEXT(args.targets, "/a dir/x=y");
	CHECK(args.has_source);
	CHECK_EQ("source's family", args.source.family, IP_FAMILY_6);
	CHECK_EQ("source", args.source.high, 0x20010db800000000);
	CHECK_EQ("source", args.source.low, 0x10);
	CHECK(probe_args_parse("canary=off", &args, error) == PROBE_ARGS_OK);
	CHECK(!args.canary);

	CHECK(!args.has_flow);
	CHECK(probe_args_parse("flow=000102030405060708090a0B0c0d0e0f", &args, error) ==
	      PROBE_ARGS_OK);
	CHECK(args.has_flow);
	CHECK_EQ("flow, first half", args.flow.k0, 0x0706050403020100);
	CHECK_EQ("flow, second half", args.flow.k1, 0x0f0e0d0c0b0a0908);

	CHECK(probe_args_parse("help", &args, error) == PROBE_ARGS_HELP_ASKED);
}

static void test_ttls(void)
{
	static const struct {
		const char *text;
		uint8_t first, last;
	} ranges[] = {
	    {"ttl=1-24", 1, 24},
	    {"ttl=7-7", 7, 7},
	    {"ttl=1-64", 1, 64},
	    {"ttl=01-09", 1, 9},
	};

	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		struct probe_args args;
		char error[PROBE_ARGS_ERROR_BYTES];

		CHECK(probe_args_parse(ranges[i].text, &args, error) == PROBE_ARGS_OK);
		CHECK_EQ(ranges[i].text, args.ttls.first, ranges[i].first);
		CHECK_EQ(ranges[i].text, args.ttls.last, ranges[i].last);
	}
}

/* The longest path that fits. */
static void test_long_path(void)
{
	char text[PROBE_ARGS_MAX_BYTES + 2] = "targets=";
	struct probe_args args;
	char error[PROBE_ARGS_ERROR_BYTES] = "";

	memset(text + 8, 'p', PROBE_ARGS_MAX_BYTES - 8);
	CHECK(probe_args_parse(text, &args, error) == PROBE_ARGS_OK);
	CHECK_EQ("characters", strlen(args.targets), PROBE_ARGS_MAX_BYTES - 8);
	text[PROBE_ARGS_MAX_BYTES] = 'p';
	CHECK(probe_args_parse(text, &args, error) == PROBE_ARGS_BAD);
	CHECK_TEXT(error, "1025 characters are too many (allowed: 1024)");
}

#define NAMES                                                                            \
	"(allowed: probe, key, options, canary, targets, source, ttl, flow, or "         \
	"help alone)"
#define SOURCES "(allowed: an IPv6 address)"
#define TTLS "(allowed: FIRST-LAST, both from 1 to 64)"
#define FLOWS "(allowed: 32 hex digits)"
#define PROBES "(allowed: v0, v1 or plain)"
#define KEYS "(allowed: weight16, or static: and 16 hex digits)"

static const struct {
	const char *text, *error;
} refused[] = {
    {"prob=v1", "unknown name 'prob' " NAMES},
    {"probe=v1,", "unknown name '' " NAMES},
    {",", "unknown name '' " NAMES},
    {"=v1", "unknown name '' " NAMES},
    {"Probe=v1", "unknown name 'Probe' " NAMES},
    {"help,probe=v1", "unknown name 'help' " NAMES},
    {"help=1", "unknown name 'help' " NAMES},
    {" probe=v1", "unknown name ' probe' " NAMES},
    {"a\nb\x1b=1", "unknown name 'a?b?' " NAMES},
    {"a\x7f=1", "unknown name 'a?' " NAMES},
    {"pro\xc3\xa9"
     "be",
     "unknown name 'pro??be' " NAMES},
    {"probe", "bad value '' for 'probe' " PROBES},
    {"probe=", "bad value '' for 'probe' " PROBES},
    {"probe=v2", "bad value 'v2' for 'probe' " PROBES},
    {"probe=v1=v1", "bad value 'v1=v1' for 'probe' " PROBES},
    {"probe=v1 ", "bad value 'v1 ' for 'probe' " PROBES},
    {"key=static", "bad value 'static' for 'key' " KEYS},
    {"key=static:", "bad value 'static:' for 'key' " KEYS},
    {"key=static:0123456789abcde", "bad value 'static:0123456789abcde' for 'key' " KEYS},
    {"key=static:0123456789abcdef0",
     "bad value 'static:0123456789abcdef0' for 'key' " KEYS},
    {"key=static:0x23456789abcdef",
     "bad value 'static:0x23456789abcdef' for 'key' " KEYS},
    {"key=weight17", "bad value 'weight17' for 'key' " KEYS},
    {"options=macos", "bad value 'macos' for 'options' (allowed: linux or bare)"},
    {"canary=yes", "bad value 'yes' for 'canary' (allowed: on or off)"},
    {"canary", "bad value '' for 'canary' (allowed: on or off)"},
    {"targets=", "bad value '' for 'targets' (allowed: a path without commas)"},
    {"targets=a,b", "unknown name 'b' " NAMES},
    {"source=", "bad value '' for 'source' " SOURCES},
    {"source=192.0.2.1", "bad value '192.0.2.1' for 'source' " SOURCES},
    {"source=2001:db8::1/64", "bad value '2001:db8::1/64' for 'source' " SOURCES},
    {"source=fe80::1%eth0", "bad value 'fe80::1%eth0' for 'source' " SOURCES},
    {"source=2001:db8::1,source=2001:db8::1", "'source' is given twice (allowed: once)"},
    {"ttl=", "bad value '' for 'ttl' " TTLS},
    {"ttl=5", "bad value '5' for 'ttl' " TTLS},
    {"ttl=-5", "bad value '-5' for 'ttl' " TTLS},
    {"ttl=5-", "bad value '5-' for 'ttl' " TTLS},
    {"ttl=0-5", "bad value '0-5' for 'ttl' " TTLS},
    {"ttl=6-5", "bad value '6-5' for 'ttl' " TTLS},
    {"ttl=1-65", "bad value '1-65' for 'ttl' " TTLS},
    {"ttl=1-257", "bad value '1-257' for 'ttl' " TTLS},
    {"ttl=1--5", "bad value '1--5' for 'ttl' " TTLS},
    {"ttl=1-5-9", "bad value '1-5-9' for 'ttl' " TTLS},
    {"ttl=1- 5", "bad value '1- 5' for 'ttl' " TTLS},
    {"ttl=+1-5", "bad value '+1-5' for 'ttl' " TTLS},
    {"flow=", "bad value '' for 'flow' " FLOWS},
    {"flow=00010203", "bad value '00010203' for 'flow' " FLOWS},
    {"flow=000102030405060708090a0b0c0d0e0g",
     "bad value '000102030405060708090a0b0c0d0e0g' for 'flow' " FLOWS},
    {"ttl=a-b", "bad value 'a-b' for 'ttl' " TTLS},
    {"probe=v1,probe=v1", "'probe' is given twice (allowed: once)"},
    {"probe=v1,key=weight16,probe=v0", "'probe' is given twice (allowed: once)"},
    {"probe=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "bad value 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' for 'probe' " PROBES},
};

static void test_refused(void)
{
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		struct probe_args args;
		char error[PROBE_ARGS_ERROR_BYTES] = "";

		CHECK_EQ(refused[i].text, probe_args_parse(refused[i].text, &args, error),
			 PROBE_ARGS_BAD);
		CHECK_TEXT(error, refused[i].error);
	}
}

static void test_over_long(void)
{
	char text[100000];
	struct probe_args args;
	char error[PROBE_ARGS_ERROR_BYTES] = "";

	memset(text, 'p', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	CHECK(probe_args_parse(text, &args, error) == PROBE_ARGS_BAD);
	CHECK_TEXT(error, "99999 characters are too many (allowed: 1024)");
}

/* ZMap's --help breaks longer lines in odd places. */
static void test_help_fits_80_columns(void)
{
	for (const char *line = SYNSCAN_HELP TRACE_HELP; *line != '\0';
	     line += strcspn(line, "\n") + 1)
		CHECK(strcspn(line, "\n") <= 80);
}

int main(void)
{
	test_defaults();
	test_accepted();
	test_ttls();
	test_long_path();
	test_refused();
	test_over_long();
	test_help_fits_80_columns();
	return check_report("probe_args_test");
}
