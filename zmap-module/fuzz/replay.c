/* Runs a fuzz target over files, without a fuzzer: the corpora are ordinary tests. */
#include <string.h>

#include "fuzz.h"

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
	return EXIT_SUCCESS;
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
