#define _POSIX_C_SOURCE 200809L
#include "index_set.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Reads on until the argument of which `address` is what ZMap left. */
static bool find_argument(FILE *command_line, const char *address, char **argument,
			  size_t *size)
{
	size_t length = strlen(address);

	while (getdelim(argument, size, '\0', command_line) > 0) {
		if (strncmp(*argument, address, length) == 0 &&
		    ((*argument)[length] == '/' || (*argument)[length] == '\0'))
			return true;
	}
	return false;
}

static bool parse_prefix_length(const char *digits, unsigned *bits)
{
	size_t count = strspn(digits, "0123456789");

	if (count < 1 || count > 2 || digits[count] != '\0')
		return false;
	*bits = (unsigned)strtoul(digits, NULL, 10);
	return *bits <= 32;
}

/* "1.0.0.0/16" or "1.0.0.0", without host bits, which ZMap would overlook. */
static bool parse_block(char *text, uint64_t *first, uint64_t *size)
{
	char *slash = strchr(text, '/');
	struct in_addr address;
	unsigned bits = 32;

	if (slash != NULL) {
		if (!parse_prefix_length(slash + 1, &bits))
			return false;
		*slash = '\0';
	}
	if (inet_pton(AF_INET, text, &address) != 1)
		return false;
	*first = ntohl(address.s_addr);
	*size = UINT64_C(1) << (32 - bits);
	return *first % *size == 0;
}

bool index_set_matches(char *const *cidrs, int cidr_count, FILE *command_line,
		       uint32_t indices)
{
	uint64_t next = INDEX_BASE, first, size;
	char *argument = NULL;
	size_t argument_size = 0;
	bool matches = true;

	for (int i = 0; matches && i < cidr_count; i++) {
		matches =
		    find_argument(command_line, cidrs[i], &argument, &argument_size) &&
		    parse_block(argument, &first, &size) && first == next;
		if (matches)
			next += size;
	}
	free(argument);
	return matches && next == INDEX_BASE + (uint64_t)indices;
}
