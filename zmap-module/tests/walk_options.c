/*
 * For pipeline/mptcp's tests: one line of hex option bytes in, one line of what
 * tcp_options.c makes of them out, "-" where it says nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../wire/hex.h"
#include "../wire/tcp_options.h"

static void print_if(bool present, uint8_t value)
{
	if (present)
		printf(" %u", value);
	else
		printf(" -");
}

static void print_facts(const struct mptcp_facts *facts)
{
	static const char *const names[] = {
	    [MPTCP_NONE] = "none",
	    [MPTCP_CAPABLE] = "capable",
	    [MPTCP_MALFORMED] = "malformed",
	    [MPTCP_OTHER] = "other",
	};

	printf("%s", names[facts->presence]);
	print_if(facts->has_version, facts->version);
	print_if(facts->has_flags, facts->flags);
	print_if(facts->has_length, facts->length);
	if (facts->has_key)
		printf(" %016" PRIx64 "\n", facts->key);
	else
		printf(" -\n");
}

int main(void)
{
	char line[2 * TCP_OPTIONS_MAX_BYTES + 2];

	while (fgets(line, sizeof line, stdin) != NULL) {
		uint8_t options[TCP_OPTIONS_MAX_BYTES];
		size_t length = strcspn(line, "\n") / 2;
		struct mptcp_facts facts;

		if (strchr(line, '\n') == NULL || !hex_decode(line, options, length))
			return 1;
		facts = tcp_options_find_mptcp(options, length);
		print_facts(&facts);
	}
	return 0;
}
