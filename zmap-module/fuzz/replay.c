/* Runs a fuzz target over files, without a fuzzer: the corpora are ordinary tests. */
#include <string.h>

#include "fuzz.h"

/* A seed whose name is no longer true leads the fuzzer nowhere. */
static int as_named(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	if ((strncmp(name, "valid-", 6) == 0 && !fuzz_accepted) ||
	    (strncmp(name, "invalid-", 8) == 0 && fuzz_accepted)) {
		printf("%s is %s\n", path, fuzz_accepted ? "accepted" : "refused");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int replay(const char *path)
{
	/* Longer than any capture; the fuzzer itself stops at 1600. */
	uint8_t buffer[4096];
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t size;

	if (file == NULL) {
		perror(path);
		return EXIT_FAILURE;
	}
	size = fread(buffer, 1, sizeof buffer, file);
	fclose(file);
	exact = malloc(size > 0 ? size : 1);
	memcpy(exact, buffer, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return as_named(path);
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0;

	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]) == EXIT_SUCCESS)
			passed++;
		else
			failed++;
	}
	printf("%s: %d passed, %d failed\n", strrchr(argv[0], '/') + 1, passed, failed);
	return passed > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
