/*
 * For pipeline/mptcp's tests: hex option bytes and the nonce of our canary in, what
 * tcp_options.c makes of them out, a line each; "-" where it says nothing.
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
		printf(" %016" PRIx64, facts->key);
	else
		printf(" -");
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

int main(void)
{
	char line[2 * TCP_OPTIONS_MAX_BYTES + sizeof " 01234567\n"];

	while (fgets(line, sizeof line, stdin) != NULL) {
		uint8_t options[TCP_OPTIONS_MAX_BYTES];
		size_t digits = strcspn(line, " ");
		struct mptcp_facts facts;
		uint32_t nonce;

		if (digits > 2 * sizeof options ||
		    !hex_decode(line, options, digits / 2) ||
		    sscanf(line + digits, "%8" SCNx32, &nonce) != 1)
			return 1;
		facts = tcp_options_find_mptcp(options, digits / 2);
		print_facts(&facts);
		printf(" %s\n",
		       canary_name(tcp_options_find_canary(options, digits / 2, nonce)));
	}
	return 0;
}
