#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"

#include <string.h>

#include "../wire/probe_args.h"

bool fuzz_accepted;

/* An error is one printable line; its memory is exactly as large as promised. */
static void require_one_line(const char *error)
{
	size_t length = strlen(error);

	REQUIRE(length > 0 && length < PROBE_ARGS_ERROR_BYTES);
	for (size_t i = 0; i < length; i++)
		REQUIRE(error[i] >= ' ' && error[i] <= '~');
	REQUIRE(error[length - 1] == ')');
}

/* What is taken over is bounded, and well-formed. */
static void require_sound(const struct probe_args *args)
{
	size_t length = strnlen(args->targets, sizeof args->targets);

	REQUIRE(length < sizeof args->targets);
	REQUIRE(memchr(args->targets, ',', length) == NULL);
	REQUIRE(args->has_source == (args->source.family == IP_FAMILY_6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char *error = calloc(1, PROBE_ARGS_ERROR_BYTES);
	struct probe_args args;

	memcpy(text, data, size);
	text[size] = '\0';
	fuzz_accepted = probe_args_parse(text, &args, error) != PROBE_ARGS_BAD;
	if (fuzz_accepted)
		require_sound(&args);
	else
		require_one_line(error);
	free(error);
	free(text);
	return 0;
}
