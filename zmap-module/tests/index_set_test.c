#define _POSIX_C_SOURCE 200809L
#include "../wire/index_set.h"

#include "check.h"

#define MAX_CIDRS 8

/* `text`: ZMap's CIDR arguments, with spaces between. */
static bool matches(const char *text, uint32_t indices)
{
	char command_line[256], cut[256];
	char *cidrs[MAX_CIDRS];
	int count = 0;
	size_t length = (size_t)snprintf(
	    command_line, sizeof command_line,
	    "zmap -S 1.0.0.1 -p 443 -o 1.0.0.0.json -b /dev/null %s", text);
	FILE *file;
	bool result;

	for (size_t i = 0; i < length; i++) {
		if (command_line[i] == ' ')
			command_line[i] = '\0';
	}
	/* As ZMap leaves them. */
	snprintf(cut, sizeof cut, "%s", text);
	for (char *word = strtok(cut, " "); word != NULL; word = strtok(NULL, " ")) {
		cidrs[count++] = word;
		word[strcspn(word, "/")] = '\0';
	}
	file = fmemopen(command_line, length + 1, "r");
	result = index_set_matches(cidrs, count, file, indices);
	fclose(file);
	return result;
}

static const struct {
	const char *cidrs;
	uint32_t indices;
} good[] = {
    {"1.0.0.0/32", 1},
    {"1.0.0.0", 1},
    {"1.0.0.0/31", 2},
    {"1.0.0.0/31 1.0.0.2/32", 3},
    {"1.0.0.0/25 1.0.0.128/26 1.0.0.192/27 1.0.0.224/28 1.0.0.240/29 1.0.0.248/30 "
     "1.0.0.252/31 1.0.0.254/32",
     255},
    {"1.0.0.0/24", 256},
    {"1.0.0.0/24 1.0.1.0/32", 257},
    {"1.0.0.0/24 1.0.1.0", 257},
    {"1.0.0.0/20", 4096},
    {"1.0.0.0/8", 1u << 24},
    {"1.0.0.0/8 2.0.0.0/7 4.0.0.0/6 8.0.0.0/5 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 "
     "128.0.0.0/1",
     UINT32_MAX - INDEX_BASE + 1},
};

static const struct {
	const char *cidrs;
	uint32_t indices;
} bad[] = {
    {"", 1},
    {"1.0.0.0/32", 2},                      /* one too few */
    {"1.0.0.0/24", 255},                    /* one too many */
    {"1.0.0.1/32", 1},                      /* wrong base */
    {"0.0.0.0/32", 1},                      /* wrong base */
    {"1.0.0.1/24", 256},                    /* host bits */
    {"1.0.0.0/25 1.0.0.128/24", 384},       /* host bits: to ZMap 1.0.0.0/24 */
    {"1.0.1.0/32 1.0.0.0/24", 257},         /* other order */
    {"1.0.0.0/24 1.0.2.0/32", 257},         /* gap */
    {"1.0.0.0/24 1.0.0.255/32", 257},       /* overlap */
    {"1.0.0.0/24 1.0.0.0/24", 512},         /* twice */
    {"1.0.0.0/24 1.0.16.0/20", 4096 + 256}, /* the first addresses of /20 and /24 */
    {"1.0.0.0/33", 1},
    {"1.0.0.0/", 1},
    {"1.0.0.0/032", 1},
    {"1.0.0.0/-1", 1},
    {"1.0.0.0/24x", 256},
    {"1.0.0/24", 256},
    {"1.0.0.0000000000000000/24", 256},
    {"one.example/32", 1},
};

/* ZMap's own text must be in the command line: nothing else is believed. */
static void test_unknown_argument(void)
{
	char command_line[] = "zmap\0"
			      "1.0.0.0/24";
	char first[] = "1.0.0.0", second[] = "1.0.1.0";
	char *cidrs[] = {first, second};
	FILE *file = fmemopen(command_line, sizeof command_line, "r");

	CHECK(!index_set_matches(cidrs, 2, file, 257));
	fclose(file);
}

int main(void)
{
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		CHECK_EQ(good[i].cidrs, matches(good[i].cidrs, good[i].indices), true);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_EQ(bad[i].cidrs, matches(bad[i].cidrs, bad[i].indices), false);
	test_unknown_argument();
	return check_report("index_set_test");
}
