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

	CHECK(probe_args_parse("help", &args, error) == PROBE_ARGS_HELP_ASKED);
}

#define NAMES "(allowed: probe, key, options, or help alone)"
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
	CHECK_TEXT(error, "99999 characters are too many (allowed: 256)");
}

/* ZMap's --help breaks longer lines in odd places. */
static void test_help_fits_80_columns(void)
{
	for (const char *line = PROBE_ARGS_HELP; *line != '\0';
	     line += strcspn(line, "\n") + 1)
		CHECK(strcspn(line, "\n") <= 80);
}

int main(void)
{
	test_defaults();
	test_accepted();
	test_refused();
	test_over_long();
	test_help_fits_80_columns();
	return check_report("probe_args_test");
}
