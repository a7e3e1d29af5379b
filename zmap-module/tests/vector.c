#include "vector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../wire/cursor.h"
#include "../wire/hex.h"

static bool read_presence(const char *value, enum mptcp_presence *presence)
{
	static const char *const names[] = {"none", "capable", "malformed", "other"};

	for (int i = 0; i < 4; i++) {
		if (strcmp(value, names[i]) == 0) {
			*presence = (enum mptcp_presence)i;
			return true;
		}
	}
	return false;
}

static bool read_canary(const char *value, enum canary_presence *presence)
{
	static const char *const names[] = {"none", "mirrored", "altered"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			*presence = (enum canary_presence)i;
			return true;
		}
	}
	return false;
}

static bool read_number(const char *value, bool *present, uint8_t *number)
{
	char *end;
	unsigned long parsed = strtoul(value, &end, 10);

	*present = true;
	*number = (uint8_t)parsed;
	return end != value && *end == '\0' && parsed <= UINT8_MAX;
}

static bool read_key(const char *value, struct mptcp_facts *facts)
{
	uint8_t bytes[8];
	struct cursor key = cursor_over(bytes, sizeof bytes);

	if (strlen(value) != 16 || !hex_decode(value, bytes, sizeof bytes))
		return false;
	facts->has_key = true;
	facts->key = cursor_u64(&key);
	return true;
}

static bool read_nonce(const char *value, uint32_t *nonce)
{
	uint8_t bytes[4];
	struct cursor cursor = cursor_over(bytes, sizeof bytes);

	if (strlen(value) != 8 || !hex_decode(value, bytes, sizeof bytes))
		return false;
	*nonce = cursor_u32(&cursor);
	return true;
}

static bool read_options(const char *value, struct vector *vector)
{
	size_t digits = strlen(value);

	vector->length = digits / 2;
	return digits % 2 == 0 && vector->length <= sizeof vector->options &&
	       hex_decode(value, vector->options, vector->length);
}

static bool first(bool *seen)
{
	bool is_first = !*seen;

	*seen = true;
	return is_first;
}

/* The lines that a file either must have, or has only together. */
struct lines_seen {
	bool options, mptcp, nonce, canary;
};

static bool read_line(const char *name, const char *value, struct vector *vector,
		      struct lines_seen *seen)
{
	struct mptcp_facts *facts = &vector->expected;

	if (strcmp(name, "options") == 0)
		return first(&seen->options) && read_options(value, vector);
	if (strcmp(name, "mptcp") == 0)
		return first(&seen->mptcp) && read_presence(value, &facts->presence);
	if (strcmp(name, "nonce") == 0)
		return first(&seen->nonce) && read_nonce(value, &vector->nonce);
	if (strcmp(name, "canary") == 0)
		return first(&seen->canary) &&
		       read_canary(value, &vector->expected_canary);
	if (strcmp(name, "mptcp_version") == 0)
		return read_number(value, &facts->has_version, &facts->version);
	if (strcmp(name, "mptcp_flags") == 0)
		return read_number(value, &facts->has_flags, &facts->flags);
	if (strcmp(name, "mptcp_length") == 0)
		return read_number(value, &facts->has_length, &facts->length);
	if (strcmp(name, "mptcp_key") == 0)
		return read_key(value, facts);
	return false;
}

bool vector_read(const char *path, struct vector *vector)
{
	struct lines_seen seen = {0};
	char line[256];
	FILE *file = fopen(path, "r");
	bool good = file != NULL;

	memset(vector, 0, sizeof *vector);
	while (good && fgets(line, sizeof line, file) != NULL) {
		char *value = strchr(line, ':');

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		if (value != NULL)
			*value++ = '\0';
		good = value != NULL &&
		       read_line(line, value + strspn(value, " "), vector, &seen);
	}
	good = good && seen.options && seen.mptcp && seen.nonce == seen.canary;
	vector->has_canary = seen.canary;
	if (file != NULL)
		fclose(file);
	if (!good)
		printf("%s: cannot be read as a vector\n", path);
	return good;
}
